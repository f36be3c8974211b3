"""Reads a destination back at leisure and compares it with what it acknowledged: drift is repaired, hands are reported.

A value that differs for the first time may be a lost write, and is set again by an intent like any other. One that
differs again after that was changed by somebody: it is reported and left alone, for two who correct each other send a
customer back and forth.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from roomtone import clock
from roomtone.policies.versions import policies_in_force
from roomtone.settings import Settings
from roomtone.stores.ledger import drifts, promotional_sends
from roomtone.stores.operational import OperationalStore, Pass, acknowledged, intents, passes
from roomtone.sync import accounts, gate, holds
from roomtone.sync.call_budget import opened
from roomtone.sync.delivery import Delivery
from roomtone.sync.desired import PAUSES, PROFILE_PROPERTIES, rfc3339
from roomtone.sync.destinations.base import Destination, PromotionalSend
from roomtone.sync.guardrails import Situation
from roomtone.sync.outbox import OPEN, Outbox
from roomtone.sync.plan import Intent, Plan, digest
from roomtone.sync.report import KindCounts
from roomtone.sync.transport import Timing

DRIFT, BY_HAND = "drift", "changed by hand"
TRANSACTIONAL = "transactional"
_CHUNK = 1000


@dataclass(frozen=True)
class ReconcileReport:
    """What was compared and found, in records; `notes` name the sends that leave nobody out, one line each.

    `created`: records without an address that an event of roomtone has made, each named in `notes` too.
    """

    destination: str
    compared: int = 0
    equal: int = 0
    repaired: int = 0
    unrepaired: int = 0
    by_hand: int = 0
    missing: int = 0
    sends_without_exclusion: int = 0
    created: int = 0
    notes: tuple[str, ...] = field(default_factory=tuple)

    def as_text(self) -> str:
        """A line of counts, and one for each note."""
        line = f"{self.destination}: {self.compared} compared, {self.equal} as acknowledged, {self.repaired} repaired"
        line += f", {self.unrepaired} still to repair, {self.by_hand} changed by hand and left, {self.missing} gone"
        return "\n".join([line, *self.notes])


@dataclass(frozen=True)
class Held:
    """A record as the destination acknowledged it."""

    subject_id: str
    vendor_id: str
    fingerprint: str
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """One property of one record that is not as acknowledged. `verdict` is DRIFT or BY_HAND."""

    held: Held
    name: str
    found: Any
    verdict: str


def judge(held: Held, found: Mapping[str, Any], repaired_before: frozenset[str]) -> list[Difference]:
    """How a record differs from what was acknowledged. Pure.

    `repaired_before`: the properties of this record that a reconciliation has repaired already. A missing property and
    a null one are the same to a platform.
    """
    return [
        Difference(held, name, found.get(name), BY_HAND if name in repaired_before else DRIFT)
        for name, value in held.payload.items()
        if found.get(name) != value
    ]


def lacking(send: PromotionalSend) -> str:
    """What a send lacks to leave paused profiles out: nothing (empty), a property to look at, or a scope at all."""
    if send.scope == TRANSACTIONAL:
        return ""
    if send.scope is None:
        return "a scope"
    wanted = f"roomtone_pause_{send.scope}"
    return "" if send.excluded_by is None or wanted in send.excluded_by else wanted


def reconcile(settings: Settings, destination: str, timing: Timing | None = None) -> ReconcileReport:
    """Reads back every acknowledged record, repairs drift, and lists the live sends that lack the exclusion.

    It holds the destination's lease: a sync that is under way is waited for. Raises RoomtoneError where the destination
    cannot be reached.
    """
    timing = timing or Timing()
    store = OperationalStore(settings)
    try:
        current = _last_valid_pass(store)
        if current is None:
            return ReconcileReport(destination)
        with gate.one_sync(store, destination, timing.lease_seconds) as lease:
            outbox = Outbox(store, destination, lease)
            own_run = outbox.begin_run(current, clock.now(settings), is_released=True)
            total, is_complete = KindCounts(), False
            try:
                with opened(
                    settings, store, destination, own_run, lambda: clock.now(settings), timing=timing
                ) as target:
                    target.fence(lease.check, lease.epoch)
                    accounts.require_account_of(settings, store, target, clock.now(settings))
                    found = _compare(store, target, clock.now(settings))
                    delivery = Delivery(
                        store=store,
                        outbox=outbox,
                        target=target,
                        sync_run_id=own_run,
                        now=lambda: clock.now(settings),
                        sleep=timing.sleep,
                        rules=lambda at: policies_in_force(store, at).guardrails,
                        facts=_as_acknowledged,
                        is_released=False,
                    )
                    repairs = _repairs(destination, found.differences, current, own_run)
                    if not any(hold.reason == "rolled back" for hold in holds.open_holds(store, destination)):
                        _repair(outbox, delivery, repairs, total)
                    sends = target.promotional_sends()
                    created = target.created_records(clock.now(settings))
                is_complete = True
            finally:
                outbox.end_run(own_run, clock.now(settings), total, is_complete)
            _keep(store, destination, found.differences, _repaired(store, repairs), clock.now(settings))
            notes = _keep_sends(store, destination, sends, clock.now(settings))
        return ReconcileReport(
            destination=destination,
            compared=found.compared,
            equal=found.compared - len({difference.held.subject_id for difference in found.differences}),
            repaired=total.done,
            unrepaired=len(repairs) - total.done,
            by_hand=len({d.held.subject_id for d in found.differences if d.verdict == BY_HAND}),
            missing=found.missing,
            sends_without_exclusion=len(notes),
            created=len(created),
            notes=(
                *notes,
                *(f"record {vendor_id} has an event and no address: delete it there" for vendor_id in created),
            ),
        )
    finally:
        store.close()


@dataclass
class _Found:
    compared: int = 0
    missing: int = 0
    differences: list[Difference] = field(default_factory=list)


def _compare(store: OperationalStore, target: Destination, now: datetime) -> _Found:
    result = _Found()
    if PROFILE_PROPERTIES not in target.kinds or not target.can_read_back:
        return result
    for part in _held(store, target.name):
        shown = target.read_state(PROFILE_PROPERTIES, [held.vendor_id for held in part])
        repaired = _repaired_before(store, target.name, [held.subject_id for held in part])
        for held in part:
            if held.vendor_id not in shown:
                result.missing += 1
                continue
            result.compared += 1
            differences = judge(held, shown[held.vendor_id], repaired.get(held.subject_id, frozenset()))
            if differences and _is_over(held, shown[held.vendor_id], now):
                # A pause whose end has passed at the platform is as good as none; the next sync clears it.
                continue
            result.differences += differences
    return result


def _is_over(held: Held, found: Mapping[str, Any], now: datetime) -> bool:
    """Whether neither side pauses anything any more, by the date that was sent along."""
    until = held.payload.get("roomtone_pause_until")
    shows_a_pause = any(found.get(pause) is True for pause in PAUSES)
    return until is not None and until <= rfc3339(now) and not shows_a_pause


def _held(store: OperationalStore, destination: str) -> Iterator[list[Held]]:
    """The acknowledged profiles about which nothing is under way, in parts, each with the record it was sent to.

    One part is in memory at a time, and no transaction stays open while the destination is asked.
    """
    columns = acknowledged.c
    last = ""
    while True:
        query = (
            sa.select(columns.subject_id, columns.fingerprint, columns.payload)
            .where(columns.destination == destination, columns.kind == PROFILE_PROPERTIES, columns.subject_id > last)
            .order_by(columns.subject_id)
            .limit(_CHUNK)
        )
        with store.begin() as connection:
            rows = connection.execute(query).all()
            records = _records(connection, destination, [row.subject_id for row in rows])
        if not rows:
            return
        last = rows[-1].subject_id
        sent = [(row, records.get((row.subject_id, row.fingerprint))) for row in rows]
        part = [
            Held(r.subject_id, vendor_id, r.fingerprint, json.loads(r.payload)) for r, vendor_id in sent if vendor_id
        ]
        if part:
            yield part


def _records(connection: sa.Connection, destination: str, subject_ids: list[str]) -> dict[tuple[str, str], str]:
    """The record to which each (subject, fingerprint) was brought last; none for who has something under way."""
    columns = intents.c
    query = (
        sa.select(columns.subject_id, columns.fingerprint, columns.vendor_id, columns.status)
        .where(
            columns.destination == destination,
            columns.kind == PROFILE_PROPERTIES,
            columns.subject_id.in_(subject_ids),
            columns.status.in_(("done", *OPEN)),
        )
        .order_by(columns.done_at, columns.intent_id)
    )
    under_way: set[str] = set()
    newest: dict[str, tuple[str, str]] = {}
    for row in connection.execute(query):
        if row.status == "done":
            newest[row.subject_id] = (row.fingerprint, row.vendor_id)
        else:
            under_way.add(row.subject_id)
    return {(i, fingerprint): vendor for i, (fingerprint, vendor) in newest.items() if i not in under_way}


def _repaired_before(store: OperationalStore, destination: str, subject_ids: list[str]) -> dict[str, frozenset[str]]:
    query = sa.select(drifts.c.subject_id, drifts.c.property).where(
        drifts.c.destination == destination, drifts.c.subject_id.in_(subject_ids), drifts.c.repaired_at.is_not(None)
    )
    found: dict[str, set[str]] = {}
    with store.begin() as connection:
        for row in connection.execute(query):
            found.setdefault(row.subject_id, set()).add(row.property)
    return {subject_id: frozenset(names) for subject_id, names in found.items()}


def _repairs(destination: str, differences: list[Difference], current: Pass, run_id: int) -> list[Intent]:
    """The acknowledged state once more for each record that drifted; one that somebody changed by hand stays so."""
    by_hand = {difference.held.subject_id for difference in differences if difference.verdict == BY_HAND}
    drifted = {d.held.subject_id: d.held for d in differences if d.held.subject_id not in by_hand}
    return [
        Intent(
            intent_id=digest(("repair", held.subject_id, held.vendor_id, held.fingerprint, str(run_id))),
            destination=destination,
            kind=PROFILE_PROPERTIES,
            subject_id=held.subject_id,
            vendor_id=held.vendor_id,
            fingerprint=held.fingerprint,
            payload=held.payload,
            pass_sequence=current.sequence,
            as_of=current.as_of,
        )
        for held in drifted.values()
    ]


def _repair(outbox: Outbox, delivery: Delivery, repairs: list[Intent], total: KindCounts) -> None:
    if repairs:
        outbox.write(Plan(tuple(repairs), (), 0, 0, 0), {intent.subject_id: intent.payload for intent in repairs})
        delivery.deliver(PROFILE_PROPERTIES, {intent.subject_id for intent in repairs}, frozenset(), total)


def _repaired(store: OperationalStore, repairs: list[Intent]) -> set[str]:
    ids = [intent.intent_id for intent in repairs]
    with store.begin() as connection:
        done = sa.select(intents.c.subject_id).where(intents.c.status == "done", intents.c.intent_id.in_(ids))
        return set(connection.execute(done).scalars())


def _keep(
    store: OperationalStore, destination: str, differences: list[Difference], repaired: set[str], now: datetime
) -> None:
    rows = [
        {
            "destination": destination,
            "kind": PROFILE_PROPERTIES,
            "subject_id": difference.held.subject_id,
            "vendor_id": difference.held.vendor_id,
            "property": difference.name,
            "acknowledged": json.dumps(difference.held.payload.get(difference.name)),
            "found": json.dumps(difference.found),
            "verdict": difference.verdict,
            "found_at": now,
            "repaired_at": now if difference.held.subject_id in repaired else None,
        }
        for difference in differences
    ]
    if rows:
        with store.begin() as connection:
            connection.execute(drifts.insert(), rows)


def _keep_sends(
    store: OperationalStore, destination: str, sends: list[PromotionalSend], now: datetime
) -> tuple[str, ...]:
    """Keeps the live sends as seen now; returns a line for each that leaves no paused profile out."""
    rows = [
        {
            "destination": destination,
            "send_id": send.send_id,
            "kind": send.kind,
            "name": send.name,
            "channel": send.channel,
            "scope": send.scope,
            "lacks": lacking(send),
            "checked_at": now,
        }
        for send in sends
    ]
    with store.begin() as connection:
        connection.execute(promotional_sends.delete().where(promotional_sends.c.destination == destination))
        if rows:
            connection.execute(promotional_sends.insert(), rows)
    return tuple(f"{row['kind']} {row['send_id']} lacks {row['lacks']}" for row in rows if row["lacks"])


def _last_valid_pass(store: OperationalStore) -> Pass | None:
    query = sa.select(passes).where(passes.c.is_valid.is_(True)).order_by(passes.c.sequence.desc()).limit(1)
    with store.begin() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else Pass(row.sequence, row.as_of)


def _as_acknowledged(now: datetime) -> Situation:
    """A repair sets what was decided and sent before; how old the newest data are does not matter to it."""
    return Situation.without_data(now, is_first=True)
