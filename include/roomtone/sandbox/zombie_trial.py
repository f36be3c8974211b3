"""Two syncs at once: the one that holds the lease is stopped, overtaken, and goes on much later."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import pyarrow as pa
import sqlalchemy as sa

from roomtone.clock import now as clock_now
from roomtone.errors import RoomtoneError
from roomtone.sandbox import activations
from roomtone.sandbox.served import served
from roomtone.settings import Settings
from roomtone.stores.ledger import lease_epochs, leases
from roomtone.stores.operational import OperationalStore, Pass
from roomtone.sync import sync
from roomtone.sync.audit import audit_platform
from roomtone.sync.lease import LeaseLostError
from roomtone.sync.transport import Timing

LEASE_SECONDS = 0.5
_LEASES_STOPPED = 3
_PATIENCE_SECONDS = 10.0
_PEOPLE = 8
_EVENTS_EACH = 3
_SENT, _LOST, _FAILED = 0, 3, 4


@dataclass(frozen=True)
class ZombieTrial:
    """`overtaken`: trials in which a worker was stopped within its lease and another took it; then what came of it."""

    trials: int
    overtaken: int
    refused_to_go_on: int
    effects_of_an_old_epoch: int
    duplicates: int
    missing: int
    seconds: float


def zombie_trial(overtaken: int, seed: int, home: Path) -> ZombieTrial:
    """Repeats until `overtaken` workers have been overtaken, each stopped at a moment drawn from `seed`."""
    began = time.monotonic()
    random = Random(seed)
    trials = taken = refused = 0
    owed: list[str] = []
    with served(customers=40, seed=seed) as brand:
        settings = brand.settings(home)
        people = [(f"c{n}", facts["email"]) for n, (_, facts) in enumerate(sorted(brand.profiles().items())[:_PEOPLE])]
        typical = _typical_seconds(lambda: _work(settings, _fresh_pass(settings, people, 0, [])))
        while taken < overtaken:
            trials += 1
            current = _fresh_pass(settings, people, trials, owed)
            first = _start(partial(_work, settings, current))
            time.sleep(random.uniform(0.1, 1.0) * typical)
            os.kill(first, signal.SIGSTOP)
            held = _epoch_of(settings, first)
            second = _start(partial(_work, settings, current))
            time.sleep(_LEASES_STOPPED * LEASE_SECONDS)
            _wait_until_taken(settings, held)
            os.kill(first, signal.SIGCONT)
            answer = _end(first)
            _end(second)
            # Whatever the two of them left to a third.
            _end(_start(partial(_work, settings, current)))
            was_taken = held is not None and answer != _SENT and _newest_epoch(settings) > held
            taken += was_taken
            refused += was_taken and answer == _LOST
        log = brand.log("event_received", "request")
        found = audit_platform({}, {}, log)
        arrived = {entry["unique_id"] for entry in log if entry["kind"] == "event_received"}
        return ZombieTrial(
            trials=trials,
            overtaken=taken,
            refused_to_go_on=refused,
            effects_of_an_old_epoch=sum(line.startswith("I8") for line in found),
            duplicates=sum(line.startswith("I7") for line in found),
            missing=len(set(owed) - arrived),
            seconds=round(time.monotonic() - began, 1),
        )


def _fresh_pass(settings: Settings, people: list[tuple[str, str]], number: int, owed: list[str]) -> Pass:
    """A pass that wants another end of every pause and new events, so that every trial has something to do."""
    now = clock_now(settings)
    until = now.replace(microsecond=0) + number * (now - now.replace(hour=0)) / 1000 if number else now
    rows = [activations.profile(customer_id, email, until) for customer_id, email in people]
    events = []
    for event in range(_EVENTS_EACH):
        for customer_id, email in people:
            events.append(activations.apology(f"z{number}-{event}-{customer_id}", customer_id, email, now))
    owed += [row["trigger_id"] for row in events]
    return activations.write_pass(
        settings,
        now,
        pa.Table.from_pylist(rows, activations.PROFILES),
        pa.Table.from_pylist(events, activations.EVENTS),
        100 * len(people),
    )


def _work(settings: Settings, current: Pass) -> int:
    try:
        sync(settings, current, "klaviyo", timing=Timing(lease_seconds=LEASE_SECONDS))
    except LeaseLostError:
        return _LOST
    except RoomtoneError:
        return _FAILED
    return _SENT


def _typical_seconds(work: Callable[[], int]) -> float:
    started = time.monotonic()
    _end(_start(work))
    return time.monotonic() - started


def _start(work: Callable[[], int]) -> int:
    child = os.fork()
    if child:
        return child
    status = _FAILED
    try:
        status = work()
    finally:
        os._exit(status)


def _end(child: int) -> int:
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _epoch_of(settings: Settings, pid: int) -> int | None:
    """The epoch of the lease that a process holds now, if it does."""
    store = OperationalStore(settings)
    try:
        with store.begin() as connection:
            row = connection.execute(sa.select(leases).where(leases.c.destination == "klaviyo")).one_or_none()
        return int(row.epoch) if row is not None and int(row.holder.split()[1]) == pid else None
    finally:
        store.close()


def _wait_until_taken(settings: Settings, held: int | None) -> None:
    """Gives the second worker time to take the lease; it never gets it while the first was stopped within a write."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while held is not None and _newest_epoch(settings) <= held and time.monotonic() < deadline:
        time.sleep(0.1)


def _newest_epoch(settings: Settings) -> int:
    store = OperationalStore(settings)
    try:
        with store.begin() as connection:
            return int(connection.execute(sa.select(sa.func.max(lease_epochs.c.epoch))).scalar() or 0)
    finally:
        store.close()
