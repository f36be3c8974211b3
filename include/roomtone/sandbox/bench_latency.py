"""`make bench-latency`: from a message at the helpdesk to a pause in effect at the platform, in Airflow, as JSON.

Every time is the sandbox's: when the message was written, and when the profile was changed. Figures are simulated: the
brand is made up, the HTTP calls, Airflow and the stores are real.
"""

import argparse
import asyncio
import dataclasses
import json
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from roomtone.airflow import launcher, processes, webhooks
from roomtone.airflow.instance import AirflowInstance, start_airflow
from roomtone.sandbox.player import PAUSE_PROPERTIES, Brand, instant
from roomtone.sandbox.senders import send
from roomtone.settings import load_settings, process_environment

_SECRET = "bench-secret-bench-secret-bench"  # noqa: S105 - of a server that lives for minutes, on loopback


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measurement and print its JSON; 1 when a bound is missed."""
    options = _parser().parse_args(arguments)
    base = load_settings()
    home = base.home / "bench-latency"
    run_folder = home / "run"
    launcher.stop_all(run_folder)
    shutil.rmtree(home, ignore_errors=True)
    try:
        url = _start_sandbox(home, run_folder, options.customers)
        secret = "" if options.poll else _SECRET
        settings = launcher.sandbox_settings(base, home, url, secret)
        if not options.poll and not options.fallback:
            settings = dataclasses.replace(settings, extract_schedule="")
        if secret:
            settings = dataclasses.replace(settings, webhook_secrets={**settings.webhook_secrets, "generic": (secret,)})
        airflow = start_airflow(settings, run_folder=run_folder)
        brand = Brand(url)
        walk_seconds = _walk(airflow)
        if not options.poll:
            launcher.subscribe_sandbox(url, airflow.url, secret)
        report = _measure(brand, airflow, run_folder, options)
        if not options.poll:
            report["webhook_to_durable_append"] = _append(airflow.url)
        report["first_walk_seconds"] = walk_seconds
        sys.stdout.write(json.dumps(report, indent=1) + "\n")
        brand.close()
    finally:
        launcher.stop_all(run_folder)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-latency", description=__doc__)
    parser.add_argument("--customers", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--per-minute", type=float, default=14.0)
    parser.add_argument("--upset-share", type=float, default=0.5)
    parser.add_argument("--poll", action="store_true", help="no webhooks: the poll of each minute")
    parser.add_argument("--fallback", action="store_true", help="webhooks and the poll of each minute beside them")
    return parser


def _start_sandbox(home: Path, run_folder: Path, customers: int) -> str:
    command = [sys.executable, "-m", "roomtone.sandbox", "serve", "--port", "0", "--customers", str(customers)]
    log = home.absolute() / "logs" / "sandbox.log"
    process = processes.start(launcher.SANDBOX_NAME, command, process_environment(), home.absolute(), log)
    processes.record(run_folder, launcher.SANDBOX_NAME, [process])
    return processes.wait_for_line(process, "sandbox ready ", 600.0).split()[-1]


def _walk(airflow: AirflowInstance) -> float:
    started = time.monotonic()
    airflow.walk("extract", timeout_seconds=1800)
    return round(time.monotonic() - started, 1)


def _measure(brand: Brand, airflow: AirflowInstance, run_folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    seen = brand.last_entry()
    written: dict[str, datetime] = {}
    began, count, peak = time.monotonic(), 0, 0.0
    while time.monotonic() - began < options.minutes * 60:
        due = int((time.monotonic() - began) * options.per_minute / 60) + 1
        if due > count:
            answer = brand.post("/messages", {"count": due - count, "upset_share": options.upset_share})
            count = due
            written |= {row["customer"]: instant(answer["at"]) for row in answer["messages"] if row["heat"] >= 3}
        peak = max(peak, _memory(run_folder))
        time.sleep(0.25)
    # What is under way comes to its end.
    time.sleep(90.0 if options.poll else 20.0)
    log = brand.log(seen)
    runs = airflow.call("GET", "/dags/react/dagRuns", params={"limit": 100, "order_by": "-run_after"})
    return {
        "what": "message written at the helpdesk -> pause in effect at the platform (simulated brand)",
        "way": "poll each minute" if options.poll else "webhook",
        "customers": options.customers,
        "messages_written": count,
        "per_minute": options.per_minute,
        "seconds": _latencies(written, log),
        "violations": sum(entry["kind"] == "violation" for entry in log),
        "calls_over_a_limit": sum(entry["kind"] == "request" and entry["status"] == 429 for entry in log),
        "memory_peak_mib": round(peak),
        "react_runs": int(runs["total_entries"]),
        "failed_runs": sum(run["state"] == "failed" for run in runs["dag_runs"]),
        "webhooks": brand.get("/webhooks"),
    }


def _append(url: str) -> dict[str, Any]:
    """Fifty senders at a time on Airflow's API server: at a burst's pace, 2,100 a minute, and as fast as it goes."""
    found = {}
    for name, each, a_second in (("burst", 14, 35.0), ("as_fast_as_it_goes", 40, None)):
        begun = time.perf_counter()
        target = f"{url}{webhooks.PREFIX}/generic"
        answers = asyncio.run(send(target, _SECRET, senders=50, each=each, a_second=a_second))
        ordered = sorted(answers.seconds)
        found[name] = {
            "kept": len(ordered),
            "refused": answers.refused,
            "a_second": round(len(ordered) / (time.perf_counter() - begun), 1),
            **{f"p{share}_ms": round(_quantile(ordered, share / 100) * 1000, 1) for share in (50, 95, 99)},
        }
    return found


def _latencies(written: dict[str, datetime], log: list[dict[str, Any]]) -> dict[str, Any]:
    first: dict[str, datetime] = {}
    for entry in log:
        if entry["kind"] != "profile_updated" or entry.get("external_id") not in written:
            continue
        changed = entry["changed"]
        is_pause = any(changed.get(f"roomtone_pause_{scope}", (None, None))[1] is True for scope in PAUSE_PROPERTIES)
        if is_pause and instant(entry["at"]) >= written[entry["external_id"]]:
            first.setdefault(entry["external_id"], instant(entry["at"]))
    seconds = sorted((first[key] - written[key]).total_seconds() for key in first)
    if not seconds:
        return {"upset": len(written), "paused": 0}
    return {
        "upset": len(written),
        "paused": len(seconds),
        **{f"p{share}": round(_quantile(seconds, share / 100), 2) for share in (50, 95, 99)},
        "mean": round(statistics.fmean(seconds), 2),
        "most": round(seconds[-1], 2),
    }


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _memory(run_folder: Path) -> float:
    """Memory of all that was started, in MiB, shared pages counted once (PSS)."""
    total = 0
    for started in processes.recorded(run_folder).values():
        for process in started:
            try:
                family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
                total += sum(member.memory_full_info().pss for member in family)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
    return total / 1024 / 1024


if __name__ == "__main__":
    sys.exit(main())
