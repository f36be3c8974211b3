"""`roomtone status`: what was promised, how it is kept, and what still works when it is not."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from roomtone import status
from roomtone.errors import RoomtoneError
from roomtone.settings import Settings, load_settings
from roomtone.stores import heartbeats
from roomtone.stores.heartbeats import Heartbeat, watched
from roomtone.stores.inbox import InboxState
from roomtone.stores.operational import OperationalStore, passes
from roomtone.stores.operational import inbox as inbox_table

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
FRESH = status.NewestPass(NOW - timedelta(seconds=20), True)
EMPTY = InboxState(0, None)

Put = Callable[..., None]


@pytest.fixture
def store(settings: Settings) -> OperationalStore:
    return OperationalStore(settings)


@pytest.fixture
def put(store: OperationalStore) -> Put:
    """Puts a pass that began and was synced so many seconds before now, and deliveries likewise."""

    def put_pass(begun: float, synced: float | None, is_valid: bool = True) -> None:
        with store.begin() as connection:
            values = {"as_of": NOW, "begun_at": NOW - timedelta(seconds=begun), "is_valid": is_valid}
            values["validated_at"] = values["begun_at"]
            if synced is not None:
                values["synced_at"] = NOW - timedelta(seconds=synced)
            connection.execute(passes.insert().values(**values))

    return put_pass


def deliver(store: OperationalStore, key: str, received: float, landed: float | None) -> None:
    landed_at = None if landed is None else NOW - timedelta(seconds=landed)
    row = {"sender": "zendesk", "delivery_id": key, "content_hash": key, "body": b"{}"}
    times = {"received_at": NOW - timedelta(seconds=received), "landed_at": landed_at}
    with store.begin() as connection:
        connection.execute(inbox_table.insert().values(**row, **times))


def test_the_promise_is_measured_from_arrival_to_sync(settings: Settings, store: OperationalStore, put: Put) -> None:
    put(100, 95)
    put(58, 54)
    put(30, 20)
    deliver(store, "a", received=60, landed=59)  # the pass begun at -58 was synced at -54: six seconds
    deliver(store, "b", received=57, landed=31)  # landed after that pass began: the next one, 37 seconds
    deliver(store, "c", received=5, landed=4)  # no pass since: not measured yet
    deliver(store, "d", received=7300, landed=7200)  # long ago
    found = status.examine(settings, NOW)
    webhook, poll = found.figures
    assert (webhook.count, webhook.measured_seconds, webhook.is_met) == (2, 37.0, False)
    assert (poll.count, poll.measured_seconds, poll.is_met) == (2, 46.0, True)
    assert not found.is_fresh
    assert "by webhook: 95 % within 37.0 s in the last hour, 10 s promised (2 measured)" in status.as_text(found)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.95, None), ([3.0], 0.95, 3.0), (list(range(1, 101)), 0.95, 95.0), (list(range(1, 21)), 0.95, 19.0)],
)
def test_a_percentile_is_a_value_that_was_measured(values: list[float], share: float, expected: float | None) -> None:
    assert status.percentile(values, share) == expected


@pytest.mark.parametrize(
    ("beats", "waiting", "newest", "expected"),
    [
        ([], EMPTY, FRESH, []),
        ([], EMPTY, status.NewestPass(None, True), [("facts", status.STALE)]),
        ([], EMPTY, status.NewestPass(NOW - timedelta(minutes=16), True), [("facts", status.STALE)]),
        ([], EMPTY, status.NewestPass(FRESH.synced_at, False), [("validate", status.INVALID)]),
        ([Heartbeat("extract", "shop", None, NOW, "down")], EMPTY, FRESH, [("extract shop", status.SOURCE_SILENT)]),
        ([Heartbeat("extract", "gone", None, NOW, "down")], EMPTY, FRESH, []),
        ([Heartbeat("sync", "files", NOW, NOW, "no")], EMPTY, FRESH, [("sync files", status.DESTINATION_SILENT)]),
        ([Heartbeat("score", "", NOW, NOW, "no model")], EMPTY, FRESH, [("score", status.UNSCORED)]),
        ([Heartbeat("score", "", NOW, NOW, "")], EMPTY, FRESH, []),
        ([], InboxState(3, NOW - timedelta(seconds=69)), FRESH, []),
        ([], InboxState(3, NOW - timedelta(seconds=71)), FRESH, [("inbox", status.INBOX_LATE)]),
    ],
)
def test_each_way_of_being_degraded_says_what_it_means(
    beats: list[Heartbeat], waiting: InboxState, newest: status.NewestPass, expected: list[tuple[str, str]]
) -> None:
    settings = load_settings(
        {"ROOMTONE_HOME": "/nowhere", "ROOMTONE_SOURCES": "shop", "ROOMTONE_DESTINATIONS": "files"}
    )
    found = status.degraded_modes(settings, beats, waiting, newest, NOW)
    assert [(mode.what, mode.meaning) for mode in found] == expected


def test_a_heartbeat_remembers_the_last_failure_until_the_next_success(
    settings: Settings, store: OperationalStore
) -> None:
    with watched(settings, "extract", "shop"):
        pass
    [beat] = heartbeats.latest(store)
    assert beat.succeeded_at is not None
    assert (beat.stage, beat.subject, beat.failed_at, beat.failure) == ("extract", "shop", None, "")
    with pytest.raises(RoomtoneError), watched(settings, "extract", "shop"):
        raise RoomtoneError("source shop", "is down", "wait")
    [broken] = heartbeats.latest(store)
    assert broken.succeeded_at == beat.succeeded_at
    assert broken.failure == "source shop: is down; wait"
    with pytest.raises(ValueError, match="furious"), watched(settings, "extract", "shop"):
        raise ValueError("a customer wrote: I am furious")
    assert heartbeats.latest(store)[0].failure == "ValueError", "what a customer wrote is not kept here"
    with watched(settings, "extract", "shop"):
        pass
    assert heartbeats.latest(store)[0].failure == ""


def test_an_alert_is_told_once_and_forgotten_after_a_month(settings: Settings, store: OperationalStore) -> None:
    for days in (40, 0, 0):
        heartbeats.raise_alert(store, "late", f"react run-{days}", NOW - timedelta(days=days))
    assert [alert.subject for alert in heartbeats.alerts_since(store, NOW - timedelta(days=365))] == ["react run-0"]
    assert "ALERT late react run-0" in status.as_text(status.examine(settings, NOW))


def test_the_command_fails_with_one_line_when_a_promise_is_not_kept(
    settings: Settings, store: OperationalStore
) -> None:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "roomtone.cli", "status", *arguments]
        environ = {"ROOMTONE_HOME": str(settings.home), "PATH": "/usr/bin:/bin"}
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    late = run()
    assert late.returncode == 1
    assert late.stderr.startswith("roomtone: status: facts not as promised; each line above says")
    assert "DEGRADED facts (since ever): facts are stale: pauses stay" in late.stdout
    with store.begin() as connection:
        now = datetime.now(UTC)
        connection.execute(sa.insert(passes).values(as_of=now, begun_at=now, synced_at=now, is_valid=True))
    fresh = run("--json")
    assert (fresh.returncode, fresh.stderr) == (0, "")
    told = json.loads(fresh.stdout)
    assert told["is_fresh"] is True
    assert [figure["objective_seconds"] for figure in told["figures"]] == [10.0, 70.0]
    assert told["inbox"] == {"count_waiting": 0, "oldest_at": None}


def test_doctor_tells_who_may_deliver_webhooks() -> None:
    from roomtone.doctor import _connection

    environ = {"ROOMTONE_HOME": "/nowhere", "ROOMTONE_SOURCES": "webhook", "ROOMTONE_GENERIC_WEBHOOK_SECRET": "s"}
    assert _connection("webhook")(load_settings(environ)) == "generic may deliver"
    environ.pop("ROOMTONE_GENERIC_WEBHOOK_SECRET")
    with pytest.raises(RoomtoneError, match="webhook: no sender has a secret; set ROOMTONE_<SENDER>_WEBHOOK_SECRET"):
        _connection("webhook")(load_settings(environ))
