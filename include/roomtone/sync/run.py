"""`sync`: brings one destination to the state of one validated pass, by difference, through the outbox."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta

from roomtone import clock
from roomtone.policies.guardrails import Guardrails
from roomtone.policies.versions import policies_in_force
from roomtone.settings import Settings
from roomtone.stores import warehouse
from roomtone.stores.operational import OperationalStore, Pass
from roomtone.sync import checkpoints, gate
from roomtone.sync.desired import (
    PROFILE_PROPERTIES,
    RECOVERY_EVENT,
    DesiredRow,
    count_customers,
    is_paused,
    read_desired,
)
from roomtone.sync.destinations import destination_class, open_destination
from roomtone.sync.destinations.base import Answer, Destination
from roomtone.sync.guardrails import Situation, holds, told
from roomtone.sync.outbox import Outbox
from roomtone.sync.plan import Intent, Plan, louder_ones, plan_events, plan_states, with_vanished
from roomtone.sync.report import KindCounts, SyncReport

_DAY = timedelta(days=1)
# A destination may show an effect a little after it has accepted it.
_READ_BACK_WAITS_SECONDS = (0.0, 0.3, 1.0, 2.0)
_CLOCK_GOOD_FOR_SECONDS = 1.0


def sync(settings: Settings, current: Pass, destination: str, release_holds: bool = False) -> SyncReport:
    """Sends to `destination` (files, klaviyo, zendesk) what differs from what it has acknowledged.

    Only a pass that validation has confirmed is sent. `release_holds` lets go, once, what a limit on numbers holds;
    neither the kill switch nor stale data are released by it. Raises RoomtoneError for an unknown destination, an
    unconfirmed pass and a vendor that cannot be reached; what was not finished is looked up and continued by the next
    call.
    """
    declared = destination_class(destination)
    store = OperationalStore(settings)
    try:
        gate.require_valid(store, current)
        with gate.one_at_a_time(settings, f"sync-{destination}"):
            now = _clock(settings, current, declared)
            return _sync(settings, store, current, destination, now=now, is_released=release_holds)
    finally:
        store.close()


def _sync(
    settings: Settings,
    store: OperationalStore,
    current: Pass,
    name: str,
    *,
    now: Callable[[], datetime],
    is_released: bool,
) -> SyncReport:
    outbox = Outbox(store, name)
    sync_run_id = outbox.begin_run(current, now())
    kinds: dict[str, KindCounts] = {}
    try:
        with closing(open_destination(settings, store, name, sync_run_id)) as target:
            kinds |= {kind: KindCounts() for kind in target.kinds}
            with warehouse.connect(settings) as connection:
                gate.require_tables_of(connection, current)
                desired = read_desired(connection, target.kinds)
                customers = count_customers(connection)
            rules = policies_in_force(store, now()).guardrails
            run = _Run(target, outbox, current, rules=rules, customers=customers, now=now, is_released=is_released)
            for kind in target.kinds:
                run.bring(kind, [row for row in desired[kind] if target.takes(row)], kinds[kind])
        store.mark_pass(current, "synced")
        return SyncReport(name, current.sequence, sync_run_id, kinds, tuple(run.notes))
    finally:
        outbox.end_run(sync_run_id, now(), SyncReport(name, current.sequence, sync_run_id, kinds).total)
        checkpoints.reached("run_recorded")


class _Run:
    """One sync of one destination, one kind after the other."""

    def __init__(
        self,
        target: Destination,
        outbox: Outbox,
        current: Pass,
        *,
        rules: Guardrails,
        customers: int,
        now: Callable[[], datetime],
        is_released: bool,
    ) -> None:
        self._target = target
        self._outbox = outbox
        self._current = current
        self._rules = rules
        self._customers = customers
        self._now = now
        self._is_released = is_released
        self.notes: list[str] = []

    def bring(self, kind: str, rows: list[DesiredRow], counts: KindCounts) -> None:
        """Brings one kind to the desired rows: settle what is in doubt, plan, write, send, read back."""
        counts.desired = len(rows)
        self._settle(kind, counts)
        acknowledged = self._outbox.fingerprints(kind)
        vanished: list[str] = []
        if kind == PROFILE_PROPERTIES:
            rows, vanished = with_vanished(rows, acknowledged)
        self._plan(kind, rows, acknowledged, counts)
        self._deliver(kind, {row.subject_id for row in rows}, acknowledged, vanished, counts)

    def _settle(self, kind: str, counts: KindCounts) -> None:
        """Looks up what was tried before and never seen: seen is done, the rest may be sent again under the same id."""
        tried = [intent for intent in self._outbox.unfinished(kind) if intent.attempts > 0]
        if not tried:
            return
        seen = self._target.look_up(kind, tried)
        checkpoints.reached("read_back")
        self._finish([intent for intent in tried if intent.intent_id in seen], counts)
        unseen = [intent.intent_id for intent in tried if intent.intent_id not in seen]
        self._outbox.mark(unseen, "pending", "tried before, not seen there")

    def _plan(self, kind: str, rows: list[DesiredRow], acknowledged: Mapping[str, str], counts: KindCounts) -> None:
        now = self._now()
        unfinished = {intent.subject_id for intent in self._outbox.unfinished(kind)}
        # Everything else is as acknowledged, and nothing about it is asked or read.
        open_rows = [
            row
            for row in rows
            if kind == RECOVERY_EVENT
            or row.subject_id in unfinished
            or acknowledged.get(row.subject_id) != row.fingerprint
        ]
        counts.unchanged += len(rows) - len(open_rows)
        latest = self._outbox.latest(kind, (row.subject_id for row in open_rows))
        vendor_ids = self._target.vendor_ids(open_rows, now)
        unknown = {row.subject_id for row in open_rows} - vendor_ids.keys()
        doubled = self._doubled(kind, rows, open_rows, vendor_ids)
        if unknown:
            self.notes.append(f"skipped {len(unknown)} {kind}: not on the platform")
        if doubled:
            self.notes.append(f"skipped {len(doubled)} {kind}: another customer with the same record is quieter")
        counts.skipped += len(unknown) + len(doubled)
        planned = [row for row in open_rows if row.subject_id not in unknown and row.subject_id not in doubled]
        if kind == RECOVERY_EVENT:
            plan = plan_events(self._target.name, self._current, planned, latest, vendor_ids)
        else:
            plan = plan_states(
                self._target.name,
                self._current,
                planned,
                acknowledged=acknowledged,
                latest=latest,
                vendor_ids=vendor_ids,
                now=now,
            )
        checkpoints.reached("planned")
        self._write(plan, counts)

    def _doubled(
        self, kind: str, rows: list[DesiredRow], open_rows: list[DesiredRow], vendor_ids: Mapping[str, str]
    ) -> set[str]:
        """Subjects to leave alone because somebody quieter has the same record, also one whose row is unchanged."""
        if kind == RECOVERY_EVENT or self._target.shares_records:
            return set()
        known = self._target.subjects_of(vendor_ids.values()) | dict(vendor_ids)
        louder = louder_ones([row for row in rows if row.subject_id in known], known)
        return louder & {row.subject_id for row in open_rows}

    def _write(self, plan: Plan, counts: KindCounts) -> None:
        if plan.intents or plan.withdrawn:
            self._outbox.write(plan)
            checkpoints.reached("intents_written")
        counts.unchanged += plan.unchanged
        counts.planned += len(plan.intents)
        counts.skipped += plan.refused

    def _deliver(
        self, kind: str, wanted: set[str], acknowledged: Mapping[str, str], vanished: list[str], counts: KindCounts
    ) -> None:
        open_intents = self._outbox.unfinished(kind)
        now = self._now()
        unwanted = [intent for intent in open_intents if intent.subject_id not in wanted]
        expired = [intent for intent in open_intents if intent.expires_at is not None and intent.expires_at <= now]
        # An event in doubt that nobody wants any more is not sent again; it is looked for until it expires.
        in_doubt = [i for i in unwanted if i.kind == RECOVERY_EVENT and i.attempts > 0 and i not in expired]
        dropped = [intent for intent in unwanted if intent not in in_doubt and intent not in expired]
        self._outbox.mark((i.intent_id for i in dropped), "superseded", "no longer wanted", now)
        self._outbox.mark((i.intent_id for i in expired), "expired", "too late to send", now)
        self._outbox.mark((i.intent_id for i in in_doubt), "sent", "not seen there, and no longer wanted")
        aside = {intent.intent_id for intent in (*unwanted, *expired)}
        sendable = [intent for intent in open_intents if intent.intent_id not in aside]
        held = self._held(kind, sendable, acknowledged, vanished, now)
        for reason in set(held.values()):
            self._outbox.mark((i for i, why in held.items() if why == reason), "pending", f"held: {reason}")
        self.notes.extend(told(kind, held))
        counts.skipped += len(held) + len(expired)
        counts.in_doubt += len(in_doubt)
        urgent_first = sorted(
            (intent for intent in sendable if intent.intent_id not in held), key=_urgency, reverse=True
        )
        for batch in self._target.batches(kind, urgent_first):
            self._send(kind, batch, counts)

    def _held(
        self, kind: str, intents: Sequence[Intent], acknowledged: Mapping[str, str], vanished: list[str], now: datetime
    ) -> dict[str, str]:
        if not intents:
            return {}
        situation = Situation(
            now=now,
            as_of=self._current.as_of,
            count_customers=self._customers,
            count_held=len(acknowledged),
            is_first=not acknowledged,
            offers_today=self._outbox.count_offers_since(now - _DAY) if kind == RECOVERY_EVENT else 0,
            held_payloads=self._outbox.payloads(kind, (intent.subject_id for intent in intents)),
            vanished=frozenset(vanished),
        )
        return holds(self._rules, situation, intents, self._is_released)

    def _send(self, kind: str, batch: list[Intent], counts: KindCounts) -> None:
        now = self._now()
        late = [intent.intent_id for intent in batch if intent.expires_at is not None and intent.expires_at <= now]
        self._outbox.mark(late, "expired", "too late to send", now)
        counts.skipped += len(late)
        claimed = self._outbox.claim([intent for intent in batch if intent.intent_id not in late], now)
        if not claimed:
            return
        checkpoints.reached("claimed")
        outcomes = self._target.send(kind, claimed, now)
        checkpoints.reached("sent")
        words = {outcome.intent_id: outcome.words for outcome in outcomes}
        by_answer: dict[Answer, list[str]] = {answer: [] for answer in Answer}
        for outcome in outcomes:
            by_answer[outcome.answer].append(outcome.intent_id)
        now = self._now()
        refusals = Counter(words[intent_id] for intent_id in by_answer[Answer.REJECTED])
        for said in refusals:
            self._outbox.mark((i for i in by_answer[Answer.REJECTED] if words[i] == said), "rejected", said, now)
        for said in {words[intent_id] for intent_id in by_answer[Answer.UNKNOWN]}:
            self._outbox.mark((i for i in by_answer[Answer.UNKNOWN] if words[i] == said), "sent", f"in doubt: {said}")
        self._outbox.mark(by_answer[Answer.DEFERRED], "pending", "not now")
        self._outbox.mark(by_answer[Answer.ACCEPTED], "sent", "accepted")
        checkpoints.reached("answer_recorded")
        self.notes.extend(f"rejected {count} {kind}: {said}" for said, count in refusals.most_common(3))
        counts.rejected += len(by_answer[Answer.REJECTED])
        counts.skipped += len(by_answer[Answer.DEFERRED])
        answered = {*by_answer[Answer.ACCEPTED], *by_answer[Answer.UNKNOWN]}
        self._read_back(kind, [intent for intent in claimed if intent.intent_id in answered], counts)

    def _read_back(self, kind: str, intents: list[Intent], counts: KindCounts) -> None:
        left = intents
        for wait in _READ_BACK_WAITS_SECONDS:
            if not left:
                return
            time.sleep(wait)
            seen = self._target.look_up(kind, left)
            checkpoints.reached("read_back")
            self._finish([intent for intent in left if intent.intent_id in seen], counts)
            left = [intent for intent in left if intent.intent_id not in seen]
        counts.in_doubt += len(left)
        if left:
            self.notes.append(f"in doubt {len(left)} {kind}: accepted and not seen yet; the next sync looks again")

    def _finish(self, intents: list[Intent], counts: KindCounts) -> None:
        if not intents:
            return
        self._outbox.finish(intents, self._now())
        counts.done += len(intents)
        checkpoints.reached("finished_intents")


def _urgency(intent: Intent) -> tuple[bool, int]:
    """Pauses before releases, the highest tier first; events and tickets keep their order."""
    return is_paused(intent.payload), int(intent.payload.get("roomtone_tier") or 0)


def _clock(settings: Settings, current: Pass, declared: type[Destination]) -> Callable[[], datetime]:
    """The instant of sending: the run's clock, asked at most once a second; the pass's own for what reaches nobody."""
    if not declared.reaches_people:
        return lambda: current.as_of
    asked_at = time.monotonic()
    told_then = clock.now(settings)

    def now() -> datetime:
        nonlocal asked_at, told_then
        if time.monotonic() - asked_at > _CLOCK_GOOD_FOR_SECONDS:
            asked_at, told_then = time.monotonic(), clock.now(settings)
        return told_then + timedelta(seconds=time.monotonic() - asked_at)

    return now
