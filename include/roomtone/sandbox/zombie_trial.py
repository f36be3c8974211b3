"""Two syncs at once: the one that holds the lease is stopped, overtaken, and goes on much later.

A process that is stopped within a write to SQLite keeps every other one from writing until it is continued or ended:
nobody can overtake it, so that the other must wait and then go on. Such stops are counted apart.
"""

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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
from roomtone.stores.ledger import lease_epochs
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
    """`overtaken`: trials in which a worker was stopped within its lease and another took it; then what came of it.

    `stopped_within_a_write`: those in which nobody could have taken it; `stuck_after_it`: of these, the trials in which
    the other worker did not go on once the stopped one did.
    """

    trials: int
    overtaken: int
    refused_to_go_on: int
    stopped_within_a_write: int
    stuck_after_it: int
    effects_of_an_old_epoch: int
    duplicates: int
    missing: int
    seconds: float


def zombie_trial(overtaken: int, seed: int, home: Path) -> ZombieTrial:
    """Repeats until `overtaken` workers have been overtaken, each stopped at a moment drawn from `seed`."""
    began = time.monotonic()
    random = Random(seed)
    trials = taken = refused = writing = stuck = 0
    owed: list[str] = []
    with served(customers=40, seed=seed) as brand:
        settings = brand.settings(home)
        people = [(f"c{n}", facts["email"]) for n, (_, facts) in enumerate(sorted(brand.profiles().items())[:_PEOPLE])]
        typical = _seconds_of_a_lease(settings, _fresh_pass(settings, people, 0, []))
        while taken < overtaken:
            trials += 1
            current = _fresh_pass(settings, people, trials, owed)
            first = _start(partial(_work, settings, current))
            _wait_until_leased(settings, first)
            time.sleep(random.uniform(0.0, 1.0) * typical)
            if not _stop(first):
                continue
            held, is_writing = _seen_from_outside(settings, first)
            if held is None and not is_writing:
                # It had let go already: there is nothing that another could take from it.
                os.kill(first, signal.SIGCONT)
                _end(first)
                continue
            second = _start(partial(_work, settings, current))
            time.sleep(_LEASES_STOPPED * LEASE_SECONDS)
            if not is_writing:
                _wait_until_taken(settings, held)
            os.kill(first, signal.SIGCONT)
            answer, other = _end(first), _end(second)
            writing += is_writing
            stuck += is_writing and other != _SENT
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
            stopped_within_a_write=writing,
            stuck_after_it=stuck,
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


def _seconds_of_a_lease(settings: Settings, current: Pass) -> float:
    """How long a worker holds its lease that nobody stops."""
    child = _start(partial(_work, settings, current))
    _wait_until_leased(settings, child)
    leased_at = time.monotonic()
    _end(child)
    return time.monotonic() - leased_at


def _wait_until_leased(settings: Settings, pid: int) -> None:
    """Returns once a process holds the lease."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with suppress(sqlite3.OperationalError):
            if _epoch_of(settings, pid) is not None:
                return
        time.sleep(0.01)


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


def _stop(child: int) -> bool:
    """Stops a child for good; False where it had ended before."""
    os.kill(child, signal.SIGSTOP)
    _, status = os.waitpid(child, os.WUNTRACED)
    return os.WIFSTOPPED(status)


def _seen_from_outside(settings: Settings, pid: int) -> tuple[int | None, bool]:
    """The epoch of the lease that a stopped process holds, if it does, and whether it keeps others from writing."""
    try:
        held = _epoch_of(settings, pid)
        with _looking(settings) as connection:
            connection.execute("begin immediate")
            connection.execute("rollback")
    except sqlite3.OperationalError:
        return None, True
    return held, False


def _epoch_of(settings: Settings, pid: int) -> int | None:
    """The epoch of the lease that a process holds now, if it does."""
    with _looking(settings) as connection:
        rows = connection.execute(
            "select epoch, holder from leases where destination = 'klaviyo' and expires_at > ?",
            # One that was let go lies a day back; one that ran out in a stopped hand is still its holder's.
            [(datetime.now(UTC) - timedelta(hours=1)).replace(tzinfo=None).isoformat(" ")],
        ).fetchall()
    return next((int(epoch) for epoch, holder in rows if int(holder.split()[1]) == pid), None)


@contextmanager
def _looking(settings: Settings) -> Iterator[sqlite3.Connection]:
    """A look into the store that waits for nobody."""
    database = str(sa.make_url(settings.operational_url).database)
    with closing(sqlite3.connect(database, timeout=0.0, isolation_level=None)) as connection:
        yield connection


def _wait_until_taken(settings: Settings, held: int | None) -> None:
    """Gives the second worker time to take the lease."""
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
