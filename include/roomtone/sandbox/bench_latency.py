"""`make bench-latency`: from a message at the helpdesk to a pause in effect at the platform, in Airflow, as JSON.

Every time is the sandbox's: when the message was written, and when the profile was changed. Figures are simulated: the
brand is made up; the HTTP calls, Airflow and the stores are real. `load_average` says what else the machine did.
"""

import argparse
import asyncio
import dataclasses
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from roomtone.airflow import launcher, webhooks
from roomtone.airflow.instance import AirflowInstance, start_airflow
from roomtone.sandbox import measuring
from roomtone.sandbox.measuring import SECRET, Load
from roomtone.sandbox.player import Brand
from roomtone.sandbox.senders import send
from roomtone.settings import Settings, load_settings
from roomtone.stores.operational import OperationalStore


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measurement and print its JSON."""
    options = _parser().parse_args(arguments)
    measuring.quiet()
    base = load_settings()
    home = base.home / "bench-latency"
    run_folder = home / "run"
    launcher.stop_all(run_folder)
    shutil.rmtree(home, ignore_errors=True)
    try:
        url = measuring.start_brand(home, run_folder, options.customers, options.history)
        settings = launcher.sandbox_settings(base, home, url, "" if options.poll else SECRET)
        if not (options.poll or options.fallback):
            settings = dataclasses.replace(settings, extract_schedule="")
        if not options.poll:
            both = {**settings.webhook_secrets, "generic": (SECRET,)}
            settings = dataclasses.replace(settings, webhook_secrets=both)
        brand = Brand(url)
        past = measuring.write_past(settings, brand.now(), options.history) if options.history else None
        begun = time.monotonic()
        airflow = start_airflow(settings, run_folder=run_folder)
        started = time.monotonic()
        airflow.walk("extract", timeout_seconds=5400)
        walked = time.monotonic()
        store = OperationalStore(settings)
        measuring.settle(airflow, brand, store)
        store.close()
        if not options.poll:
            launcher.subscribe_sandbox(url, airflow.url, SECRET)
        report = _measure(brand, airflow, settings, run_folder, options)
        report |= {
            "past": past and {"customers": past.customers, "messages": past.messages, "sends": past.sends},
            "airflow_start_seconds": round(started - begun, 1),
            "first_walk_seconds": round(walked - started, 1),
            "webhook_to_durable_append": None if options.poll else _append(airflow.url),
        }
        measuring.tell(report)
        brand.close()
    finally:
        launcher.stop_all(run_folder)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-latency", description=__doc__)
    parser.add_argument("--customers", type=int, default=2000)
    parser.add_argument(
        "--history", type=int, default=0, help="messages of the year before, of a fifth as many customers"
    )
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--per-minute", type=float, default=14.0)
    parser.add_argument("--upset-share", type=float, default=0.5)
    parser.add_argument("--poll", action="store_true", help="no webhooks: the poll of each minute")
    parser.add_argument("--fallback", action="store_true", help="webhooks and the poll of each minute beside them")
    parser.add_argument("--patience-seconds", type=float, default=900.0)
    return parser


def _measure(
    brand: Brand, airflow: AirflowInstance, settings: Settings, run_folder: Path, options: argparse.Namespace
) -> dict[str, Any]:
    seen, load, memory = brand.last_entry(), Load(brand, options.upset_share), measuring.MemoryPeak(run_folder)
    for _ in load.pour(measuring.steady(options.per_minute, options.minutes)):
        memory.look()
    # What is under way comes to its end; a poll hears nothing younger than a minute.
    time.sleep(130.0 if options.poll else 5.0)
    store = OperationalStore(settings)
    is_drained = measuring.wait_until_drained(brand, airflow, store, options.patience_seconds)
    store.close()
    log = brand.log(seen)
    runs = airflow.call("GET", "/dags/react/dagRuns", params={"limit": 100, "order_by": "-run_after"})
    return {
        "what": "message written at the helpdesk -> pause in effect at the platform (simulated brand)",
        "way": "poll each minute" if options.poll else "webhook",
        "customers": options.customers,
        "messages_written": load.written,
        "per_minute": options.per_minute,
        "is_drained": is_drained,
        "already_paused": load.already_paused,
        "seconds": measuring.latencies(load.upset_at, log),
        "violations": sum(entry["kind"] == "violation" for entry in log),
        "calls_over_a_limit": measuring.over_a_limit(log),
        "memory_peak_mib": round(memory.mib),
        "react_runs": int(runs["total_entries"]),
        "failed_runs": sum(run["state"] == "failed" for run in runs["dag_runs"]),
        "webhooks": brand.get("/webhooks"),
        "load_average": [round(value, 1) for value in os.getloadavg()],
    }


def _append(url: str) -> dict[str, Any]:
    """Fifty senders at a time on Airflow's API server: at a burst's pace, 2,100 a minute, and as fast as it goes."""
    found = {}
    for name, each, a_second in (("burst", 14, 35.0), ("as_fast_as_it_goes", 40, None)):
        begun = time.perf_counter()
        target = f"{url}{webhooks.PREFIX}/generic"
        answers = asyncio.run(send(target, SECRET, senders=50, each=each, a_second=a_second))
        ordered = sorted(answers.seconds)
        found[name] = {
            "kept": len(ordered),
            "refused": answers.refused,
            "a_second": round(len(ordered) / (time.perf_counter() - begun), 1),
            **{f"p{share}_ms": round(measuring.quantile(ordered, share / 100) * 1000, 1) for share in (50, 95, 99)},
        }
    return found


if __name__ == "__main__":
    sys.exit(main())
