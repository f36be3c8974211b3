"""What the tasks run: settings completed by Airflow's connections, and nothing but counts handed on."""

import json
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from airflow.sdk import Connection as AirflowConnection
from airflow.sdk.exceptions import AirflowSkipException

from roomtone.airflow import assets, stages
from roomtone.airflow.connections import as_connection, settings_from_airflow
from roomtone.errors import RoomtoneError
from roomtone.settings import Settings, load_settings
from roomtone.stores.inbox import Delivery, InboxWriter
from roomtone.stores.ledger import note_source_read
from roomtone.stores.operational import OperationalStore

SECRET_TEXT = "my parcel is lost and I am furious"


@pytest.mark.parametrize(
    ("stored", "url"),
    [
        ({"host": "https://brand.zendesk.com"}, "https://brand.zendesk.com"),
        ({"host": "brand.zendesk.com"}, "https://brand.zendesk.com"),
        ({"host": "http://127.0.0.1", "port": 8000, "schema": "/zendesk/"}, "http://127.0.0.1:8000/zendesk"),
        ({"host": "https://brand.zendesk.com/"}, "https://brand.zendesk.com"),
    ],
)
def test_an_airflow_connection_is_an_address(stored: dict[str, object], url: str) -> None:
    connection = AirflowConnection(
        conn_id="roomtone_zendesk", password="token", extra='{"order_field_id": 9001}', **stored
    )
    made = as_connection("zendesk", connection)
    assert (made.name, made.url, made.token) == ("zendesk", url, "token")
    assert made.options == {"order_field_id": "9001"}


def test_the_environment_wins_and_airflow_completes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOMTONE_HOME", str(tmp_path))
    monkeypatch.setenv("ROOMTONE_SOURCES", "files,shop,zendesk")
    monkeypatch.setenv("ROOMTONE_DESTINATIONS", "files")
    monkeypatch.setenv("ROOMTONE_SHOP_URL", "https://from-the-environment.example")
    monkeypatch.setenv("AIRFLOW_CONN_ROOMTONE_SHOP", "https://:no@from-airflow.example")
    monkeypatch.setenv("AIRFLOW_CONN_ROOMTONE_ZENDESK", "https://:token@from-airflow.example")
    settings = settings_from_airflow()
    assert settings.connection("shop").url == "https://from-the-environment.example"
    assert settings.connection("zendesk").url == "https://from-airflow.example"
    assert settings.connection("zendesk").token == "token"
    assert "files" not in settings.connections


@dataclass
class Kind:
    done: int = 2
    note: str = SECRET_TEXT


@dataclass
class Report:
    count_scored: int = 5
    is_valid: bool = True
    seconds: float = 0.5
    body: str = SECRET_TEXT
    failures: list[str] = field(default_factory=lambda: [SECRET_TEXT])
    kinds: dict[str, Kind] = field(default_factory=lambda: {"profile": Kind()})


def test_only_counts_leave_a_stage(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        counts = stages._told("score pass-00000001", Report())
    assert counts == {"count_scored": 5, "is_valid": 1, "kinds.profile.done": 2}
    assert "count_scored=5" in caplog.text
    assert SECRET_TEXT not in caplog.text


def test_publish_takes_the_newest_announced_pass() -> None:
    events = [SimpleNamespace(extra={"pass_sequence": 9}), SimpleNamespace(extra={"pass_sequence": 8})]
    assert stages.latest_sequence(events) == 9
    with pytest.raises(RoomtoneError, match="no pass has been validated yet; run react first"):
        stages.latest_sequence([])


def put_delivery(settings: Settings) -> None:
    store = OperationalStore(settings)
    body = json.dumps({"type": "messages", "data": []}).encode()
    writer = InboxWriter(store)
    writer.append(Delivery("generic", uuid4().hex, uuid4().bytes, body, datetime.now(UTC))).result(10)
    writer.close()
    store.close()


def test_a_pass_that_webhooks_called_for_is_skipped_when_they_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROOMTONE_HOME", str(tmp_path))
    assert stages.extract_webhooks(is_needless_without=True) == {}, "webhooks are no source here"
    monkeypatch.setenv("ROOMTONE_SOURCES", "files,webhook")
    put_delivery(load_settings())
    message = {"type": "messages", "data": RECORDS["messages"]}
    store = OperationalStore(load_settings())
    writer = InboxWriter(store)
    writer.append(Delivery("generic", "1", b"1", json.dumps(message).encode(), datetime.now(UTC))).result(10)
    writer.close()
    assert stages.extract_webhooks(is_needless_without=True)["streams.messages.landed"] == 1
    # The pass that took it failed: its second try, and the next pass, have work to do.
    assert stages.extract_webhooks(is_needless_without=True) is not None
    failed = store.begin_pass(datetime.now(UTC))
    assert stages.extract_webhooks(is_needless_without=True) is not None
    store.mark_pass(failed, "validated", is_valid=False)
    assert stages.extract_webhooks(is_needless_without=True) is not None
    store.mark_pass(store.begin_pass(datetime.now(UTC)), "validated", is_valid=True)
    with pytest.raises(AirflowSkipException, match="has taken all that waited"):
        stages.extract_webhooks(is_needless_without=True)
    assert stages.extract_webhooks() is not None, "the poll's pass goes on: pauses end by time"


def test_a_backlog_calls_the_next_pass_and_a_few_messages_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROOMTONE_HOME", str(tmp_path))
    monkeypatch.setattr(stages, "_A_BACKLOG", 3)
    assert not stages.is_backlog_left(), "webhooks are no source here"
    monkeypatch.setenv("ROOMTONE_SOURCES", "files,webhook")
    for count, expected in ((2, False), (1, True)):
        for _ in range(count):
            put_delivery(load_settings())
        assert stages.is_backlog_left() is expected
    stages.extract_webhooks()
    assert not stages.is_backlog_left()


def test_a_sync_is_awaited_by_a_message_and_by_a_poll_since_its_pass_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROOMTONE_HOME", str(tmp_path))
    monkeypatch.setenv("ROOMTONE_SOURCES", "shop,webhook")
    settings = load_settings()
    store = OperationalStore(settings)
    current = store.begin_pass(datetime.now(UTC))
    note_source_read(store, "shop", current.as_of)
    put_delivery(settings)
    assert not stages._awaited(settings, current)(), "it has just begun"
    monkeypatch.setattr(stages, "_UNDISTURBED_SECONDS", 0.0)
    is_awaited = stages._awaited(settings, current)
    assert is_awaited()
    stages.extract_webhooks()
    assert not is_awaited()
    note_source_read(store, "webhook", current.as_of + timedelta(seconds=5))
    assert not is_awaited(), "what a pass reads itself is no poll"
    note_source_read(store, "shop", current.as_of + timedelta(seconds=5))
    assert is_awaited()
    store.close()


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (None, False),
        ({}, False),
        ({assets.INBOX: [1, 2]}, True),
        ({assets.RAW: [1]}, False),
        ({assets.INBOX: [1], assets.RAW: [1]}, False),
        ({assets.INBOX: [1], assets.RAW: []}, True),
    ],
)
def test_who_called_for_a_pass(events: dict[Any, list[Any]] | None, expected: bool) -> None:
    assert stages.is_called_by_webhooks_alone(events) is expected


RECORDS = {
    "customers": {
        "id": "c-1", "email": "maya@example.com", "email_marketing_consent": True, "sms_marketing_consent": False,
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
    },
    "tickets": {
        "id": "t-1", "customer_id": "c-1", "channel": "email", "status": "open",
        "created_at": "2026-03-02T08:00:00Z", "updated_at": "2026-03-02T08:00:00Z",
    },
    "messages": {
        "id": "m-1", "ticket_id": "t-1", "author": "customer", "body": SECRET_TEXT, "is_public": True,
        "created_at": "2026-03-02T08:00:00Z", "updated_at": "2026-03-02T08:00:00Z",
    },
}  # fmt: skip


def test_the_stages_make_one_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for stream, record in RECORDS.items():
        (tmp_path / "in" / stream).mkdir(parents=True)
        (tmp_path / "in" / stream / "one.jsonl").write_text(json.dumps(record) + "\n")
    monkeypatch.setenv("ROOMTONE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ROOMTONE_FILES_DIR", str(tmp_path / "in"))
    with caplog.at_level(logging.INFO, logger="roomtone"):
        landed = stages.extract_source("files")
        sequence = stages.begin_and_score()
        assert stages.transform_pass(sequence) == sequence
        assert stages.validate_pass(sequence) == sequence
        sent = stages.sync_pass(sequence, "files")
        assert stages.publish_pass(sequence) == sequence
        # A newer pass has taken the warehouse: publishing the old one is no failure, it is not needed any more.
        newer = stages.begin_and_score()
        assert newer == sequence + 1
        stages.transform_pass(newer)
        for stage in (stages.copy_pass, stages.publish_pass):
            with pytest.raises(AirflowSkipException, match=f"pass {newer} has begun"):
                stage(sequence)
        # While somebody waits for a pass the marts of just now are good enough.
        assert not stages.marts_may_wait()
        put_delivery(load_settings())
        assert stages.marts_may_wait()
    assert sum(count for name, count in landed.items() if name.endswith(".landed")) == 3
    assert all(isinstance(count, int) for count in sent.values())
    assert (tmp_path / "home" / "published" / "marts.duckdb").is_file()
    assert SECRET_TEXT not in caplog.text
