"""`make bench-load`: bad hours, bursts, a backlog and deaths during load, in Airflow, as JSON. Figures are simulated.

The phases are compressed by default; whole ones are `--outage-minutes 60 --burst-minutes 5 --backlog 250000
--soak-days 30`. What was killed or stands still is started again by its keeper, as everywhere.
"""

import argparse
import dataclasses
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from threading import Timer
from typing import Any

import psutil

from roomtone.airflow import launcher, processes
from roomtone.airflow.instance import AirflowInstance, DagRun, start_airflow
from roomtone.errors import RoomtoneError
from roomtone.sandbox import measuring
from roomtone.sandbox.measuring import SECRET, Load
from roomtone.sandbox.player import Brand, instant
from roomtone.sandbox.rhythm import busiest_minutes
from roomtone.sandbox.samples import sample_messages
from roomtone.sandbox.world import Plan
from roomtone.settings import Settings, load_settings, process_environment
from roomtone.stores import inbox
from roomtone.stores.heartbeats import alerts_since
from roomtone.stores.operational import OperationalStore
from roomtone.sync import holds

_OBJECTIVE_SECONDS = 10.0
# Where few write, half of them are upset, so that there is something to measure.
_FEW_BUT_UPSET = 0.5
# What grows in a home.
_SOAKED = ("warehouse.duckdb", "operational.db", "raw", "extract", "published", "airflow", "logs")
_SMALL_FILE = 1 << 16
_BACKLOG_AGE = timedelta(hours=12)
_HOLD_WAREHOUSE = """
import sys, time
from roomtone.settings import load_settings
from roomtone.stores import warehouse
with warehouse.held(load_settings()):
    time.sleep(float(sys.argv[1]))
"""


class Bench:
    """One brand, one Airflow, and what is done to them."""

    def __init__(self, settings: Settings, run_folder: Path, options: argparse.Namespace) -> None:
        self.settings = settings
        self.run_folder = run_folder
        self.options = options
        self.airflow: AirflowInstance
        self.brand: Brand
        self.store = OperationalStore(settings)
        self.memory = measuring.MemoryPeak(run_folder)

    def phase(
        self,
        name: str,
        due: Sequence[float],
        at: Callable[[], object] = lambda: None,
        *,
        after_seconds: float = 0.0,
        upset_share: float | None = None,
    ) -> dict[str, Any]:
        """Pour messages in, do `at` once after so many seconds, wait until nothing waits; returns what was measured."""
        load = Load(self.brand, upset_share or self.options.upset_share)
        seen, begun, began_at, began = (
            self.brand.last_entry(),
            time.monotonic(),
            datetime.now(UTC),
            self.brand.now(),
        )
        is_done = False
        for gone in load.pour(due):
            if not is_done and gone >= after_seconds:
                at()
                is_done = True
            self.memory.look()
        poured = time.monotonic()
        is_drained = measuring.wait_until_drained(self.brand, self.airflow, self.store, self.options.patience_seconds)
        log = self.brand.log(seen)
        late = self._late(load, log)
        recovery = [entry["unique_id"] for entry in log if entry["kind"] == "event_received"]
        return {
            "phase": name,
            "messages": load.written,
            "poured_seconds": round(poured - begun, 1),
            "backlog_gone_after_seconds": round(time.monotonic() - poured, 1) if is_drained else None,
            "seconds": measuring.latencies(load.upset_at, log),
            "late_writers": len(late),
            # From here on the objective was met.
            "last_late_writer_after_seconds": round((max(late) - began).total_seconds(), 1) if late else None,
            "repeated_recovery_events": len(recovery) - len(set(recovery)),
            "calls_over_a_limit": measuring.over_a_limit(log),
            "violations": sum(entry["kind"] == "violation" for entry in log),
            "alerts": sorted({f"{alert.kind} {alert.subject}" for alert in alerts_since(self.store, began_at)}),
            "load_average": [round(value, 1) for value in os.getloadavg()],
        }

    def drain(self, messages: int) -> dict[str, Any]:
        """Let a backlog wait in the inbox, by half a day too old for a quick answer, then drain it.

        Each message is a ticket of its own by somebody of the past, so that it comes as two deliveries. Nothing of it
        is at the helpdesk, so only its end is measured.
        """
        self.airflow.call("PATCH", "/dags/react", json={"is_paused": True})
        rows = list(sample_messages(Random(Plan.seed), 5_000))
        moods = {
            is_upset: [row["text"] for row in rows if (row["sentiment"] == "negative") is is_upset]
            for is_upset in (True, False)
        }
        rng, at = Random(Plan.seed), self.brand.now() - _BACKLOG_AGE
        people = max(1, measuring.past_customers(self.options.history))
        writer = inbox.InboxWriter(self.store)
        for number in range(messages):
            moment = (at + timedelta(seconds=number * _BACKLOG_AGE.total_seconds() / messages)).isoformat()
            stamps = {"created_at": moment, "updated_at": moment}
            text = rng.choice(moods[rng.random() < self.options.upset_share])
            ticket = {
                "id": f"backlog-{number}",
                "customer_id": f"c{number % people}",
                "channel": "email",
                "status": "new",
            }
            message = {"id": f"backlog-{number}", "ticket_id": ticket["id"], "author": "customer", "body": text}
            writer.append(self._delivery("tickets", ticket | stamps))
            last = writer.append(self._delivery("messages", message | stamps | {"is_public": True}))
        last.result()
        writer.close()
        seen, begun = self.brand.last_entry(), time.monotonic()
        self.airflow.call("PATCH", "/dags/react", json={"is_paused": False})
        self.airflow.trigger("react")
        is_drained = False
        while not is_drained and time.monotonic() - begun < self.options.patience_seconds:
            self.memory.look()
            is_drained = measuring.wait_until_drained(self.brand, self.airflow, self.store, 5.0)
        log = self.brand.log(seen)
        return {
            "phase": "backlog",
            "messages": messages,
            "drained_after_seconds": round(time.monotonic() - begun, 1) if is_drained else None,
            "pauses": sum(entry["kind"] == "profile_updated" for entry in log),
            "held": [hold.told() for hold in holds.open_holds(self.store)],
            "calls_over_a_limit": measuring.over_a_limit(log),
            "violations": sum(entry["kind"] == "violation" for entry in log),
        }

    def soak(self, days: int) -> dict[str, Any]:
        """Live through so many days, two walks a day: seconds of the passes, and bytes on the disk after each day."""
        seen, sizes, passes = self.brand.last_entry(), [], []
        for _ in range(days):
            for _ in range(2):
                self.brand.advance_to(self.brand.now() + timedelta(hours=12))
                ended = self.airflow.walk("extract", timeout_seconds=self.options.patience_seconds)
                passes += [self._seconds(run) for run in ended if run.dag_id == "react"]
                failed = [run.dag_id for run in ended if run.state != "success"]
                if failed:
                    raise RoomtoneError("soak", f"{', '.join(failed)} failed", f"read the logs in {self.run_folder}")
            sizes.append({name: _bytes(self.settings.home / name) for name in _SOAKED})
            self.memory.look()
        log = self.brand.log(seen)
        first_day = statistics.median(passes[:2])
        half = days // 2
        return {
            "phase": f"soak of {days} days",
            "pass_seconds_first_day": round(first_day, 1),
            "pass_seconds_longest": round(max(passes), 1),
            "longest_over_first_day": round(max(passes) / first_day, 2),
            # At most linear growth is at most 1 here, but for what the first days write once.
            "growth_second_half_over_first": {
                name: round((sizes[-1][name] - sizes[half][name]) / max(1, sizes[half][name] - sizes[0][name]), 2)
                for name in _SOAKED
            },
            "mb_at_the_end": {name: round(size / 1e6, 1) for name, size in sizes[-1].items()},
            "unfinished_tasks": self._count_unfinished(),
            "violations": sum(entry["kind"] == "violation" for entry in log),
        }

    def _seconds(self, run: DagRun) -> float:
        found = self.airflow.call("GET", f"/dags/{run.dag_id}/dagRuns/{run.run_id}")
        return (instant(found["end_date"]) - instant(found["start_date"])).total_seconds()

    def _count_unfinished(self) -> int:
        """Tasks that run or wait although every run has been waited for."""
        params = {"state": ["running", "queued", "scheduled", "deferred"], "limit": 1}
        return int(self.airflow.call("GET", "/dags/~/dagRuns/~/taskInstances", params=params)["total_entries"])

    def _delivery(self, stream: str, record: dict[str, Any]) -> inbox.Delivery:
        body = json.dumps({"type": stream, "data": record}).encode()
        return inbox.Delivery("generic", None, body, body, datetime.now(UTC))

    def _late(self, load: Load, log: Sequence[dict[str, Any]]) -> list[datetime]:
        """When those upset writers wrote whose pause took longer than the objective."""
        first: dict[str, datetime] = {}
        for entry in log:
            if entry["kind"] == "profile_updated" and entry.get("external_id") in load.upset_at:
                first.setdefault(entry["external_id"], instant(entry["at"]))
        wrote = load.upset_at
        return [wrote[key] for key, at in first.items() if (at - wrote[key]).total_seconds() > _OBJECTIVE_SECONDS]

    def kill(self, name: str) -> None:
        """End a component with all its processes at once, but not its keeper."""
        keeper = next(process for process in self.airflow.started if process.name == name)
        for member in psutil.Process(keeper.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                member.kill()

    def kill_worker(self) -> None:
        """End a worker of the scheduler with the task that it runs."""
        scheduler = next(process for process in self.airflow.started if process.name == "scheduler")
        for member in psutil.Process(scheduler.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if "LocalExecutor" in " ".join(member.cmdline()) and member.children():
                    for child in member.children(recursive=True):
                        child.kill()
                    member.kill()
                    return

    def lock_warehouse(self, seconds: float) -> None:
        """Let another process hold the warehouse."""
        environ = process_environment() | {"ROOMTONE_HOME": str(self.settings.home)}
        subprocess.Popen([sys.executable, "-c", _HOLD_WAREHOUSE, str(seconds)], env=environ)

    def fill_disk(self, seconds: float) -> None:
        """No file grows any more, of Airflow or of its tasks, as on a full disk."""
        self._limit_files(_SMALL_FILE)
        Timer(seconds, self._limit_files, (psutil.RLIM_INFINITY,)).start()

    def _limit_files(self, size: int) -> None:
        for process in self.airflow.started:
            with suppress(psutil.NoSuchProcess):
                leader = psutil.Process(process.pid)
                for member in (leader, *leader.children(recursive=True)):
                    with suppress(psutil.NoSuchProcess):
                        member.rlimit(psutil.RLIMIT_FSIZE, (size, psutil.RLIM_INFINITY))

    def put_clock_wrong(self, seconds: float) -> None:
        """The clock by which passes are made is an hour ahead for a while, and then an hour behind."""
        turns = ((0.0, 3600.0), (seconds, -3600.0), (2 * seconds, 0.0))
        for after, ahead in turns:
            Timer(after, self.brand.post, ("/machine-clock", {"ahead_seconds": ahead})).start()

    def freeze_brand(self, seconds: float) -> None:
        """The vendors do not answer for a while."""
        [sandbox] = processes.recorded(self.run_folder)[launcher.SANDBOX_NAME]
        os.kill(sandbox.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(sandbox.pid, signal.SIGCONT)


def _bytes(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the phases and print their JSON."""
    options = _parser().parse_args(arguments)
    measuring.quiet()
    base = load_settings()
    home = base.home / "bench-load"
    run_folder = home / "run"
    if not options.resume:
        launcher.stop_all(run_folder)
        shutil.rmtree(home, ignore_errors=True)
    try:
        if options.resume:
            url = measuring.running_brand(home, run_folder)
        else:
            url = measuring.start_brand(home, run_folder, options.customers, options.history)
        settings = launcher.sandbox_settings(base, home, url, SECRET)
        settings = dataclasses.replace(settings, clock_url=f"{url}/machine-clock")
        bench = Bench(settings, run_folder, options)
        bench.brand = Brand(url)
        if options.history and not options.resume:
            measuring.write_past(settings, bench.brand.now(), options.history)
        bench.airflow = start_airflow(settings, run_folder=run_folder)
        measuring.settle(bench.airflow, bench.brand, bench.store)
        launcher.subscribe_sandbox(url, bench.airflow.url, SECRET)
        began = bench.brand.now()
        phases = []
        for name, measure in _phases(bench, base).items():
            if name in options.phases:
                phases.append(measure())
                # Hours pass until the whole report: what is known already is told.
                sys.stderr.write(json.dumps(phases[-1]) + "\n")
        told = alerts_since(bench.store, began.min.replace(tzinfo=began.tzinfo))
        measuring.tell(
            {
                "what": "messages under load and faults -> pauses in effect at the platform (simulated brand)",
                "customers": options.customers,
                "past_messages": options.history,
                "phases": phases,
                "memory_peak_mib": round(bench.memory.mib),
                "memory_peak_largest": bench.memory.largest(),
                "alerts": len(told),
            }
        )
        bench.brand.close()
        if options.keep:
            bench.airflow.stop()
    finally:
        if not options.keep:
            launcher.stop_all(run_folder)
    return 0


def _phases(bench: Bench, base: Settings) -> dict[str, Callable[[], dict[str, Any]]]:
    options = bench.options
    steady = measuring.steady(14.0, options.fault_minutes)

    def fault(name: str, act: Callable[[], object]) -> Callable[[], dict[str, Any]]:
        return lambda: bench.phase(name, steady, act, after_seconds=10.0, upset_share=_FEW_BUT_UPSET)

    def rhythm() -> dict[str, Any]:
        due = busiest_minutes(base.data_dir, options.rhythm_minutes, options.multiple)
        return bench.phase(f"rhythm x{options.multiple:g}", due)

    return {
        "rhythm": rhythm,
        "steady": lambda: bench.phase(
            "steady", measuring.steady(14.0, options.steady_minutes), upset_share=_FEW_BUT_UPSET
        ),
        "outage": lambda: bench.phase("outage hour", measuring.steady(700.0, options.outage_minutes)),
        "burst": lambda: bench.phase("burst", measuring.steady(2100.0, options.burst_minutes)),
        "scheduler": fault("scheduler killed", lambda: bench.kill("scheduler")),
        "api-server": fault("API server killed", lambda: bench.kill("api-server")),
        "triggerer": fault("triggerer killed", lambda: bench.kill("triggerer")),
        "worker": fault("worker killed", bench.kill_worker),
        "warehouse": fault("warehouse locked", lambda: bench.lock_warehouse(options.locked_seconds)),
        "disk": fault("disk full", lambda: bench.fill_disk(options.full_seconds)),
        "clock": fault("clock wrong", lambda: bench.put_clock_wrong(options.wrong_seconds)),
        "vendors": fault("vendors silent", lambda: bench.freeze_brand(options.silent_seconds)),
        # The guardrail holds the pauses of a whole backlog, and all later ones, until somebody has looked.
        "backlog": lambda: bench.drain(options.backlog),
        "soak": lambda: bench.soak(options.soak_days),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-load", description=__doc__)
    every = "rhythm,steady,outage,burst,scheduler,api-server,triggerer,worker,warehouse,disk,clock,vendors,backlog,soak"
    parser.add_argument("--phases", type=lambda text: text.split(","), default=every.split(","))
    parser.add_argument("--customers", type=int, default=4000)
    parser.add_argument(
        "--history", type=int, default=0, help="messages of the year before, of a fifth as many customers"
    )
    parser.add_argument("--keep", action="store_true", help="leave the brand and its home for --resume")
    parser.add_argument("--resume", action="store_true", help="go on with those of a run before")
    parser.add_argument("--upset-share", type=float, default=0.1)
    parser.add_argument("--multiple", type=float, default=100.0, help="of the real arrivals")
    parser.add_argument("--rhythm-minutes", type=float, default=3.0)
    parser.add_argument("--steady-minutes", type=float, default=3.0)
    parser.add_argument("--outage-minutes", type=float, default=3.0)
    parser.add_argument("--burst-minutes", type=float, default=1.0)
    parser.add_argument("--backlog", type=int, default=5000)
    parser.add_argument("--soak-days", type=int, default=4)
    parser.add_argument("--fault-minutes", type=float, default=1.5)
    parser.add_argument("--locked-seconds", type=float, default=60.0)
    parser.add_argument("--full-seconds", type=float, default=30.0)
    parser.add_argument("--wrong-seconds", type=float, default=30.0, help="ahead, and as long behind")
    parser.add_argument("--silent-seconds", type=float, default=30.0)
    parser.add_argument("--patience-seconds", type=float, default=900.0)
    return parser


if __name__ == "__main__":
    sys.exit(main())
