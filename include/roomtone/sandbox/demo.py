"""`make demo`: the main job in Airflow on the embedded warehouse against the sandbox brand, told as one story."""

import dataclasses
import json
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from roomtone.airflow import launcher
from roomtone.airflow.instance import AirflowInstance, start_airflow
from roomtone.errors import RoomtoneError
from roomtone.sandbox.player import Brand, Told, instant, play
from roomtone.settings import Settings, load_settings
from roomtone.stores import published

SEED = 7


def main() -> None:
    """Run the demo in a home of its own, `<ROOMTONE_HOME>/demo`, made anew each time."""
    began = time.monotonic()
    base = load_settings()
    home = base.home / "demo"
    run_folder = home / "run"
    # A demo that was killed has left its processes behind.
    launcher.stop_all(run_folder)
    shutil.rmtree(home, ignore_errors=True)

    def say(line: str) -> None:
        sys.stdout.write(f"[{time.monotonic() - began:5.1f} s] {line}\n")
        sys.stdout.flush()

    try:
        say("starting the sandbox brand")
        url = launcher.start_sandbox(home, run_folder, SEED)
        brand = Brand(url)
        settings = dataclasses.replace(launcher.sandbox_settings(base, home, url), extract_schedule="")
        say(f"starting Airflow; log files in {settings.logs_dir}")
        airflow = start_airflow(settings, run_folder=run_folder)
        check_imports(airflow)
        say("Airflow answers, no DAG import errors; the story begins")
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
        sys.stdout.write(story(told, brand) + headline(told, settings))
        brand.close()
    finally:
        launcher.stop_all(run_folder)
    say("done")


def check_imports(airflow: AirflowInstance) -> None:
    errors = airflow.import_errors()
    if errors:
        raise RoomtoneError("dags", f"{len(errors)} import errors", json.dumps(errors)[:2000])


def story(told: Told, brand: Brand) -> str:
    """The story in lines: the sandbox's time after her message, and what its log says."""
    people = brand.get("/story")["people"]
    lines = [
        "",
        f"The story of {people['maya']['name']} (a simulated brand; told from its own log)",
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
