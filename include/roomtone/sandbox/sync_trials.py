"""Trials of the sync against a platform that has bad days; every figure is simulated and counted at the platform's log.

`make bench-sync` runs all of them in full and prints JSON.
"""

import argparse
import json
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from roomtone.errors import RoomtoneError
from roomtone.sandbox import activations
from roomtone.sandbox.scale_trial import scale_trial
from roomtone.sandbox.served import Served, served
from roomtone.sandbox.zombie_trial import zombie_trial
from roomtone.settings import Settings
from roomtone.stores.operational import OperationalStore, Pass
from roomtone.sync import checkpoints, sync
from roomtone.sync.desired import PAUSES, RECOVERY_EVENT, rfc3339
from roomtone.sync.destinations.klaviyo import Klaviyo
from roomtone.sync.transport import Timing

FAULTS = {
    "busy_with_wait": 0.1,
    "busy_without_wait": 0.1,
    "error_before": 0.1,
    "error_after": 0.1,
    "cut_after": 0.1,
    "slow_page": 0.1,
    "duplicate_page": 0.1,
    "dropped": 0.1,
    "failed_rows": 0.1,
    "lag_seconds": 60.0,
    "merged": 0.02,
}
CRASH_SHARE = 0.15
# A batch of events makes so many calls; together they are one step.
_CALLS_A_STEP = Klaviyo.batch_sizes[RECOVERY_EVENT]
# What a call takes at a vendor, and what a task waits before it is tried again, in simulated seconds.
_CALL_SECONDS = 0.05
_RESTART_SECONDS = 2.0
_PATIENCE_MINUTES = 120.0


@dataclass(frozen=True)
class FaultyTrial:
    """What became of `intents`: counted at the platform, in its own minutes.

    `duplicates` and `missing` are of events that reached somebody; `created_profiles` counts the others: sent in the
    moment in which the platform merged the profile away, they make one that has no address and that nobody reads.
    """

    intents: int
    events: int
    pauses: int
    duplicates: int
    missing: int
    wrong_profiles: int
    created_profiles: int
    simulated_minutes: float
    runs: int
    crashes: int
    merged_profiles: int
    calls: int
    seconds: float


def faulty_trial(intents: int, seed: int, home: Path) -> FaultyTrial:
    """Brings `intents`, four events to one pause, to a platform with each fault at 10 %; 15 % of steps are crashes."""
    began = time.monotonic()
    people = max(20, intents // 5)
    with served(customers=people * 21 // 20, seed=seed, call_seconds=_CALL_SECONDS) as brand:
        settings = brand.settings(home)
        known = sorted(brand.profiles().items())[:people]
        start = brand.now()
        until = start + timedelta(days=14)
        rows = [activations.profile(f"c{n}", facts["email"], until) for n, (_, facts) in enumerate(known)]
        owed = [
            activations.apology(f"t{number}", f"c{number % len(known)}", known[number % len(known)][1]["email"], start)
            for number in range(intents - len(rows))
        ]
        profiles = pa.Table.from_pylist(rows, activations.PROFILES)
        events = pa.Table.from_pylist(owed, activations.EVENTS)
        current = activations.write_pass(settings, start, profiles, events, 100 * len(known))
        brand.fail(seed, **FAULTS)
        runs, crashes = _sync_until_done(brand, settings, current, seed)
        ended = brand.now()
        received = [e for e in brand.log("event_received") if not e["is_duplicate"]]
        counted = Counter(e["unique_id"] for e in received if e["profile_id"] is not None)
        brand.fail(seed)
        # The last effects become visible a little later; whoever asks the platform then sees them.
        brand.advance(FAULTS["lag_seconds"])
        by_email = {facts["email"]: facts["properties"] for facts in brand.profiles().values()}
        wanted = dict.fromkeys(PAUSES, True) | {"roomtone_pause_until": rfc3339(until)}
        return FaultyTrial(
            intents=intents,
            events=len(owed),
            pauses=len(rows),
            duplicates=sum(count - 1 for count in counted.values()),
            missing=len(owed) - len(counted),
            wrong_profiles=sum(
                any(by_email[row["email"]].get(name) != value for name, value in wanted.items()) for row in rows
            ),
            created_profiles=sum(e["profile_id"] is None for e in received),
            simulated_minutes=round((ended - start).total_seconds() / 60, 1),
            runs=runs,
            crashes=crashes,
            merged_profiles=len(brand.log("profile_merged")),
            calls=len(brand.log("request")),
            seconds=round(time.monotonic() - began, 1),
        )


def _sync_until_done(brand: Served, settings: Settings, current: Pass, seed: int) -> tuple[int, int]:
    """One sync after the other until nothing is open; returns how many there were and how many of them crashed."""
    runs = crashes = 0
    start = brand.now()
    while runs == 0 or _is_unfinished(settings):
        if (brand.now() - start).total_seconds() > _PATIENCE_MINUTES * 60:
            break
        runs += 1
        crashes += _crashes(partial(_run, brand, settings, current, Random(f"{seed} {runs}")))
        brand.advance(_RESTART_SECONDS)
    return runs, crashes


def _run(brand: Served, settings: Settings, current: Pass, random: Random) -> None:
    """One sync that waits by the brand's clock and dies at a step in seven."""
    waited = 0.0

    def wait(seconds: float) -> None:
        nonlocal waited
        waited += seconds
        brand.advance(seconds)

    def step(name: str) -> None:
        share = 1 - (1 - CRASH_SHARE) ** (1 / _CALLS_A_STEP) if name == "call_answered" else CRASH_SHARE
        if random.random() < share:
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoints.on_reached = step
    # A vendor that stayed without an answer for too long ends a sync; the next one goes on.
    with suppress(RoomtoneError):
        sync(settings, current, "klaviyo", timing=Timing(wait, lambda: time.monotonic() + waited))


def _crashes(work: Callable[[], None]) -> bool:
    """Runs `work` in a child; whether it was killed."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def _is_unfinished(settings: Settings) -> bool:
    store = OperationalStore(settings)
    try:
        with store.begin() as connection:
            query = "select count(*) from intents where status not in ('done', 'superseded', 'dead')"
            is_open = bool(connection.exec_driver_sql(query).scalar())
            has_ended = bool(connection.exec_driver_sql("select count(*) from sync_runs where is_complete").scalar())
        return is_open or not has_ended
    finally:
        store.close()


TRIALS: dict[str, Callable[[Path], Any]] = {
    "faulty": lambda home: faulty_trial(5000, 7, home),
    "zombie": lambda home: zombie_trial(200, 7, home),
    "scale": lambda home: scale_trial(1_000_000, 20_000, home),
}


def main(arguments: list[str] | None = None) -> int:
    """Runs the trials named, or all, in full and prints their figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m roomtone.sandbox.sync_trials", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="|".join(TRIALS))
    names = parser.parse_args(arguments).names or list(TRIALS)
    figures: dict[str, Any] = {"is_simulated": True}
    logging.getLogger("roomtone").setLevel(logging.CRITICAL)
    with TemporaryDirectory() as folder:
        for name in names:
            figures[name] = asdict(TRIALS[name](Path(folder) / name))
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
