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
from roomtone.sandbox.player import Brand, Entry, Told, instant, play
from roomtone.settings import Settings, load_settings
from roomtone.stores import published

SEED = 7
GROUPS = {1: "Support", 2: "Escalations", 3: "Calm"}


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
    """The story in lines, in the order of the sandbox's clock: what its own log says."""
    people = brand.get("/story")["people"]
    maya = people["maya"]["name"]
    told_at: list[tuple[datetime, str]] = [(told.t0, "her gift has had no scan for five days; she writes to support")]

    def tell(entries: Sequence[Entry], text: str) -> None:
        told_at.extend((instant(entry["at"]), text) for entry in entries)

    for entry in told.routed[:1]:
        changed = entry["changed"]
        text = f"helpdesk: priority {changed['priority'][1]}, group {GROUPS.get(changed['group_id'][1])}"
        told_at.append((instant(entry["at"]), text))
    for entry in told.pauses:
        at, kinds = instant(entry["at"]), _listed(sorted(entry["paused"]))
        why = "because her parcel stands still: " if at < told.t0 else ""
        told_at.append((at, f"marketing platform: {why}{kinds} paused, with their own end"))
    tell(told.events_of("apology"), "marketing platform: one apology is due (a service message without an offer)")
    for name, about in (("maya", ""), ("tom", ", who found a colour too light"), ("ana", ", who asked a question")):
        entry = told.sale[name]
        tell([entry], f'"{entry["name"]}" to {people[name]["name"]}{about}: {entry["outcome"].upper()}')
    tell(told.shipping_notices, f"shipping notice to {maya}: SENT")
    tell(told.released, "a day after her ticket was solved: every pause lifted")
    tell(told.events_of("discount_code"), "marketing platform: one goodwill offer is due")
    for entry in [told.arrivals[name] for name in ("maya",) if name in told.arrivals]:
        tell([entry], f'"{entry["name"]}" to {maya}: {entry["outcome"].upper()}')
    lines = ["", f"The story of {maya} (a simulated brand, told from its own log; her message is at zero)", ""]
    lines += [f"  {_after(at - told.t0):>14}  {text}" for at, text in sorted(told_at, key=lambda row: row[0])]
    lines.append(f"  {'':>14}  everything run once more: {len(told.changes_when_repeated)} changes at the platforms")
    without, paused = told.counterfactual["without_pauses"], told.counterfactual["with_pauses"]
    reached = f"{without['upset_recipients']} upset customers, with it {paused['upset_recipients']}"
    lines += ["", f"Without roomtone the sale reaches {reached}."]
    lines.append(
        f"By the brand's planted hazards (simulated): {without['expected_unsubscribes']:.2f} against "
        f"{paused['expected_unsubscribes']:.2f} unsubscribes expected, {without['expected_complaints']:.2f} against "
        f"{paused['expected_complaints']:.2f} spam complaints."
    )
    return "\n".join([*lines, "", ""])


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
            f"{_after(paused_after)[1:]} (she wrote just after a poll; the next comes 60 s later)",
        ),
        ("calls outside the vendors' contract or touching consent", str(len(told.violations))),
        ("customers, tickets, scored messages", f"{counts['customers']}, {counts['tickets']}, {counts['messages']}"),
        ("causes of a pause, recovery triggers sent", f"{counts['causes']}, {counts['sent']}"),
        ("marts", str(settings.published_dir / "marts.duckdb")),
    )
    width = max(len(name) for name, _ in rows)
    return "Headline figures (simulated)\n" + "".join(f"  {name:<{width}}  {value}\n" for name, value in rows) + "\n"


def _listed(names: Sequence[str]) -> str:
    words = [name.replace("_", " ") for name in names]
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]


def _after(elapsed: timedelta) -> str:
    sign = "-" if elapsed < timedelta() else "+"
    days, seconds = divmod(int(abs(elapsed).total_seconds()), 86_400)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{sign}{days} d {clock}" if days else f"{sign}{clock}"


if __name__ == "__main__":
    try:
        main()
    except RoomtoneError as error:
        sys.stderr.write(f"roomtone: {error}\n")
        sys.exit(1)
