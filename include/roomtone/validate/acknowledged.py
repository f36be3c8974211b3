"""Reads what the guardrails compare: the pass's plan from the warehouse, what is held from the operational store."""

import json
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import sqlalchemy as sa

from roomtone.contract import SCOPES
from roomtone.stores.operational import OperationalStore, Pass, acknowledged, intents, vendor_identities
from roomtone.validate.guardrails import Held, Plan

_PROFILES = "profile_properties"
_EVENTS = "recovery_event"
# An intent in one of these states was decided by an earlier valid pass and only waits for its destination.
_ON_THE_WAY = ("pending", "sending", "sent")
_SENT = ("sending", "sent", "done")


def read_plan(connection: duckdb.DuckDBPyConnection, store: OperationalStore, current: Pass) -> Plan:
    """What this pass would make true. Raises duckdb.Error when a mart that it reads is missing."""
    as_of = current.as_of.astimezone(UTC).replace(tzinfo=None)
    pauses: dict[str, set[str]] = defaultdict(set)
    for customer, scope in connection.execute(
        "select customer_id, scope from activations.sync_suppression_segment"
    ).fetchall():
        pauses[customer].add(scope)
    ended = connection.execute(
        "select distinct customer_id, scope from marts.fct_suppressions where valid_to <= $as_of", {"as_of": as_of}
    ).fetchall()
    count = connection.execute("select count(*) from marts.dim_customers").fetchone()
    offers = connection.execute(
        "select trigger_id from activations.sync_recovery_events where message_class = 'marketing'"
    ).fetchall()
    marketing = connection.execute(
        "select trigger_id from marts.fct_recovery_triggers where message_class = 'marketing'"
    ).fetchall()
    sent = _sent_on_day(store, current.as_of)
    return Plan(
        current.as_of,
        int(count[0]) if count else 0,
        pauses,
        {(customer, scope) for customer, scope in ended},
        {trigger for (trigger,) in offers},
        sent & {trigger for (trigger,) in marketing},
    )


def read_held(store: OperationalStore, as_of: datetime) -> list[Held]:
    """What each destination that takes profiles holds, by name. Pauses whose own end has passed are over without us."""
    with store.begin() as connection:
        rows = connection.execute(
            sa.select(acknowledged.c.destination, acknowledged.c.subject_id, acknowledged.c.payload).where(
                acknowledged.c.kind == _PROFILES
            )
        ).all()
        coming = connection.execute(
            sa.select(intents.c.destination, intents.c.subject_id, intents.c.payload)
            .where(intents.c.kind == _PROFILES, intents.c.status.in_(_ON_THE_WAY))
            .order_by(intents.c.pass_sequence)
        ).all()
        absent = connection.execute(
            sa.select(vendor_identities.c.destination, vendor_identities.c.customer_id).where(
                vendor_identities.c.vendor_id.is_(None)
            )
        ).all()
    pauses: dict[str, dict[str, set[str]]] = defaultdict(dict)
    for row in [*rows, *coming]:
        pauses[str(row[0])][str(row[1])] = _running(json.loads(str(row[2])), as_of)
    unknown: dict[str, set[str]] = defaultdict(set)
    for row in absent:
        unknown[str(row[0])].add(str(row[1]))
    confirmed = {str(row[0]) for row in rows}
    return [Held(name, pauses[name], unknown[name], name not in confirmed) for name in sorted(pauses)]


def _sent_on_day(store: OperationalStore, as_of: datetime) -> set[str]:
    begin = as_of.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with store.begin() as connection:
        query = sa.select(intents.c.subject_id).where(
            intents.c.kind == _EVENTS,
            intents.c.status.in_(_SENT),
            intents.c.sent_at >= begin,
            intents.c.sent_at < begin + timedelta(days=1),
        )
        return set(connection.execute(query).scalars())


def _running(payload: Mapping[str, Any], as_of: datetime) -> set[str]:
    until = payload.get("roomtone_pause_until")
    if until is None or datetime.fromisoformat(str(until)) <= as_of:
        return set()
    return {scope for scope in SCOPES if payload.get(f"roomtone_pause_{scope}") is True}
