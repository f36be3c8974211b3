"""Reads what the releases compare: the pass's pauses from the warehouse, what is held from the operational store."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import duckdb
import sqlalchemy as sa

from roomtone.contract import SCOPES
from roomtone.stores.operational import PAUSED, OperationalStore, Pass, acknowledged, intents
from roomtone.validate.releases import Held, Wanted

_PROFILES = "profile_properties"
# An intent in one of these states was decided by an earlier valid pass and only waits for its destination.
_ON_THE_WAY = ("pending", "sending", "sent")


def read_wanted(connection: duckdb.DuckDBPyConnection, current: Pass, customers: Iterable[str]) -> Wanted:
    """What this pass would make true of `customers`. Raises duckdb.Error when a mart that it reads is missing."""
    asked = {"customers": sorted(customers)}
    as_of = current.as_of.astimezone(UTC).replace(tzinfo=None)
    pauses: dict[str, set[str]] = defaultdict(set)
    for customer, scope in connection.execute(
        "select customer_id, scope from activations.sync_suppression_segment"
        " where customer_id in (select unnest($customers::varchar[]))",
        asked,
    ).fetchall():
        pauses[customer].add(scope)
    ended = connection.execute(
        "select distinct customer_id, scope from marts.fct_suppressions where valid_to <= $as_of"
        " and customer_id in (select unnest($customers::varchar[]))",
        asked | {"as_of": as_of},
    ).fetchall()
    return Wanted(pauses, {(customer, scope) for customer, scope in ended})


def read_held(store: OperationalStore, as_of: datetime) -> list[Held]:
    """What each destination that takes profiles holds, by name. Pauses whose own end has passed are over without us.

    Of what is acknowledged only profiles with something true in them are read: there may be a million others.
    """
    with store.begin() as connection:
        rows = connection.execute(
            sa.select(acknowledged.c.destination, acknowledged.c.subject_id, acknowledged.c.payload).where(
                sa.text(PAUSED)
            )
        ).all()
        names = connection.execute(
            sa.select(acknowledged.c.destination).where(acknowledged.c.kind == _PROFILES).distinct()
        ).all()
        coming = connection.execute(
            sa.select(intents.c.destination, intents.c.subject_id, intents.c.payload)
            .where(intents.c.kind == _PROFILES, intents.c.status.in_(_ON_THE_WAY))
            .order_by(intents.c.pass_sequence)
        ).all()
    pauses: dict[str, dict[str, set[str]]] = {str(row[0]): {} for row in names}
    for row in [*rows, *coming]:
        pauses.setdefault(str(row[0]), {})[str(row[1])] = _running(json.loads(str(row[2])), as_of)
    return [Held(name, pauses[name]) for name in sorted(pauses)]


def _running(payload: Mapping[str, Any], as_of: datetime) -> set[str]:
    until = payload.get("roomtone_pause_until")
    if until is None or datetime.fromisoformat(str(until)) <= as_of:
        return set()
    return {scope for scope in SCOPES if payload.get(f"roomtone_pause_{scope}") is True}
