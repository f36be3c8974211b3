"""`sync`: brings one destination to the state of one validated pass, by difference, through the outbox."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from roomtone import clock
from roomtone.policies.guardrails import Guardrails
from roomtone.policies.versions import policies_in_force
from roomtone.settings import Settings
from roomtone.stores import warehouse
from roomtone.stores.ledger import oldest_source_read
from roomtone.stores.operational import OperationalStore, Pass
from roomtone.sync import accounts, checkpoints, gate
from roomtone.sync.acknowledged import acknowledged_profiles
from roomtone.sync.call_budget import opened
from roomtone.sync.delivery import Delivery
from roomtone.sync.desired import (
    PROFILE_PROPERTIES,
    RECOVERY_EVENT,
    DesiredRow,
    calm_profile,
    count_customers,
    read_desired,
)
from roomtone.sync.destinations import destination_class
from roomtone.sync.destinations.base import Destination
from roomtone.sync.difference import profile_difference
from roomtone.sync.guardrails import Situation
from roomtone.sync.lease import Lease
from roomtone.sync.outbox import Outbox
from roomtone.sync.plan import Intent, Plan, louder_ones, plan_events, plan_states
from roomtone.sync.report import KindCounts, SyncReport
from roomtone.sync.transport import Timing

_CLOCK_GOOD_FOR_SECONDS = 1.0


def sync(
    settings: Settings,
    current: Pass,
    destination: str,
    *,
    release_holds: bool = False,
    timing: Timing | None = None,
    is_awaited: Callable[[], bool] = lambda: False,
) -> SyncReport:
    """Sends to `destination` what differs from what it has acknowledged.

    Only a pass that validation has confirmed is sent. `release_holds` lets go, once, what a limit on numbers holds;
    neither the kill switch nor stale data are released by it. `timing` is another way to wait, for a simulation.
    `is_awaited` is asked between batches: once the next pass waits, pauses and releases are brought to their end and
    all else is left to that pass's sync. Raises
    RoomtoneError for an unknown destination, another account than the first sync's, an unconfirmed pass and a vendor
    that cannot be reached; what was not finished is looked up and continued by the next call.
    """
    declared = destination_class(destination)
    timing = timing or Timing()
    store = OperationalStore(settings)
    try:
        gate.require_valid(store, current)
        with gate.one_sync(store, destination, timing.lease_seconds) as lease:
            checkpoints.reached("lease_claimed")
            now = _clock(settings, current, declared, timing)
            return _sync(
                settings,
                store,
                current,
                destination,
                lease=lease,
                now=now,
                timing=timing,
                is_released=release_holds,
                is_awaited=is_awaited,
            )
    finally:
        store.close()


def _sync(
    settings: Settings,
    store: OperationalStore,
    current: Pass,
    name: str,
    *,
    lease: Lease,
    now: Callable[[], datetime],
    timing: Timing,
    is_released: bool,
    is_awaited: Callable[[], bool],
) -> SyncReport:
    outbox = Outbox(store, name, lease)
    sync_run_id = outbox.begin_run(current, now(), is_released)
    kinds: dict[str, KindCounts] = {}
    is_complete = False
    try:
        with opened(settings, store, name, sync_run_id, now, timing=timing) as target:
            target.fence(lease.check, lease.epoch)
            accounts.require_account_of(settings, store, target, now())
            kinds |= {kind: KindCounts() for kind in target.kinds}
            facts = _Facts(settings, store, current)
            delivery = Delivery(
                store=store,
                outbox=outbox,
                target=target,
                sync_run_id=sync_run_id,
                now=now,
                sleep=timing.sleep,
                rules=facts.rules,
                facts=facts.at,
                is_released=is_released,
                channel_of=facts.channel_of,
                is_awaited=is_awaited,
            )
            run = _Run(target, outbox, delivery, current)
            for kind in target.kinds:
                delivery.settle(kind, kinds[kind])
            wanted = _read_wanted(settings, store, outbox, target, current)
            facts.count_customers = wanted.count_customers
            for kind in target.kinds:
                run.bring(kind, wanted, kinds[kind])
        store.mark_pass(current, "synced")
        is_complete = True
        return SyncReport(name, current.sequence, sync_run_id, kinds, tuple(delivery.notes))
    finally:
        total = SyncReport(name, current.sequence, sync_run_id, kinds).total
        outbox.end_run(sync_run_id, now(), total, is_complete)
        checkpoints.reached("run_recorded")


@dataclass(frozen=True)
class _Wanted:
    """What a pass wants of a destination: per kind, how many rows there are and those that have to be looked at."""

    count_customers: int
    count_desired: Mapping[str, int]
    rows: Mapping[str, list[DesiredRow]]
    vanished: frozenset[str] = field(default_factory=frozenset)


def _read_wanted(
    settings: Settings, store: OperationalStore, outbox: Outbox, target: Destination, current: Pass
) -> _Wanted:
    """Reads the activation tables; the warehouse is free again when this returns.

    Of profiles, of which there may be a million, only those come that differ from what is acknowledged.
    """
    others = [kind for kind in target.kinds if kind != PROFILE_PROPERTIES]
    has_profiles = PROFILE_PROPERTIES in target.kinds
    held = acknowledged_profiles(settings, store, target.name) if has_profiles else None
    unfinished = {intent.subject_id for intent in outbox.unfinished(PROFILE_PROPERTIES)}
    with warehouse.connect(settings) as connection:
        gate.require_tables_of(connection, current)
        rows = {kind: [r for r in found if target.takes(r)] for kind, found in read_desired(connection, others).items()}
        counts = {kind: len(found) for kind, found in rows.items()}
        customers = count_customers(connection)
        difference = profile_difference(connection, held, unfinished) if held is not None else None
    if difference is None:
        return _Wanted(customers, counts, rows)
    # Nothing may stay paused because its row is gone.
    calm = [DesiredRow(PROFILE_PROPERTIES, gone, calm_profile(), gone) for gone in difference.vanished]
    changed = [row for row in difference.changed if target.takes(row)]
    rows[PROFILE_PROPERTIES] = [*changed, *calm]
    counts[PROFILE_PROPERTIES] = difference.count_desired + len(calm)
    return _Wanted(customers, counts, rows, frozenset(difference.vanished))


class _Facts:
    """What guardrails ask about an instant, read anew each time: it may change while a sync is under way."""

    def __init__(self, settings: Settings, store: OperationalStore, current: Pass) -> None:
        self._settings = settings
        self._store = store
        self._current = current
        self.count_customers = 0

    def rules(self, now: datetime) -> Guardrails:
        return policies_in_force(self._store, now).guardrails

    def channel_of(self, offer: Intent) -> str:
        """The channel whose consent an offer's rule asks for; e-mail where the rule is not known any more."""
        return self._channels.get(str(offer.payload.get("policy_id")), "email")

    @cached_property
    def _channels(self) -> dict[str, str]:
        rules = policies_in_force(self._store, self._current.as_of).recovery
        return {rule.id: rule.consent for rule in rules if rule.message_class == "marketing"}

    def at(self, now: datetime) -> Situation:
        known = oldest_source_read(self._store, self._settings.sources)
        return Situation(
            now=now,
            as_of=self._current.as_of if known is None else min(known, self._current.as_of),
            count_customers=self.count_customers,
            count_held=0,
            is_first=False,
            offers_today=0,
            held_payloads={},
            vanished=frozenset(),
            is_degraded=self._store.pass_is_degraded(self._current),
            is_confirmed=self._store.pass_is_valid(self._current),
        )


class _Run:
    """One sync of one destination, one kind after the other."""

    def __init__(self, target: Destination, outbox: Outbox, delivery: Delivery, current: Pass) -> None:
        self._target = target
        self._outbox = outbox
        self._delivery = delivery
        self._current = current

    def bring(self, kind: str, wanted: _Wanted, counts: KindCounts) -> None:
        """Brings one kind to the desired rows: plan, write, send, read back."""
        counts.desired = wanted.count_desired[kind]
        rows = wanted.rows[kind]
        acknowledged = self._outbox.fingerprints(kind, (row.subject_id for row in rows))
        self._plan(kind, rows, acknowledged, counts)
        if kind == RECOVERY_EVENT:
            self._delivery.readdress(rows)
        vanished = wanted.vanished if kind == PROFILE_PROPERTIES else frozenset()
        self._delivery.deliver(kind, {row.subject_id for row in rows}, vanished, counts)

    def _plan(self, kind: str, rows: list[DesiredRow], acknowledged: Mapping[str, str], counts: KindCounts) -> None:
        now = self._delivery.now()
        unfinished = {intent.subject_id for intent in self._outbox.unfinished(kind)}
        # Everything else is as acknowledged, and nothing about it is asked or read.
        open_rows = [
            row
            for row in rows
            if kind == RECOVERY_EVENT
            or row.subject_id in unfinished
            or acknowledged.get(row.subject_id) != row.fingerprint
        ]
        counts.unchanged += counts.desired - len(open_rows)
        latest = self._outbox.latest(kind, (row.subject_id for row in open_rows))
        vendor_ids = self._target.vendor_ids(open_rows, now)
        unknown = {row.subject_id for row in open_rows} - vendor_ids.keys()
        doubled = self._doubled(kind, open_rows, vendor_ids)
        if unknown:
            self._delivery.notes.append(f"skipped {len(unknown)} {kind}: not on the platform")
        if doubled:
            self._delivery.notes.append(
                f"skipped {len(doubled)} {kind}: another customer with the same record is quieter"
            )
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
        self._write(kind, plan, counts)

    def _doubled(self, kind: str, open_rows: list[DesiredRow], vendor_ids: Mapping[str, str]) -> set[str]:
        """Subjects to leave alone because somebody quieter has the same record, also one whose row is unchanged."""
        if kind == RECOVERY_EVENT or self._target.shares_records:
            return set()
        known = self._target.subjects_of(vendor_ids.values()) | dict(vendor_ids)
        opened = {row.subject_id for row in open_rows}
        # Whoever is not among the open rows is wanted as acknowledged.
        others = self._outbox.payloads(kind, known.keys() - opened)
        rows = [*open_rows, *(DesiredRow(kind, subject, payload, subject) for subject, payload in others.items())]
        return louder_ones([row for row in rows if row.subject_id in known], known) & opened

    def _write(self, kind: str, plan: Plan, counts: KindCounts) -> None:
        if plan.intents or plan.withdrawn:
            priors = {} if kind == RECOVERY_EVENT else self._outbox.payloads(kind, (i.subject_id for i in plan.intents))
            self._outbox.write(plan, priors)
            checkpoints.reached("intents_written")
        counts.unchanged += plan.unchanged
        counts.planned += len(plan.intents)
        counts.skipped += plan.refused


def _clock(settings: Settings, current: Pass, declared: type[Destination], timing: Timing) -> Callable[[], datetime]:
    """The instant of sending: the run's clock, asked at most once a second; the pass's own for what reaches nobody."""
    if not declared.reaches_people:
        return lambda: current.as_of
    asked_at = timing.timer()
    told_then = clock.now(settings)

    def now() -> datetime:
        nonlocal asked_at, told_then
        if timing.timer() - asked_at > _CLOCK_GOOD_FOR_SECONDS:
            asked_at, told_then = timing.timer(), clock.now(settings)
        return told_then + timedelta(seconds=timing.timer() - asked_at)

    return now
