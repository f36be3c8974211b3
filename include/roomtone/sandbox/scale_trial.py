"""A million customers of whom a few change: how long the plan takes, and what reaches the platform."""

import resource
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from roomtone.contract import SCOPES, TIMESTAMP
from roomtone.sandbox import activations
from roomtone.sandbox.chance import token
from roomtone.sandbox.served import Served, served
from roomtone.sandbox.world import FIRST_SILENT
from roomtone.settings import Settings
from roomtone.stores import warehouse
from roomtone.stores.ledger import acknowledged_versions
from roomtone.stores.operational import OperationalStore, Pass, acknowledged, sync_runs, vendor_identities
from roomtone.sync import sync
from roomtone.sync.acknowledged import acknowledged_profiles
from roomtone.sync.desired import PAUSES, PROFILE_PROPERTIES, calm_profile, canonical, fingerprint, rfc3339
from roomtone.sync.destinations.klaviyo import Klaviyo
from roomtone.sync.difference import profile_difference
from roomtone.sync.outbox import Outbox
from roomtone.sync.plan import plan_states
from roomtone.sync.transport import Timing

_SEED = 7
_WRITTEN_AT_ONCE = 50_000
_FAULTS = {"busy_with_wait": 0.05, "error_before": 0.05, "error_after": 0.05, "cut_after": 0.05, "failed_rows": 0.002}


@dataclass(frozen=True)
class ScaleTrial:
    """`plan_*` in seconds, from the tables to the intents; `write_calls` are those that carry changes."""

    desired_rows: int
    changes: int
    copy_first_seconds: float
    plan_seconds: float
    plan_cpu_seconds: float
    write_calls: int
    write_calls_allowed: int
    read_calls: int
    job_calls: int
    over_limit: int
    wrong_profiles: int
    others_touched: int
    minutes_to_equal_after_faults: float
    peak_memory_mib: int
    seconds: float


def scale_trial(rows: int, changes: int, home: Path) -> ScaleTrial:
    """Plans `rows` against as many acknowledged ones, then brings the changes over: first calmly, then under faults."""
    began = time.monotonic()
    with served(customers=60, seed=_SEED, silent_profiles=changes + 1000) as brand:
        settings = brand.settings(home)
        start = brand.now()
        _acknowledge(settings, rows, start)
        until = (start + timedelta(days=14)).replace(microsecond=0)
        current = _want(settings, rows, changes, until, start)
        copied, plan_wall, plan_cpu = _timed_plan(settings, current, changes)
        brand.advance(60)
        advanced = Waiting(brand)
        sync(settings, current, "klaviyo", release_holds=True, timing=advanced.timing)
        calls = brand.log("request")
        # The same people again, under faults that stop; from then on the time counts.
        later = (start + timedelta(days=13)).replace(microsecond=0)
        second = _want(settings, rows, changes, later, brand.now())
        brand.fail(_SEED, **_FAULTS)
        sync(settings, second, "klaviyo", release_holds=True, timing=advanced.timing)
        brand.fail(_SEED)
        stopped_at = brand.now()
        while sync(settings, second, "klaviyo", release_holds=True, timing=advanced.timing).total.planned:
            brand.advance(30)
        equal_at = brand.now()
        brand.advance(60)
        wrong, others = _compare(brand, changes, later)
        writes = [c for c in calls if c["method"] != "GET"]
        reads = [c for c in calls if c["method"] == "GET" and c["path"] == "/api/profiles"]
        jobs = [c for c in calls if c["method"] == "GET" and "import-jobs" in c["path"]]
        batch = Klaviyo.batch_sizes[PROFILE_PROPERTIES]
        return ScaleTrial(
            desired_rows=rows,
            changes=changes,
            copy_first_seconds=copied,
            plan_seconds=plan_wall,
            plan_cpu_seconds=plan_cpu,
            write_calls=len(writes),
            write_calls_allowed=int(ceil(changes / batch) * 1.05),
            read_calls=len(reads),
            job_calls=len(jobs),
            over_limit=sum(c["status"] == 429 for c in calls),
            wrong_profiles=wrong,
            others_touched=others,
            minutes_to_equal_after_faults=round((equal_at - stopped_at).total_seconds() / 60, 2),
            peak_memory_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            seconds=round(time.monotonic() - began, 1),
        )


class Waiting:
    """Waits by the brand's clock."""

    def __init__(self, brand: Served) -> None:
        self._brand = brand
        self._waited = 0.0
        self.timing = Timing(self._wait, lambda: time.monotonic() + self._waited)

    def _wait(self, seconds: float) -> None:
        self._waited += seconds
        self._brand.advance(seconds)


def _customer(number: int) -> str:
    return f"c{number:07d}"


def _acknowledge(settings: Settings, rows: int, now: datetime) -> None:
    """As if an earlier sync had brought everybody over, calm; each with a record at the platform."""
    store = OperationalStore(settings)
    payload = canonical(calm_profile())
    digest = fingerprint(calm_profile())
    at = now.astimezone(UTC)
    try:
        with store.begin() as connection:
            run = {"destination": "klaviyo", "pass_sequence": 0, "started_at": at, "finished_at": at}
            counts = {"total_rows": rows, "successful_rows": rows, "failed_rows": 0, "skipped_rows": 0}
            connection.execute(sync_runs.insert().values(**run, **counts, epoch=0, is_complete=True))
            connection.execute(
                acknowledged_versions.insert().values(destination="klaviyo", kind=PROFILE_PROPERTIES, version=1)
            )
        for first in range(0, rows, _WRITTEN_AT_ONCE):
            numbers = range(first, min(rows, first + _WRITTEN_AT_ONCE))
            with store.begin() as connection:
                connection.execute(
                    acknowledged.insert(),
                    [
                        {
                            "destination": "klaviyo",
                            "kind": PROFILE_PROPERTIES,
                            "subject_id": _customer(number),
                            "fingerprint": digest,
                            "payload": payload,
                            "acknowledged_at": at,
                            "version": 1,
                        }
                        for number in numbers
                    ],
                )
                connection.execute(
                    vendor_identities.insert(),
                    [
                        {
                            "destination": "klaviyo",
                            "customer_id": _customer(number),
                            "vendor_id": token(_SEED, "profile", FIRST_SILENT + number),
                            "looked_up_at": at,
                        }
                        for number in numbers
                    ],
                )
    finally:
        store.close()


def _want(settings: Settings, rows: int, changes: int, until: datetime, as_of: datetime) -> Pass:
    """A pass in which the first `changes` customers are paused until an instant and everybody else is calm."""
    numbers = np.arange(rows)
    is_changed = pa.array(numbers < changes)
    ends = pa.array([until.astimezone(UTC).replace(tzinfo=None)] * changes + [None] * (rows - changes), TIMESTAMP)
    columns: dict[str, Any] = {
        "customer_id": pa.array([_customer(number) for number in numbers.tolist()]),
        "email": pa.nulls(rows, pa.string()),
        "phone": pa.nulls(rows, pa.string()),
        **{f"roomtone_pause_{scope}": is_changed for scope in SCOPES},
        "roomtone_tier": pa.array(np.where(numbers < changes, 2, 0).astype("int32")),
        "roomtone_reason": pa.array(["open_negative_ticket"] * changes + [None] * (rows - changes)),
        "roomtone_pause_until": ends,
    }
    profiles = pa.table(columns, schema=activations.PROFILES)
    return activations.write_pass(settings, as_of, profiles, activations.EVENTS.empty_table(), rows)


def _timed_plan(settings: Settings, current: Pass, changes: int) -> tuple[float, float, float]:
    """Seconds until the first copy of the acknowledged state stands; then wall and processor seconds of a plan."""
    store = OperationalStore(settings)
    try:
        started = time.perf_counter()
        acknowledged_profiles(settings, store, "klaviyo")
        copied = time.perf_counter() - started
        outbox = Outbox(store, "klaviyo")
        with warehouse.connect(settings) as connection:
            # Where a pass built its tables a moment ago the file is in memory; here it is read once to be.
            connection.execute("select max(columns(*)) from activations.sync_profile_properties").fetchall()
            started, cpu = time.perf_counter(), time.process_time()
            held = acknowledged_profiles(settings, store, "klaviyo")
            difference = profile_difference(connection, held, ())
        subjects = [row.subject_id for row in difference.changed]
        known = outbox.fingerprints(PROFILE_PROPERTIES, subjects)
        latest = outbox.latest(PROFILE_PROPERTIES, subjects)
        with store.begin() as connection:
            query = sa.select(vendor_identities.c.customer_id, vendor_identities.c.vendor_id).where(
                vendor_identities.c.customer_id < _customer(changes)
            )
            vendor_ids = {row.customer_id: row.vendor_id for row in connection.execute(query)}
        plan = plan_states(
            "klaviyo",
            current,
            difference.changed,
            acknowledged=known,
            latest=latest,
            vendor_ids=vendor_ids,
            now=current.as_of,
        )
        wall, spent = time.perf_counter() - started, time.process_time() - cpu
        assert len(plan.intents) == changes, len(plan.intents)
        return round(copied, 2), round(wall, 2), round(spent, 2)
    finally:
        store.close()


def _compare(brand: Served, changes: int, until: datetime) -> tuple[int, int]:
    """How many of the changed profiles are not as wanted, and how many profiles lost or gained what is not ours."""
    shown = brand.profiles()
    wanted = dict.fromkeys(PAUSES, True) | {"roomtone_pause_until": rfc3339(until)}
    changed = {token(_SEED, "profile", FIRST_SILENT + number) for number in range(changes)}
    silent = {token(_SEED, "profile", FIRST_SILENT + number) for number in range(changes + 1000)}
    wrong = sum(any(shown[i]["properties"].get(name) != value for name, value in wanted.items()) for i in changed)
    touched = {
        i
        for i in silent
        if shown[i]["properties"].get("favourite_colour") != "green"
        or (i not in changed and any(name.startswith("roomtone_") for name in shown[i]["properties"]))
    }
    return wrong, len(touched)
