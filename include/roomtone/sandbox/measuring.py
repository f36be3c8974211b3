"""What the measurements of speed share: the brand and Airflow to measure on, the load, and the reading of the log."""

import json
import logging
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psutil

from roomtone.airflow import launcher, processes
from roomtone.airflow.instance import AirflowInstance
from roomtone.errors import RoomtoneError
from roomtone.sandbox.player import PAUSE_PROPERTIES, Brand, Entry, instant
from roomtone.sandbox.samples import sample_messages
from roomtone.sandbox.world import FIRST_SILENT, Plan, make_customer
from roomtone.settings import Settings, process_environment
from roomtone.stores import inbox, warehouse
from roomtone.stores.ledger import newest_source_read
from roomtone.stores.operational import OperationalStore
from roomtone.transform.simulated_year import Year, write_year

SECRET = "bench-secret-bench-secret-bench"  # noqa: S105 - of a server that lives for minutes, on loopback

_PAST_ENDED = timedelta(days=60)
_PAST_TEXTS = 5_000
_MESSAGES_EACH = 5
_SENDS_A_MESSAGE = 5

_LOOK_EVERY_SECONDS = 5.0

_A_QUICK_WALK = timedelta(minutes=2)
# Klaviyo's changed profiles of the last half hour are read once more each quarter of an hour.
_DEEP_LOOKS = timedelta(hours=1)
_MOST_WALKS, _LONGEST_WALK, _FEW_CHANGES = 60, 5400.0, 100

_AN_ID = re.compile(r"/(?!v\d)[^/]*\d[^/]*")

# Heat from which on a message leaves no doubt that its writer is upset.
_UPSET_HEAT = 3


def start_brand(home: Path, run_folder: Path, customers: int, past_messages: int = 0) -> str:
    """Start a sandbox brand of this size and record it; returns its address.

    With `past_messages` it also has the people of a past of so many messages, as `write_past` writes it.
    """
    command = [sys.executable, "-m", "roomtone.sandbox", "serve", "--port", "0", "--customers", str(customers)]
    command += ["--silent-profiles", str(past_customers(past_messages))]
    log = home.absolute() / "logs" / "sandbox.log"
    process = processes.start(launcher.SANDBOX_NAME, command, process_environment(), home.absolute(), log)
    processes.record(run_folder, launcher.SANDBOX_NAME, [process])
    return processes.wait_for_line(process, "sandbox ready ", 900.0).split()[-1]


def running_brand(home: Path, run_folder: Path) -> str:
    """Address of the brand that an earlier measurement has left running. Raises RoomtoneError where none is."""
    found = processes.recorded(run_folder).get(launcher.SANDBOX_NAME, [])
    if not found or not found[0].is_alive():
        raise RoomtoneError("sandbox brand", f"none runs for {home}", "measure without --resume first, and with --keep")
    return processes.wait_for_line(found[0], "sandbox ready ", 1.0).split()[-1]


def past_customers(messages: int) -> int:
    """How many people a past of so many messages has."""
    return messages // _MESSAGES_EACH


def write_past(settings: Settings, now: datetime, messages: int) -> Year:
    """Write a year of so many messages, of a fifth as many customers, into the warehouse, with five sends to a message.

    The customers are the brand's silent profiles. What they say is left to be scored. The year ends so long ago that
    its pauses are over, and every ticket in it is solved: the helpdesk does not know them.
    """
    year = Year(now - _PAST_ENDED, past_customers(messages), messages, messages * _SENDS_A_MESSAGE, open_days=0)
    customers = (make_customer(Plan.seed, FIRST_SILENT + number, now) for number in range(year.customers))
    texts = [row["text"] for row in sample_messages(Random(Plan.seed), _PAST_TEXTS)]
    with warehouse.connect(settings) as connection:
        write_year(connection, year, [customer.email for customer in customers], texts)
    return year


def settle(airflow: AirflowInstance, brand: Brand, store: OperationalStore) -> None:
    """Walk until all profiles have been read and little is left to change in them, an hour after that was so at first.

    The first walks change everybody's profile and read it again, twice, by the vendors' limits; for half an hour each
    deep look at what has changed reads all of them once more. Raises RoomtoneError where that has no end. The routing
    of tickets after a bad hour takes another, and is not waited for.
    """
    _walk_until_calm(airflow, brand, store)
    brand.advance_to(brand.now() + _DEEP_LOOKS)
    _walk_until_calm(airflow, brand, store)


def _walk_until_calm(airflow: AirflowInstance, brand: Brand, store: OperationalStore) -> None:
    seen = brand.last_entry()
    for _ in range(_MOST_WALKS):
        began = brand.now()
        airflow.walk("extract", timeout_seconds=_LONGEST_WALK)
        changed = sum(entry["kind"] == "profile_updated" for entry in brand.log(seen))
        seen = brand.last_entry()
        read_at = newest_source_read(store, ["klaviyo"])
        is_quick = brand.now() - began < _A_QUICK_WALK
        if read_at is not None and read_at >= began and changed < _FEW_CHANGES and is_quick:
            return
    raise RoomtoneError("sandbox brand", f"has not settled after {_MOST_WALKS} walks", "read the tasks' logs")


@dataclass
class Load:
    """Messages that were written, and who of their writers was upset since when.

    `already_paused`: upset writers whom an earlier message had made quiet; nothing changes for them.
    """

    brand: Brand
    upset_share: float
    written: int = 0
    already_paused: int = 0
    upset_at: dict[str, datetime] = field(default_factory=dict)

    def write(self, count: int) -> None:
        """Let so many customers write now."""
        answer = self.brand.post("/messages", {"count": count, "upset_share": self.upset_share})
        self.written += count
        for row in answer["messages"]:
            if row["heat"] < _UPSET_HEAT:
                continue
            if row["is_paused"]:
                self.already_paused += 1
            else:
                self.upset_at.setdefault(row["customer"], instant(answer["at"]))

    def pour(self, due_seconds: Sequence[float]) -> Iterable[float]:
        """Write at each of these times from now on; yields the seconds gone by, a few times a second."""
        began, done = time.monotonic(), 0
        while done < len(due_seconds):
            gone = time.monotonic() - began
            due = done
            while due < len(due_seconds) and due_seconds[due] <= gone:
                due += 1
            if due > done:
                self.write(due - done)
                done = due
            yield gone
            time.sleep(0.25)


def steady(per_minute: float, minutes: float) -> list[float]:
    """Times in seconds of an even flow."""
    return [number * 60.0 / per_minute for number in range(max(1, int(per_minute * minutes)))]


def wait_until_drained(
    brand: Brand, airflow: AirflowInstance, store: OperationalStore, patience_seconds: float
) -> bool:
    """Until no delivery is under way or waits and no pass decides or pauses; False when patience ends first.

    The routing of tickets goes on for as long as the helpdesk's limit makes it, and holds up no pass.
    """
    deadline = time.monotonic() + patience_seconds
    calm = 0
    while time.monotonic() < deadline:
        waiting = brand.get("/webhooks")["waiting"] + inbox.state(store).count_waiting
        # While a component is started again its API refuses: not drained, for all anybody knows.
        with suppress(RoomtoneError, httpx.HTTPError):
            found = airflow.call("GET", "/dags/react/dagRuns", params={"limit": 5, "order_by": "-run_after"})
            is_idle = all(
                run["state"] in {"success", "failed"}
                or _is_only_routing(airflow.task_states("react", run["dag_run_id"]))
                for run in found["dag_runs"]
            )
            calm = calm + 1 if waiting == 0 and is_idle else 0
        if calm >= 3:
            return True
        time.sleep(1.0)
    return False


def _is_only_routing(states: dict[str, str]) -> bool:
    return all(state in {"success", "skipped"} for task, state in states.items() if task != "sync_zendesk")


def over_a_limit(log: Sequence[Entry]) -> dict[str, int]:
    """How many calls the sandbox answered with 429, by what was called: ids in paths and queries left out."""
    calls = (entry for entry in log if entry["kind"] == "request" and entry["status"] == 429)
    return dict(Counter(f"{call['api']} {call['method']} {_AN_ID.sub('/{}', call['path'])}" for call in calls))


def latencies(upset_at: dict[str, datetime], log: Sequence[Entry]) -> dict[str, Any]:
    """Seconds from the message of each upset customer to the first pause in effect after it, by the sandbox's log."""
    paused_at: dict[str, datetime] = {}
    for entry in log:
        if entry["kind"] != "profile_updated" or entry.get("external_id") not in upset_at:
            continue
        changed = entry["changed"]
        is_pause = any(changed.get(f"roomtone_pause_{scope}", (None, None))[1] is True for scope in PAUSE_PROPERTIES)
        if is_pause and instant(entry["at"]) >= upset_at[entry["external_id"]]:
            paused_at.setdefault(entry["external_id"], instant(entry["at"]))
    seconds = sorted((paused_at[key] - upset_at[key]).total_seconds() for key in paused_at)
    found: dict[str, Any] = {"upset": len(upset_at), "paused": len(seconds)}
    if seconds:
        found |= {f"p{share}": round(quantile(seconds, share / 100), 2) for share in (50, 95, 99)}
        found["most"] = round(seconds[-1], 2)
        # A load that is borne does not grow slower: then a longer run shows the same.
        in_order = sorted(paused_at, key=upset_at.__getitem__)
        later = sorted((paused_at[key] - upset_at[key]).total_seconds() for key in in_order[len(in_order) // 2 :])
        found["p95_of_the_later_half"] = round(quantile(later, 0.95), 2)
    return found


def quantile(ordered: Sequence[float], share: float) -> float:
    """Nearest rank of an ascending, non-empty sequence."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class MemoryPeak:
    """The most memory that all that was started has held together, of looks some seconds apart.

    A look takes an eighth of a second and stops each process that it looks at: more of them would measure themselves.
    """

    def __init__(self, run_folder: Path) -> None:
        self._run_folder = run_folder
        self._looked_at = -_LOOK_EVERY_SECONDS
        self.held: list[tuple[str, float]] = []

    @property
    def mib(self) -> float:
        return sum(mib for _, mib in self.held)

    def look(self) -> None:
        """Look, unless that was done a moment ago."""
        if time.monotonic() - self._looked_at >= _LOOK_EVERY_SECONDS:
            held = memory_held(self._run_folder)
            if sum(mib for _, mib in held) > self.mib:
                self.held = held
            self._looked_at = time.monotonic()

    def largest(self, count: int = 8) -> list[str]:
        """Who held most of it, in MiB: components, and the tasks of the scheduler each by itself."""
        return [f"{name} {mib:.0f}" for name, mib in sorted(self.held, key=lambda each: -each[1])[:count]]


def memory_held(run_folder: Path) -> list[tuple[str, float]]:
    """Memory of each process of all that was started, in MiB, shared pages counted once (PSS)."""
    held = []
    for started in processes.recorded(run_folder).values():
        for process in started:
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                leader = psutil.Process(process.pid)
                for member in (leader, *leader.children(recursive=True)):
                    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                        is_task = " ".join(member.cmdline()).startswith("airflow worker -- ")
                        name = "task" if is_task else process.name
                        held.append((name, member.memory_full_info().pss / 1024 / 1024))
    return held


def quiet() -> None:
    """Nothing but the report goes to the standard output: Airflow's logging, once imported, writes there too."""
    logging.disable(logging.INFO)


def tell(report: dict[str, Any]) -> None:
    """Print a report as JSON."""
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    sys.stdout.flush()
