"""Desired minus acknowledged: which intents to write. Pure: rows in, rows out."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from roomtone.stores.operational import Pass
from roomtone.sync.desired import DesiredRow

# A row that the vendor refused is offered again unchanged after a minute, then after twice as long each time, at most
# after this long; a changed row at once. Some rows are refused for what they hold, others because the vendor is ill.
REFUSED_AGAIN_AT_FIRST = timedelta(minutes=1)
REFUSED_AGAIN_AFTER = timedelta(hours=1)
# After so many tries without an effect an intent is laid aside for a person to look at.
DEAD_AFTER = 24


@dataclass(frozen=True)
class Intent:
    """One effect owed to one destination. `vendor_id`, the vendor's record, is frozen when the intent is made.

    `sent_at` is the first try, `tried_at` the last. `prior_payload` is what the destination had acknowledged before.
    """

    intent_id: str
    destination: str
    kind: str
    subject_id: str
    vendor_id: str
    fingerprint: str
    payload: Mapping[str, Any]
    pass_sequence: int
    as_of: datetime
    expires_at: datetime | None = None
    status: str = "pending"
    attempts: int = 0
    sent_at: datetime | None = None
    tried_at: datetime | None = None
    prior_payload: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Latest:
    """How the newest intent of a subject stands. `refusals`: how often its very content was refused, in all passes."""

    intent_id: str
    fingerprint: str
    status: str
    attempts: int = 0
    done_at: datetime | None = None
    vendor_id: str | None = None
    refusals: int = 0

    @property
    def is_open(self) -> bool:
        return self.status in ("pending", "sending", "sent")


@dataclass(frozen=True)
class Plan:
    """`intents` are new; `withdrawn` are ids of unsent intents that nobody wants any more; the counts are of rows."""

    intents: tuple[Intent, ...]
    withdrawn: tuple[str, ...]
    unchanged: int
    unfinished: int
    refused: int


def plan_states(
    destination: str,
    current: Pass,
    rows: Iterable[DesiredRow],
    *,
    acknowledged: Mapping[str, str],
    latest: Mapping[str, Latest],
    vendor_ids: Mapping[str, str],
    now: datetime,
) -> Plan:
    """Intents for subjects whose desired state differs from what the destination is known to hold.

    `acknowledged` maps subject to fingerprint, `latest` to its newest intent, `vendor_ids` to the vendor's record.
    While an intent that was tried is open nobody knows what the destination holds, so that even a return to the
    acknowledged state is sent. The id of an intent holds the pass: A to B to A are three intents, and planning one pass
    twice gives the same ids.
    """
    intents: list[Intent] = []
    withdrawn: list[str] = []
    unchanged = unfinished = refused = 0
    for row in rows:
        known = acknowledged.get(row.subject_id)
        newest = latest.get(row.subject_id)
        if newest is not None and newest.is_open:
            if newest.fingerprint == row.fingerprint:
                unfinished += 1
                continue
            if known == row.fingerprint and newest.attempts == 0:
                withdrawn.append(newest.intent_id)
                unchanged += 1
                continue
        elif known == row.fingerprint:
            unchanged += 1
            continue
        elif newest is not None and _is_refused(newest, row.fingerprint, vendor_ids[row.subject_id], now):
            refused += 1
            continue
        key = (destination, row.kind, row.subject_id, row.fingerprint, known or "", str(current.sequence))
        intent = _intent(digest(key), destination, current, row, vendor_ids[row.subject_id])
        if newest is not None and newest.status == "rejected" and newest.fingerprint == row.fingerprint:
            # The same content offered again: its tries add up.
            intent = replace(intent, attempts=newest.attempts)
        intents.append(intent)
    return Plan(tuple(intents), tuple(withdrawn), unchanged, unfinished, refused)


def plan_events(
    destination: str,
    current: Pass,
    rows: Iterable[DesiredRow],
    latest: Mapping[str, Latest],
    vendor_ids: Mapping[str, str],
) -> Plan:
    """An intent for each event that this destination never had one for. `latest` maps trigger to its intent.

    A trigger has one intent per destination for ever: whatever became of it, there is never a second.
    """
    intents: list[Intent] = []
    unchanged = unfinished = refused = 0
    for row in rows:
        newest = latest.get(row.subject_id)
        if newest is None:
            intents.append(
                _intent(
                    event_intent_id(destination, row.subject_id), destination, current, row, vendor_ids[row.subject_id]
                )
            )
        elif newest.is_open:
            unfinished += 1
        elif newest.status == "done":
            unchanged += 1
        else:
            refused += 1
    return Plan(tuple(intents), (), unchanged, unfinished, refused)


def event_intent_id(destination: str, trigger_id: str) -> str:
    return f"{destination}:{trigger_id}"


def louder_ones(rows: Sequence[DesiredRow], vendor_ids: Mapping[str, str]) -> set[str]:
    """Subjects whose vendor record is also another's: the quietest one speaks for it, these keep still."""
    quietest: dict[str, DesiredRow] = {}
    doubled = set()
    for row in rows:
        vendor_id = vendor_ids[row.subject_id]
        other = quietest.get(vendor_id)
        if other is None:
            quietest[vendor_id] = row
            continue
        louder, quieter = sorted((row, other), key=_quietness)
        doubled.add(louder.subject_id)
        quietest[vendor_id] = quieter
    return doubled


def _quietness(row: DesiredRow) -> tuple[int, str, str]:
    pauses = sum(value is True for value in row.payload.values())
    return pauses, str(row.payload.get("roomtone_pause_until") or ""), row.subject_id


def _is_refused(newest: Latest, wanted: str, vendor_id: str, now: datetime) -> bool:
    """Whether the very same was refused a short while ago, or so often that a person has to look at it."""
    if newest.fingerprint != wanted or newest.vendor_id not in (None, vendor_id):
        return False
    if newest.status == "dead":
        return True
    if newest.status != "rejected" or newest.done_at is None:
        return False
    # Tries that ended without an answer say nothing about the row.
    doublings = min(max(newest.refusals - 1, 0), 10)
    return now - newest.done_at < min(REFUSED_AGAIN_AT_FIRST * (1 << doublings), REFUSED_AGAIN_AFTER)


def _intent(intent_id: str, destination: str, current: Pass, row: DesiredRow, vendor_id: str) -> Intent:
    return Intent(
        intent_id=intent_id,
        destination=destination,
        kind=row.kind,
        subject_id=row.subject_id,
        vendor_id=vendor_id,
        fingerprint=row.fingerprint,
        payload=row.payload,
        pass_sequence=current.sequence,
        as_of=current.as_of,
        expires_at=row.expires_at,
    )


def digest(parts: tuple[str, ...]) -> str:
    """The id of an effect that consists of these parts: the same parts always have the same one."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
