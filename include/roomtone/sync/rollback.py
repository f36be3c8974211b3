"""Takes a sync run back: each record gets the values that the destination had acknowledged before that run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from roomtone import clock
from roomtone.errors import RoomtoneError
from roomtone.policies.versions import policies_in_force
from roomtone.settings import Settings
from roomtone.stores.operational import OperationalStore, intents, sync_runs
from roomtone.sync import accounts, checkpoints, gate, holds
from roomtone.sync.call_budget import opened
from roomtone.sync.delivery import Delivery
from roomtone.sync.desired import RECOVERY_EVENT, fingerprint
from roomtone.sync.guardrails import Situation
from roomtone.sync.outbox import Outbox
from roomtone.sync.plan import Intent, Plan, digest
from roomtone.sync.report import KindCounts
from roomtone.sync.transport import Timing


@dataclass(frozen=True)
class RollbackReport:
    """What a rollback did. `changed_since` were changed again by a later run and stay; `events` cannot be recalled."""

    sync_run_id: int
    destination: str
    restored: int
    unfinished: int
    changed_since: int
    events: int


def rollback(settings: Settings, sync_run_id: int, timing: Timing | None = None) -> RollbackReport:
    """Restores what a run changed and holds its destination until a person releases it.

    A record of which nothing had been acknowledged before is cleared of what the run wrote. Raises RoomtoneError for an
    unknown run, one that was rolled back before, and while the kill switch is on.
    """
    timing = timing or Timing()
    store = OperationalStore(settings)
    try:
        found = _find(store, sync_run_id)
        name = str(found["destination"])
        now = clock.now(settings)
        if policies_in_force(store, now).guardrails.kill_switch.is_on:
            raise RoomtoneError(f"sync run {sync_run_id}", "the kill switch is on", "set it back, then roll back")
        with gate.one_sync(store, name, timing.lease_seconds) as lease:
            outbox = Outbox(store, name, lease)
            current = store.find_pass(int(found["pass_sequence"]))
            wanted = _prior_states(store, name, sync_run_id)
            own_run = outbox.begin_run(current, now, is_released=True)
            total, is_complete = KindCounts(), False
            try:
                # Held first: a rollback that is killed half-way must not be undone by the next sync.
                holds.hold_all(store, name, sorted({i.kind for i in wanted.intents}), sync_run_id, now)
                outbox.write(Plan(tuple(wanted.intents), (), 0, 0, 0), wanted.held)
                checkpoints.reached("intents_written")
                with opened(settings, store, name, own_run, lambda: clock.now(settings), timing=timing) as target:
                    target.fence(lease.check, lease.epoch)
                    accounts.require_account_of(settings, store, target, now)
                    delivery = Delivery(
                        store=store,
                        outbox=outbox,
                        target=target,
                        sync_run_id=own_run,
                        now=lambda: clock.now(settings),
                        sleep=timing.sleep,
                        rules=lambda at: policies_in_force(store, at).guardrails,
                        facts=_decided_by_a_person,
                        is_released=True,
                    )
                    for kind in sorted({intent.kind for intent in wanted.intents}):
                        subjects = {intent.subject_id for intent in wanted.intents if intent.kind == kind}
                        delivery.deliver(kind, subjects, frozenset(), total)
                is_complete = True
            finally:
                outbox.end_run(own_run, clock.now(settings), total, is_complete)
            with store.begin() as connection:
                connection.execute(
                    sync_runs.update()
                    .where(sync_runs.c.sync_run_id == sync_run_id)
                    .values(rolled_back_at=clock.now(settings))
                )
        unfinished = len(wanted.intents) - total.done
        return RollbackReport(sync_run_id, name, total.done, unfinished, wanted.changed_since, wanted.events)
    finally:
        store.close()


@dataclass(frozen=True)
class _Wanted:
    intents: list[Intent]
    held: dict[str, Mapping[str, Any]]
    changed_since: int
    events: int


def _find(store: OperationalStore, sync_run_id: int) -> Mapping[str, Any]:
    with store.begin() as connection:
        query = sa.select(sync_runs).where(sync_runs.c.sync_run_id == sync_run_id)
        found = connection.execute(query).mappings().one_or_none()
    if found is None:
        raise RoomtoneError("sync run", f"{sync_run_id} is not known", "see `roomtone sync status`")
    if found["rolled_back_at"] is not None:
        at = found["rolled_back_at"].isoformat()
        raise RoomtoneError(f"sync run {sync_run_id}", f"was rolled back at {at}", "see `roomtone sync status`")
    return dict(found)


def _prior_states(store: OperationalStore, destination: str, sync_run_id: int) -> _Wanted:
    """One intent for each record that the run changed and nothing has changed since."""
    columns = intents.c
    done = sa.and_(columns.destination == destination, columns.status == "done")
    with store.begin() as connection:
        changed = connection.execute(sa.select(intents).where(done, columns.sync_run_id == sync_run_id)).all()
        later = {
            (row.kind, row.subject_id)
            for row in connection.execute(
                sa.select(columns.kind, columns.subject_id).where(done, columns.sync_run_id > sync_run_id)
            )
        }
    states = [row for row in changed if row.kind != RECOVERY_EVENT]
    restored = [row for row in states if (row.kind, row.subject_id) not in later]
    wanted = []
    held: dict[str, Mapping[str, Any]] = {}
    for row in restored:
        held[row.subject_id] = json.loads(row.payload)
        prior = dict.fromkeys(held[row.subject_id]) if row.prior_payload is None else json.loads(row.prior_payload)
        wanted.append(
            Intent(
                intent_id=digest((destination, row.kind, row.subject_id, "rollback", str(sync_run_id))),
                destination=destination,
                kind=row.kind,
                subject_id=row.subject_id,
                vendor_id=row.vendor_id,
                fingerprint=fingerprint(prior),
                payload=prior,
                pass_sequence=row.pass_sequence,
                as_of=row.as_of,
            )
        )
    return _Wanted(wanted, held, len(states) - len(restored), len(changed) - len(states))


def _decided_by_a_person(now: datetime) -> Situation:
    """Nothing about the data matters: a person wants the state of before back."""
    return Situation.without_data(now, is_first=False)
