"""Activation tables of a trial: what a pass would have built, written straight into the warehouse and confirmed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from roomtone.contract import SCOPES, TIMESTAMP
from roomtone.policies.publish import publish
from roomtone.settings import Settings
from roomtone.stores import warehouse
from roomtone.stores.operational import OperationalStore, Pass

_TEXT = pa.string()
PROFILES = pa.schema(
    [
        ("customer_id", _TEXT),
        ("email", _TEXT),
        ("phone", _TEXT),
        *((f"roomtone_pause_{scope}", pa.bool_()) for scope in SCOPES),
        ("roomtone_tier", pa.int32()),
        ("roomtone_reason", _TEXT),
        ("roomtone_pause_until", TIMESTAMP),
    ]
)
EVENTS = pa.schema(
    [
        ("trigger_id", _TEXT),
        ("customer_id", _TEXT),
        ("email", _TEXT),
        ("kind", _TEXT),
        ("message_class", _TEXT),
        ("due_at", TIMESTAMP),
        ("expires_at", TIMESTAMP),
        ("payload", _TEXT),
    ]
)


def profile(customer_id: str, email: str, until: datetime | None, tier: int = 2) -> dict[str, Any]:
    """A row of sync_profile_properties: everything paused until an instant, or nothing for None."""
    return {
        "customer_id": customer_id,
        "email": email,
        "phone": None,
        **{f"roomtone_pause_{scope}": until is not None for scope in SCOPES},
        "roomtone_tier": 0 if until is None else tier,
        "roomtone_reason": None if until is None else "open_negative_ticket",
        "roomtone_pause_until": None if until is None else _naive(until),
    }


def apology(trigger_id: str, customer_id: str, email: str, due_at: datetime) -> dict[str, Any]:
    """A row of sync_recovery_events that stays due for a day."""
    return {
        "trigger_id": trigger_id,
        "customer_id": customer_id,
        "email": email,
        "kind": "apology",
        "message_class": "service",
        "due_at": _naive(due_at),
        "expires_at": _naive(due_at + timedelta(days=1)),
        "payload": '{"tier": 2}',
    }


def write_pass(settings: Settings, as_of: datetime, profiles: pa.Table, events: pa.Table, customers: int) -> Pass:
    """A new, confirmed pass over these tables."""
    store = OperationalStore(settings)
    try:
        publish(settings, store, as_of)
        current = store.begin_pass(as_of)
        with warehouse.connect(settings) as connection:
            for schema in ("raw", "marts", "activations"):
                connection.execute(f"create schema if not exists {schema}")
            _replace(connection, "activations.sync_profile_properties", profiles)
            _replace(connection, "activations.sync_recovery_events", events)
            ids = pa.table({"customer_id": pa.array([str(number) for number in range(customers)], _TEXT)})
            _replace(connection, "marts.dim_customers", ids)
            row = {"pass_sequence": [current.sequence], "as_of": [_naive(as_of)]}
            _replace(connection, "raw.current_pass", pa.table(row))
        store.mark_pass(current, "validated", is_valid=True)
        return current
    finally:
        store.close()


def _replace(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    connection.register("rows_of_trial", rows)
    connection.execute(f"create or replace table {name} as select * from rows_of_trial")  # noqa: S608 - names of this module
    connection.unregister("rows_of_trial")


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)
