"""`make demo`: the main job in Airflow on the embedded warehouse against the sandbox brand, told as one story."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from roomtone.airflow.instance import AirflowInstance, start_airflow
from roomtone.errors import RoomtoneError
from roomtone.sandbox.player import Brand, Told, instant, play
from roomtone.settings import Settings, load_settings, process_environment
from roomtone.stores import published

CUSTOMERS = 400
SEED = 7


def main() -> None:
    """Run the demo in a home of its own, `<ROOMTONE_HOME>/demo`, made anew each time."""
    began = time.monotonic()
    home = load_settings().home / "demo"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)

    def say(line: str) -> None:
        sys.stdout.write(f"[{time.monotonic() - began:5.1f} s] {line}\n")
        sys.stdout.flush()

    say("starting the sandbox brand")
    with sandbox(home) as url:
        brand = Brand(url)
        settings = load_settings({**process_environment(), **environment(url, home)})
        say(f"starting Airflow (log files in {settings.logs_dir})")
        airflow = start_airflow(settings)
        try:
            check_imports(airflow)
            say("Airflow answers; no DAG import errors; the story begins")
            durations: list[float] = []

            def walk() -> None:
                started = time.monotonic()
                runs = airflow.walk("extract")
                failed = [f"{run.dag_id} {run.run_id}" for run in runs if run.state != "success"]
                if failed:
                    raise RoomtoneError("DAG run", ", ".join(failed), f"read the task logs in {settings.logs_dir}")
                durations.append(time.monotonic() - started)

            told = play(brand, walk, say)
            fastest, slowest = min(durations), max(durations)
            say(f"{len(durations)} walks of extract -> react -> publish, {fastest:.1f} to {slowest:.1f} s each")
        finally:
            airflow.stop()
        sys.stdout.write(story(told, brand) + headline(told, settings))
        brand.close()
    say("done")


@contextlib.contextmanager
def sandbox(home: Path) -> Iterator[str]:
    """The sandbox brand as a separate process on a free port; yields its address."""
    command = [sys.executable, "-m", "roomtone.sandbox", "serve", "--port", "0"]
    command += ["--seed", str(SEED), "--customers", str(CUSTOMERS)]
    with (home / "sandbox.log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("sandbox ready "):
                raise RoomtoneError("sandbox", "did not start", f"read {home / 'sandbox.log'}")
            yield line.split()[-1]
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=20)


def environment(url: str, home: Path) -> dict[str, str]:
    """Settings of a roomtone whose every source and destination is the sandbox at `url`."""
    return {
        "ROOMTONE_HOME": str(home),
        "ROOMTONE_SOURCES": "zendesk,klaviyo,shop",
        "ROOMTONE_DESTINATIONS": "klaviyo,zendesk",
        "ROOMTONE_EXTRACT_SCHEDULE": "",
        "ROOMTONE_CLOCK_URL": f"{url}/clock",
        "ROOMTONE_ZENDESK_URL": f"{url}/zendesk",
        "ROOMTONE_ZENDESK_TOKEN": "sandbox-zendesk",
        "ROOMTONE_ZENDESK_ORDER_FIELD_ID": "9001",
        "ROOMTONE_KLAVIYO_URL": f"{url}/klaviyo",
        "ROOMTONE_KLAVIYO_TOKEN": "sandbox-klaviyo",
        "ROOMTONE_SHOP_URL": url,
        "ROOMTONE_SHOP_TOKEN": "sandbox-shop",
    }


def check_imports(airflow: AirflowInstance) -> None:
    errors = airflow.import_errors()
    if errors:
        raise RoomtoneError("dags", f"{len(errors)} import errors", json.dumps(errors)[:2000])


def story(told: Told, brand: Brand) -> str:
    """The story in lines: the sandbox's time after her message, and what its log says."""
    people = brand.get("/story")["people"]
    lines = [
        "",
        f"The story of {people['maya']['name']} (simulated brand of {CUSTOMERS} customers; told from its own log)",
        "",
    ]

    def line(at: datetime | str, text: str) -> None:
        moment = instant(at) if isinstance(at, str) else at
        lines.append(f"  {_after(moment - told.t0):>14}  {text}")

    line(told.t0, "her gift has had no tracking scan for five days; she writes to support")
    if told.routed:
        changed = told.routed[0]["changed"]
        line(
            told.routed[0]["at"],
            "helpdesk: " + ", ".join(f"{name} -> {_new(value)}" for name, value in changed.items()),
        )
    for entry in told.paused[:1]:
        scopes = [
            name for name in entry["changed"] if name.startswith("roomtone_pause_") and name != "roomtone_pause_until"
        ]
        line(entry["at"], f"marketing platform: {len(scopes)} kinds of promotion paused for her, each with its own end")
    for event in told.events_of("apology")[:1]:
        line(event["at"], "marketing platform: one apology is due (service message, no offer in it)")
    for name in ("maya", "tom", "ana"):
        entry = told.sale[name]
        about = {"maya": "", "tom": " (a mild word about a colour)", "ana": " (a plain question)"}[name]
        line(entry["at"], f'"{entry["name"]}" to {people[name]["name"]}{about}: {entry["outcome"].upper()}')
    for notice in told.shipping_notices[:1]:
        line(notice["at"], f"shipping notice to {people['maya']['name']}: {notice['outcome'].upper()}")
    for entry in told.released[-1:]:
        line(entry["at"], "24 hours after her ticket was solved the pause is lifted")
    for event in told.events_of("discount_code")[:1]:
        line(event["at"], "one goodwill offer is due")
    if "maya" in told.arrivals:
        entry = told.arrivals["maya"]
        line(entry["at"], f'"{entry["name"]}" to {people["maya"]["name"]}: {entry["outcome"].upper()}')
    repeated = len(told.changes_when_repeated)
    lines.append(f"  {'':>14}  everything run once more: {repeated} changes at the platforms")
    without, paused = told.counterfactual["without_pauses"], told.counterfactual["with_pauses"]
    lines.append("")
    lines.append(
        f"Without roomtone the sale reaches {without['recipients']} people, {without['upset_recipients']} of them "
        "upset; by the brand's planted"
    )
    lines.append(
        f"hazards (simulated) that is {without['expected_unsubscribes']:.2f} unsubscribes and "
        f"{without['expected_complaints']:.2f} spam complaints expected, against "
        f"{paused['expected_unsubscribes']:.2f} and {paused['expected_complaints']:.2f} with it."
    )
    lines.append("")
    return "\n".join(lines) + "\n"


def headline(told: Told, settings: Settings) -> str:
    """The headline figures."""
    paused_after = instant(told.paused[0]["at"]) - told.t0
    [counts] = published.query(
        settings,
        """
        select
            (select count(*) from dim_customers) as customers,
            (select count(*) from fct_tickets) as tickets,
            (select count(*) from fct_message_scores) as messages,
            (select count(*) from fct_suppression_causes) as causes,
            (select count(*) from fct_recovery_triggers where status = 'sent') as sent
        """,
    )
    rows: Sequence[tuple[str, str]] = (
        (
            "message to effective pause, by poll",
            f"{_after(paused_after)[1:]} (the helpdesk's export hides the first 60 s)",
        ),
        ("upset customers reached by the sale", str(len(told.counterfactual["upset_and_reached"]))),
        ("calls outside the vendors' contract or touching consent", str(len(told.violations))),
        ("customers, tickets, scored messages", f"{counts['customers']}, {counts['tickets']}, {counts['messages']}"),
        ("causes of a pause, recovery triggers sent", f"{counts['causes']}, {counts['sent']}"),
        ("marts", str(settings.published_dir / "marts.duckdb")),
    )
    width = max(len(name) for name, _ in rows)
    return "Headline figures (simulated)\n" + "".join(f"  {name:<{width}}  {value}\n" for name, value in rows) + "\n"


def _new(change: Sequence[object]) -> str:
    value = change[1]
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _after(elapsed: timedelta) -> str:
    seconds = int(elapsed.total_seconds())
    days, seconds = divmod(seconds, 86_400)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"+{days} d {clock}" if days else f"+{clock}"


if __name__ == "__main__":
    try:
        main()
    except RoomtoneError as error:
        sys.stderr.write(f"roomtone: {error}\n")
        sys.exit(1)
