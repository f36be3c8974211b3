"""What the warehouse says the destinations should hold: the rows of the activation tables, one kind at a time."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import duckdb

from roomtone.contract import SCOPES
from roomtone.errors import RoomtoneError

PROFILE_PROPERTIES = "profile_properties"
RECOVERY_EVENT = "recovery_event"
TICKET_ROUTING = "ticket_routing"
KINDS = (PROFILE_PROPERTIES, RECOVERY_EVENT, TICKET_ROUTING)

PAUSES = tuple(f"roomtone_pause_{scope}" for scope in SCOPES)

# A payload describes an effect by ids and facts; what a person wrote or is called never travels with it.
_PERSONAL_KEYS = frozenset({"body", "subject", "text", "message", "evidence", "name", "email", "phone", "address"})

_QUERIES = {
    PROFILE_PROPERTIES: "select * from activations.sync_profile_properties order by customer_id",
    RECOVERY_EVENT: "select * from activations.sync_recovery_events order by due_at, trigger_id",
    TICKET_ROUTING: "select * from activations.sync_ticket_routing order by ticket_id",
}


@dataclass(frozen=True)
class DesiredRow:
    """One subject (customer, trigger or ticket) and what a destination should know of it.

    `payload` is plain JSON and all that counts as a change; `email` only serves to find the person at a platform.
    """

    kind: str
    subject_id: str
    payload: Mapping[str, Any]
    customer_id: str | None = None
    email: str | None = field(default=None, repr=False)
    source: str | None = None
    expires_at: datetime | None = None

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.payload)


def fingerprint(payload: Mapping[str, Any]) -> str:
    """SHA-256 of a payload's canonical JSON: equal payloads, nulls included, have equal fingerprints."""
    return hashlib.sha256(canonical(payload).encode()).hexdigest()


def canonical(payload: Mapping[str, Any]) -> str:
    return json.dumps(payload, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def calm_profile() -> dict[str, Any]:
    """The properties of somebody whom nothing pauses."""
    return dict[str, Any].fromkeys(PAUSES, False) | {
        "roomtone_tier": 0,
        "roomtone_reason": "",
        "roomtone_pause_until": None,
    }


def is_paused(payload: Mapping[str, Any]) -> bool:
    return any(payload.get(pause) is True for pause in PAUSES)


def read_desired(connection: duckdb.DuckDBPyConnection, kinds: Iterable[str]) -> dict[str, list[DesiredRow]]:
    """The rows of each kind, in a fixed order.

    Raises RoomtoneError for a missing table and for two rows about one subject: of two truths none is sent.
    """
    found = {}
    for kind in kinds:
        try:
            cursor = connection.execute(_QUERIES[kind])
        except duckdb.Error as error:
            raise RoomtoneError(
                f"activations for {kind}", str(error).splitlines()[0], "run `roomtone run`, which builds them"
            ) from error
        names = [column[0] for column in cursor.description or []]
        rows = [_ROWS[kind](dict(zip(names, values, strict=True))) for values in cursor.fetchall()]
        _refuse_duplicates(kind, rows)
        found[kind] = rows
    return found


def count_customers(connection: duckdb.DuckDBPyConnection) -> int:
    """How many customers there are, the base of every share that a guardrail bounds."""
    try:
        [row] = connection.execute("select count(*) from marts.dim_customers").fetchall()
    except duckdb.Error as error:
        raise RoomtoneError(
            "dim_customers", str(error).splitlines()[0], "run `roomtone run`, which builds it"
        ) from error
    return int(row[0])


def rfc3339(instant: datetime) -> str:
    """UTC text to the second, as `2026-03-02T09:00:00Z`; an instant without zone is UTC."""
    aware = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    return aware.strftime("%Y-%m-%dT%H:%M:%SZ")


def profile_row(row: Mapping[str, Any]) -> DesiredRow:
    """A row of sync_profile_properties; raises RoomtoneError for a pause without an end."""
    until = row["roomtone_pause_until"]
    payload: dict[str, Any] = {pause: bool(row[pause]) for pause in PAUSES} | {
        "roomtone_tier": int(row["roomtone_tier"] or 0),
        "roomtone_reason": row["roomtone_reason"] or "",
        "roomtone_pause_until": None if until is None else rfc3339(until),
    }
    if until is None and is_paused(payload):
        raise RoomtoneError(
            "sync_profile_properties.roomtone_pause_until",
            f"is missing for the paused customer {row['customer_id']}",
            "repair the mart: no pause leaves without its own end",
        )
    return DesiredRow(PROFILE_PROPERTIES, row["customer_id"], payload, row["customer_id"], row["email"])


def _event(row: dict[str, Any]) -> DesiredRow:
    try:
        facts = json.loads(row["payload"] or "{}")
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise RoomtoneError(
            "sync_recovery_events.payload", f"of trigger {row['trigger_id']} is not a JSON object", "repair the mart"
        )
    payload = {name: value for name, value in facts.items() if name not in _PERSONAL_KEYS} | {
        "trigger_id": row["trigger_id"],
        "customer_id": row["customer_id"],
        "kind": row["kind"],
        "message_class": row["message_class"],
        "due_at": rfc3339(row["due_at"]),
        "expires_at": rfc3339(row["expires_at"]),
    }
    expires_at = row["expires_at"].replace(tzinfo=UTC)
    return DesiredRow(
        RECOVERY_EVENT, row["trigger_id"], payload, row["customer_id"], row["email"], expires_at=expires_at
    )


def _routing(row: dict[str, Any]) -> DesiredRow:
    tags = sorted({tag.strip() for tag in (row["tags"] or "").split(",") if tag.strip()})
    payload = {"priority": row["priority"], "queue": row["queue"], "tags": tags}
    return DesiredRow(TICKET_ROUTING, row["ticket_id"], payload, source=row["source"])


_ROWS = {PROFILE_PROPERTIES: profile_row, RECOVERY_EVENT: _event, TICKET_ROUTING: _routing}


def _refuse_duplicates(kind: str, rows: list[DesiredRow]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.subject_id in seen:
            raise RoomtoneError(
                f"activations for {kind}", f"two rows about {row.subject_id}", "repair the mart, then run again"
            )
        seen.add(row.subject_id)
