"""The mirror: the operational store's tables as dbt reads them, for one pass."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from roomtone.contract import SCOPES
from roomtone.errors import RoomtoneError
from roomtone.policies.overrides import Override, record
from roomtone.policies.publish import publish
from roomtone.settings import PROJECT_ROOT, Settings
from roomtone.stores import warehouse
from roomtone.stores.operational import OperationalStore, Pass, intents, policy_versions
from roomtone.transform.mirror import MIRRORED, mirror, mirrored_rows

T0 = datetime(2026, 3, 2, 9, tzinfo=UTC)
NAIVE = T0.replace(tzinfo=None)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def store(settings: Settings) -> OperationalStore:
    opened = OperationalStore(settings)
    publish(settings, opened, T0)
    return opened


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[object, ...]]:
    return connection.execute(query).fetchall()


def intend(store: OperationalStore, intent_id: str, as_of: datetime, **values: object) -> None:
    base = {
        "intent_id": intent_id,
        "destination": "klaviyo",
        "kind": "recovery_event",
        "subject_id": f"trigger-{intent_id}",
        "fingerprint": "f",
        "payload": "{}",
        "pass_sequence": 1,
        "as_of": as_of,
        "status": "done",
        "attempts": 1,
        "outcome": "",
        "sent_at": as_of,
        "done_at": as_of + MINUTE,
    }
    with store.begin() as transaction:
        transaction.execute(intents.insert().values(base | values))


def test_every_table_has_the_columns_that_dbt_reads(
    settings: Settings, store: OperationalStore, connection: duckdb.DuckDBPyConnection
) -> None:
    mirror(settings, connection, store, Pass(7, T0))
    types = {"string": "VARCHAR", "int32": "INTEGER", "int64": "BIGINT", "double": "DOUBLE", "bool": "BOOLEAN"}
    for name, schema in MIRRORED.items():
        described = [(row[0], row[1]) for row in rows(connection, f"describe raw.{name}")]
        assert described == [(column.name, types.get(str(column.type), "TIMESTAMP")) for column in schema]
    assert rows(connection, "select * from raw.current_pass") == [(7, NAIVE)]


def test_the_shipped_suppression_rules_arrive_flat(
    settings: Settings, store: OperationalStore, connection: duckdb.DuckDBPyConnection
) -> None:
    mirror(settings, connection, store, Pass(1, T0))
    columns = (
        "policy_version, owner, start_kind, start_sentiment, start_min_confidence, start_fact, start_days, start_count,"
        " tier, relief_sentiment, relief_min_confidence, relief_after_hours, cool_off_hours, max_days, applies_from,"
        " applies_to"
    )
    found = {row[0]: row[1:] for row in rows(connection, f"select policy_id, {columns} from raw.suppression_policies")}
    assert found["open_negative_ticket"] == (
        1,
        "CX lead",
        "sentiment",
        "negative",
        0.8,
        None,
        None,
        None,
        2,
        "positive",
        0.8,
        12.0,
        24.0,
        14.0,
        None,
        None,
    )
    assert found["shipment_stalled"] == (
        1,
        "Operations lead",
        "fact",
        None,
        None,
        "shipment_stalled",
        5.0,
        None,
        1,
        None,
        None,
        None,
        12.0,
        14.0,
        None,
        None,
    )
    assert found["repeat_contact"][5:8] == ("repeat_contact", 7.0, 3)
    assert found["threat"][5:9] == ("threat", None, None, 3)
    scopes = rows(connection, "select policy_id, scope from raw.suppression_policy_scopes where policy_version = 1")
    assert {scope for policy, scope in scopes if policy == "open_negative_ticket"} == set(SCOPES)
    assert {scope for policy, scope in scopes if policy == "mild_complaint"} == {"discount", "celebration"}


def test_the_shipped_recovery_and_routing_rules_arrive_flat(
    settings: Settings, store: OperationalStore, connection: duckdb.DuckDBPyConnection
) -> None:
    mirror(settings, connection, store, Pass(1, T0))
    columns = (
        "message_class, trigger, min_tier, requires_fact, wait_hours, expires_after_hours, consent, cooldown_days,"
        " max_per_customer, budget_per_day, budget_per_month, offer"
    )
    found = {row[0]: row[1:] for row in rows(connection, f"select kind, {columns} from raw.recovery_policies")}
    # welcome_back is shipped switched off.
    assert set(found) == {"apology", "priority_confirmation", "discount_code", "free_shipping", "personal_note"}
    assert found["apology"] == ("service", "cause_started", 2, False, 0.0, 2.0, "none", 7.0, 1, 200, 2000, None)
    assert found["discount_code"] == (
        "marketing",
        "ticket_resolved",
        1,
        True,
        0.0,
        24.0,
        "email",
        90.0,
        1,
        50,
        500,
        "10 % off the next order",
    )
    assert found["free_shipping"][:5] == ("marketing", "shipment_stalled", 0, True, 24.0)
    (routing,) = rows(connection, "select * exclude (owner, why, published_at) from raw.routing_policies")
    assert routing == ("ticket_priority", 2, 45, 25, 10, 20, 1000, 0.1, 24, 24, 24, 12, 4, 1, None, None)
    queues = rows(
        connection, "select position, queue, min_tier, urgency, intents, priority from raw.routing_queues order by 1"
    )
    assert queues[0] == (1, "escalations", 3, None, None, "urgent")
    assert queues[1] == (2, "escalations", 2, "high", None, "urgent")
    assert queues[-1] == (6, "support", 0, None, None, "normal")


def test_a_queues_intents_are_joined(settings: Settings, tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    folder = Path(shutil.copytree(PROJECT_ROOT / "include" / "policies", tmp_path / "policies"))
    path = folder / "routing.yml"
    path.write_text(
        path.read_text().replace("{queue: support, min_tier: 1,", "{queue: money, intents: [refund, payment],")
    )
    edited = replace(settings, policies_dir=folder)
    store = OperationalStore(edited)
    publish(edited, store, T0)
    mirror(edited, connection, store, Pass(1, T0))
    assert rows(connection, "select min_tier, intents from raw.routing_queues where queue = 'money'") == [
        (0, "refund,payment")
    ]


def test_a_later_version_begins_where_the_earlier_one_ends(
    settings: Settings, tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    folder = Path(shutil.copytree(PROJECT_ROOT / "include" / "policies", tmp_path / "policies"))
    edited = replace(settings, policies_dir=folder)
    store = OperationalStore(edited)
    publish(edited, store, T0)
    path = folder / "suppression.yml"
    path.write_text(path.read_text().replace("- id: threat\n  version: 1", "- id: threat\n  version: 2"))
    publish(edited, store, T0 + 60 * MINUTE)
    query = (
        "select policy_version, published_at, applies_from, applies_to from raw.suppression_policies"
        " where policy_id = 'threat' order by policy_version"
    )
    later = NAIVE + timedelta(hours=1)
    mirror(edited, connection, store, Pass(1, T0 + 60 * MINUTE))
    assert rows(connection, query) == [(1, NAIVE, None, later), (2, later, later, None)]
    mirror(edited, connection, store, Pass(2, T0 + 59 * MINUTE))
    assert rows(connection, query) == [(1, NAIVE, None, None)]


def test_overrides_come_one_row_per_scope_once_they_have_begun(
    settings: Settings, store: OperationalStore, connection: duckdb.DuckDBPyConnection
) -> None:
    hostile = "they said \"'); drop table raw.overrides; --"
    chosen = Override.decided("pause", "customer-1", hostile, "Ana", ("sms", "sales"), T0, timedelta(hours=3))
    whole = Override.decided("release", "customer-2", "called", "Ana", (), T0 + MINUTE, timedelta(hours=3))
    record(store, chosen)
    record(store, whole)
    query = (
        "select customer_id, action, scope, reason, starts_at, ends_at from raw.overrides order by customer_id, scope"
    )
    mirror(settings, connection, store, Pass(1, T0))
    end = NAIVE + timedelta(hours=3)
    assert rows(connection, query) == [
        ("customer-1", "pause", "sales", hostile, NAIVE, end),
        ("customer-1", "pause", "sms", hostile, NAIVE, end),
    ]
    mirror(settings, connection, store, Pass(2, T0 + MINUTE))
    assert len(rows(connection, "select * from raw.overrides where customer_id = 'customer-2'")) == len(SCOPES)


def test_a_pass_sees_what_earlier_passes_sent_and_nothing_of_its_own(
    settings: Settings, store: OperationalStore, connection: duckdb.DuckDBPyConnection
) -> None:
    intend(store, "a", T0 - MINUTE, outcome="accepted")
    intend(store, "b", T0 - MINUTE, status="pending", sent_at=None, done_at=None)
    intend(store, "c", T0)
    intend(store, "d", T0 - MINUTE, kind="profile_properties")
    mirror(settings, connection, store, Pass(1, T0))
    assert rows(connection, "select * from raw.trigger_outcomes order by 1") == [
        ("trigger-a", "klaviyo", "done", NAIVE - MINUTE, "accepted"),
        ("trigger-b", "klaviyo", "pending", None, ""),
    ]


def test_acknowledged_routings_come_each_at_its_own_time(
    settings: Settings, store: OperationalStore, connection: duckdb.DuckDBPyConnection
) -> None:
    routed = {"kind": "ticket_routing", "subject_id": "zendesk-1", "destination": "zendesk"}
    intend(store, "a", T0 - 9 * MINUTE, **routed)
    intend(store, "b", T0 - 5 * MINUTE, **routed)
    intend(store, "c", T0 - 5 * MINUTE, **(routed | {"subject_id": "zendesk-2", "status": "rejected"}))
    intend(store, "d", T0, **(routed | {"subject_id": "zendesk-3"}))
    mirror(settings, connection, store, Pass(1, T0))
    assert rows(connection, "select * from raw.routing_outcomes order by acknowledged_at") == [
        ("zendesk-1", "zendesk", NAIVE - 8 * MINUTE),
        ("zendesk-1", "zendesk", NAIVE - 4 * MINUTE),
    ]


def test_later_routings_are_added_to_those_that_are_there(
    settings: Settings, store: OperationalStore, connection: duckdb.DuckDBPyConnection
) -> None:
    routed = {"kind": "ticket_routing", "destination": "zendesk"}
    intend(store, "a", T0 - 5 * MINUTE, **routed)
    intend(store, "late", T0 - 5 * MINUTE, **routed, status="pending", done_at=None)
    mirror(settings, connection, store, Pass(1, T0))
    with store.begin() as transaction:
        acknowledged = {"status": "done", "done_at": T0 + MINUTE}
        transaction.execute(intents.update().where(intents.c.intent_id == "late").values(acknowledged))
        # What the first mirror brought is not fetched again.
        ages_ago = {"as_of": T0 - 9000 * MINUTE, "done_at": T0 - 9000 * MINUTE}
        transaction.execute(intents.update().where(intents.c.intent_id == "a").values(ages_ago))
    intend(store, "b", T0, **routed)
    mirror(settings, connection, store, Pass(2, T0 + MINUTE), since=T0)
    assert rows(connection, "select ticket_id, acknowledged_at from raw.routing_outcomes order by 1") == [
        ("trigger-a", NAIVE - 4 * MINUTE),
        ("trigger-b", NAIVE + MINUTE),
        ("trigger-late", NAIVE + MINUTE),
    ]


def test_a_second_mirror_replaces_the_first(settings: Settings, store: OperationalStore) -> None:
    with warehouse.connect(settings) as connection:
        for sequence in (1, 2):
            mirror(settings, connection, store, Pass(sequence, T0 + sequence * MINUTE))
        assert rows(connection, "select pass_sequence from raw.current_pass") == [(2,)]
        count = rows(connection, "select count(*), count(distinct policy_id) from raw.suppression_policies")
        assert count == [(8, 8)]


def test_a_failure_leaves_every_table_as_it_was(
    settings: Settings, store: OperationalStore, connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror(settings, connection, store, Pass(1, T0))

    def broken(*args: object) -> dict[str, list[dict[str, object]]]:
        return mirrored_rows(store, Pass(2, T0)) | {"routing_outcomes": [{"acknowledged_at": object()}]}

    monkeypatch.setattr("roomtone.transform.mirror.mirrored_rows", broken)
    with pytest.raises(pa.ArrowTypeError):
        mirror(settings, connection, store, Pass(2, T0))
    assert rows(connection, "select pass_sequence from raw.current_pass") == [(1,)]
    assert rows(connection, "select count(*) from raw.suppression_policies") == [(8,)]


def test_a_published_rule_that_cannot_be_read_stops_the_pass(
    settings: Settings, store: OperationalStore, connection: duckdb.DuckDBPyConnection
) -> None:
    with store.begin() as transaction:
        transaction.execute(
            policy_versions.update().where(policy_versions.c.policy_id == "threat").values(body='{"id": 1}')
        )
    with pytest.raises(RoomtoneError, match="policy_versions: a suppression rule cannot be read"):
        mirror(settings, connection, store, Pass(1, T0))
