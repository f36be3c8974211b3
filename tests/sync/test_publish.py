"""The marts for BI: whole, swapped by rename, only from a confirmed pass."""

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings, load_settings
from roomtone.stores import warehouse
from roomtone.sync.publish import publish, take_copy

from .conftest import Mart, Person

AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)
SOMEBODY = Person("shop-1", "one@example.com", None)

# Opens both publications again and again; ends when told, with how often it read and what it saw.
READER = """
import sys, time, duckdb, pathlib
folder = pathlib.Path(sys.argv[1])
reads, seen = 0, set()
while not (folder / "stop").exists():
    with duckdb.connect(str(folder / "marts.duckdb"), read_only=True) as connection:
        sequence, = connection.execute("select pass_sequence from roomtone_publication").fetchone()
        rows, = connection.execute("select count(*) from dim_customers").fetchone()
        assert rows == 1000 + sequence, (rows, sequence)
    with duckdb.connect() as connection:
        files = sorted((folder / "parquet").resolve().glob("*.parquet"))
        tables = {file.stem: str(file) for file in files}
        about = [tables["roomtone_publication"]]
        sequence, = connection.execute("select pass_sequence from read_parquet(?)", about).fetchone()
        rows, = connection.execute("select count(*) from read_parquet(?)", [tables["dim_customers"]]).fetchone()
        assert rows == 1000 + sequence, (rows, sequence)
    reads += 1
    seen.add(sequence)
    (folder / f"reads-{sys.argv[2]}").write_text(str(reads))
print(len(seen))
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """No platform is asked here."""
    return load_settings({"ROOMTONE_HOME": str(tmp_path / "home")})


def publication(settings: Settings) -> tuple[int, int]:
    """The pass of the published database and of the published Parquet files."""
    with duckdb.connect(str(settings.published_dir / "marts.duckdb"), read_only=True) as connection:
        [database] = connection.execute("select pass_sequence from roomtone_publication").fetchone() or [0]
    with duckdb.connect() as connection:
        file = settings.published_dir / "parquet" / "roomtone_publication.parquet"
        [parquet] = connection.execute("select pass_sequence from read_parquet(?)", [str(file)]).fetchone() or [0]
    return database, parquet


def test_all_marts_and_activations_are_published_under_plain_names(mart: Mart) -> None:
    mart.pause(SOMEBODY, AS_OF + timedelta(days=14))
    report = publish(mart.settings, mart.commit(AS_OF))
    assert report.tables["sync_profile_properties"] == 1
    with duckdb.connect(str(mart.settings.published_dir / "marts.duckdb"), read_only=True) as connection:
        names = {row[0] for row in connection.execute("select table_name from duckdb_tables()").fetchall()}
        about = connection.execute("select * from roomtone_publication").fetchall()
        profile = connection.execute("select customer_id, roomtone_pause_sales from sync_profile_properties").fetchall()
        columns = {row[0] for row in connection.execute("select column_name from duckdb_columns()").fetchall()}
    assert not {"email", "phone"} & columns
    assert names == {
        "dim_customers",
        "dim_customer_states",
        "sync_suppression_segment",
        "sync_profile_properties",
        "sync_ticket_routing",
        "sync_recovery_events",
        "roomtone_publication",
    }
    assert about == [(1, AS_OF.replace(tzinfo=None), 1)]
    assert profile == [("shop-1", True)]
    assert {path.stem for path in (mart.settings.published_dir / "parquet").glob("*.parquet")} == names


def test_a_pass_that_is_not_confirmed_is_not_published(mart: Mart) -> None:
    publish(mart.settings, mart.commit(AS_OF))
    with pytest.raises(RoomtoneError, match="not been confirmed"):
        publish(mart.settings, mart.commit(AS_OF, is_valid=False))
    assert publication(mart.settings) == (1, 1)


def test_readers_never_see_a_half_written_state(mart: Mart) -> None:
    folder = mart.settings.published_dir

    def next_publication() -> None:
        current = mart.commit(AS_OF)
        with warehouse.connect(mart.settings) as connection:
            connection.execute(
                "create or replace table marts.dim_customers as select range::varchar as customer_id from range(?)",
                [1000 + current.sequence],
            )
        publish(mart.settings, current)

    next_publication()
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, str(folder), name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for name in ("a", "b")
    ]
    counts = [folder / "reads-a", folder / "reads-b"]
    deadline = time.monotonic() + 60
    published = 0
    while published < 5 or not all(count.exists() and int(count.read_text() or 0) >= 10 for count in counts):
        assert time.monotonic() < deadline, "the readers came to nothing"
        next_publication()
        published += 1
    (folder / "stop").touch()
    for reader in readers:
        out, err = reader.communicate(timeout=30)
        assert reader.returncode == 0, err
        assert int(out) >= 3
    # The shown folder and the two before it; a reader may still be opening files of those.
    assert len(list(folder.glob("parquet-pass-*"))) == 3


def test_a_full_disk_leaves_the_old_publication(mart: Mart) -> None:
    publish(mart.settings, mart.commit(AS_OF))
    mart.customers = 200_000
    second = mart.commit(AS_OF)
    script = (
        "import resource, sys\n"
        "from roomtone.settings import load_settings\n"
        "from roomtone.stores.operational import OperationalStore\n"
        "from roomtone.sync.publish import publish\n"
        f"settings = load_settings({{'ROOMTONE_HOME': {str(mart.settings.home)!r}}})\n"
        f"current = OperationalStore(settings).find_pass({second.sequence})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    publish(settings, current)\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("RoomtoneError published marts: "), done.stdout + done.stderr
    assert "what was published before is untouched" in done.stdout
    assert done.stdout.count("\n") == 1
    assert publication(mart.settings) == (1, 1)
    assert list(mart.settings.published_dir.glob(".draft*")) == []


def test_a_place_that_cannot_be_written_is_named(mart: Mart) -> None:
    current = mart.commit(AS_OF)
    mart.settings.published_dir.write_text("a file stands where the folder should be")
    with pytest.raises(RoomtoneError, match=r"published marts: .*published cannot be written"):
        publish(mart.settings, current)


def test_a_log_that_a_reader_left_does_not_block_the_next_readers(mart: Mart) -> None:
    publish(mart.settings, mart.commit(AS_OF))
    (mart.settings.published_dir / "marts.duckdb.wal").write_bytes(b"left by a reader that wrote")
    publish(mart.settings, mart.commit(AS_OF))
    assert publication(mart.settings) == (2, 2)


def test_marts_are_built_from_a_copy_while_the_next_pass_has_the_warehouse(mart: Mart) -> None:
    current = mart.commit(AS_OF)
    take_copy(mart.settings, current)
    [copied] = mart.settings.published_dir.glob(".copy-*")
    mart.commit(AS_OF)
    with warehouse.held(mart.settings):
        assert publish(mart.settings, current).pass_sequence == current.sequence
    with duckdb.connect(str(mart.settings.published_dir / "marts.duckdb"), read_only=True) as connection:
        assert connection.execute("select pass_sequence from roomtone_publication").fetchall() == [(current.sequence,)]
    assert not copied.exists()


def test_a_copy_of_tables_that_another_pass_has_taken_is_refused(mart: Mart) -> None:
    current = mart.commit(AS_OF)
    newer = mart.commit(AS_OF)
    with pytest.raises(
        RoomtoneError, match=f"{current.pass_id}: the warehouse holds the tables of pass {newer.sequence}"
    ):
        take_copy(mart.settings, current)
    assert list(mart.settings.published_dir.glob(".copy-*")) == []
