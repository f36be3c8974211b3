"""The audits find what they look for: each violation is planted and named."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from roomtone.policies.guardrails import Guardrails
from roomtone.policies.schema import load_policies
from roomtone.settings import load_settings
from roomtone.stores.ledger import effects, lease_epochs
from roomtone.stores.operational import OperationalStore, extract_runs, intents, passes, sync_runs
from roomtone.sync.audit import audit_platform, audit_store, audit_warehouse, epoch_of

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OperationalStore]:
    store = OperationalStore(load_settings({"ROOMTONE_HOME": str(tmp_path / "home")}))
    yield store
    store.close()


@pytest.fixture(scope="module")
def rules() -> Guardrails:
    return load_policies(load_settings({}).policies_dir).guardrails


def run(number: int, **facts: Any) -> dict[str, Any]:
    counts = {"total_rows": 1, "successful_rows": 1, "failed_rows": 0, "skipped_rows": 0}
    known = {"sync_run_id": number, "destination": "klaviyo", "pass_sequence": 1, "started_at": NOW, "epoch": number}
    return counts | known | facts


def offer(intent_id: str, subject_id: str) -> dict[str, Any]:
    return {
        "intent_id": intent_id,
        "destination": "klaviyo",
        "kind": "recovery_event",
        "subject_id": subject_id,
        "fingerprint": "f",
        "payload": json.dumps({"message_class": "marketing"}),
        "pass_sequence": 1,
        "as_of": NOW,
        "status": "done",
        "attempts": 1,
        "outcome": "",
    }


def effect(intent_id: str, **facts: Any) -> dict[str, Any]:
    known = {"intent_id": intent_id, "attempt": 1, "destination": "klaviyo", "sync_run_id": 1, "epoch": 1}
    return known | {"vendor_id": "P", "claimed_at": NOW, "data_as_of": NOW} | facts


def plant(store: OperationalStore, *, is_degraded: bool = False, **rows: list[dict[str, Any]]) -> None:
    tables = {"runs": sync_runs, "intents": intents, "effects": effects, "epochs": lease_epochs, "loads": extract_runs}
    with store.begin() as connection:
        connection.execute(
            passes.insert().values(sequence=1, as_of=NOW, begun_at=NOW, is_valid=True, is_degraded=is_degraded)
        )
        for name, chosen in rows.items():
            connection.execute(tables[name].insert(), chosen)


EPOCH = {"destination": "klaviyo", "epoch": 1, "holder": "h 1 1", "claimed_at": NOW}


def test_a_clean_store_has_no_violation(store: OperationalStore, rules: Guardrails) -> None:
    plant(store, runs=[run(1)], epochs=[EPOCH], intents=[offer("i", "t")], effects=[effect("i")])
    assert audit_store(store, rules) == []


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ({"runs": [run(1, newly_paused=51, newly_paused_limit=50)]}, "I6 run 1 newly paused 51 customers"),
        ({"runs": [run(1)], "intents": [offer("i", "t"), offer("j", "t")]}, "I7 t has more than one intent"),
        ({"runs": [run(1), run(2, epoch=1)]}, "I8 run 2 of klaviyo has epoch 1 again"),
        (
            {"runs": [run(1)], "epochs": [EPOCH, EPOCH | {"epoch": 2}], "effects": [effect("i", epoch=2)]},
            "I8 i was handed over under epoch 2 of another run",
        ),
        ({"runs": [run(1)], "effects": [effect("i")]}, "I8 i was handed over without a lease"),
        (
            {
                "runs": [run(1)],
                "epochs": [EPOCH],
                "intents": [offer("i", "t")],
                "effects": [effect("i", data_as_of=NOW - timedelta(minutes=61))],
            },
            "I9 i left on data that were 61 minutes old",
        ),
        ({"runs": [run(1, pass_sequence=9)]}, "I10 run 1 belongs to a pass that is not known"),
        (
            {
                "loads": [
                    {
                        "source": "zendesk",
                        "stream": "tickets",
                        "load_id": "l",
                        "count_read": 3,
                        "count_landed": 1,
                        "count_duplicate": 1,
                        "count_quarantined": 0,
                        "as_of": NOW,
                        "finished_at": NOW,
                    }
                ]
            },
            "I1 zendesk tickets of load l does not add up",
        ),
    ],
)
def test_each_violation_is_found(
    planted: dict[str, list[dict[str, Any]]], found: str, store: OperationalStore, rules: Guardrails
) -> None:
    plant(store, **planted)
    lines = audit_store(store, rules)
    assert len(lines) == 1
    assert lines[0].startswith(found)


def test_an_offer_without_the_model_is_found(store: OperationalStore, rules: Guardrails) -> None:
    plant(store, is_degraded=True, runs=[run(1)], epochs=[EPOCH], intents=[offer("i", "t")], effects=[effect("i")])
    assert audit_store(store, rules) == ["I9 i is an offer on a pass without its model"]


def test_what_a_platform_tells_against_us_is_found() -> None:
    wanted = {"P1": {"roomtone_pause_sales": True}}
    log = [
        {"kind": "request", "method": "PATCH", "path": "/a", "agent": "roomtone (epoch 2)"},
        {"kind": "request", "method": "PATCH", "path": "/b", "agent": "roomtone (epoch 1)"},
        {"kind": "request", "method": "GET", "path": "/c", "agent": "roomtone (epoch 1)"},
        {"kind": "event_received", "unique_id": "t", "is_duplicate": False},
        {"kind": "event_received", "unique_id": "t", "is_duplicate": True},
        {"kind": "event_received", "unique_id": "t", "is_duplicate": False},
    ]
    assert audit_platform(wanted, {"P1": {}}, log) == [
        "I4 P1 shows None as roomtone_pause_sales, wanted is True",
        "I8 PATCH /b was made under epoch 1 after 2",
        "I7 t arrived 2 times",
    ]
    assert epoch_of("python-httpx/0.28") == 0


def test_what_a_warehouse_tells_is_found(store: OperationalStore) -> None:
    plant(store)
    with duckdb.connect() as connection:
        connection.execute("create schema marts; create schema raw")
        connection.execute(
            "create table marts.fct_suppression_causes as select 'c' as cause_id, 'p' as policy_id,"
            " timestamp '2026-03-02' as started_at, timestamp '2026-05-02' as planned_end_at,"
            " timestamp '2026-03-02' as latest_evidence_at"
        )
        connection.execute("create table raw.current_pass as select 7 as pass_sequence")
        assert audit_warehouse(connection, store) == [
            "I5 a cause has no rule, no end, or one beyond its cap: c",
            "I10 the warehouse holds pass 7 and the operational store ends at 1",
        ]
