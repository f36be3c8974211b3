"""Starts and ends the local roomtone: `python -m roomtone.airflow.launcher up|down|start|stop|airflow`.

`up` runs Airflow and the sandbox brand until Ctrl-C; `start` runs Airflow alone, on the settings as they are, in the
background. Both write down what they started in ROOMTONE_HOME/run, so that `down` and `stop` end that and nothing else.
"""

import dataclasses
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated

import httpx
import typer

from roomtone.airflow import processes, webhooks
from roomtone.airflow.environment import airflow_environment, load_secrets
from roomtone.airflow.instance import RUN_NAME, AirflowInstance, airflow_command, start_airflow
from roomtone.errors import RoomtoneError
from roomtone.settings import Connection, Settings, load_settings, process_environment

UI_PORT = 8080
SANDBOX_NAME = "sandbox"
_SANDBOX_SECONDS = 120.0
_VENDORS = ("zendesk", "klaviyo", "shop")
# The custom field in which the sandbox's helpdesk keeps the order of a ticket, and the user that its bot writes as.
_VENDOR_OPTIONS: Mapping[str, Mapping[str, str]] = {"zendesk": {"order_field_id": "9001", "bot_user_ids": "900"}}

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

Home = Annotated[Path | None, typer.Option(help="Where this run writes. Default: a new folder in ROOMTONE_HOME/up.")]
Port = Annotated[int, typer.Option(help="Port of Airflow's UI; another free one is taken when it is busy.")]


@app.command()
def up(
    home: Home = None, port: Port = UI_PORT, seed: Annotated[int, typer.Option(help="Seed of the brand.")] = 7
) -> None:
    """Airflow, its DAGs each minute and the sandbox brand, until Ctrl-C."""
    base = load_settings()
    folder = base.home / "run"
    refuse_second(folder)
    own = home or base.home / "up" / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    # From here on an interrupt, and the `down` of another shell, end what was started and nothing else. A shell lets
    # what it starts in the background ignore SIGINT; who sends it all the same means it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    instance = None
    try:
        say("starting the sandbox brand")
        sandbox_url = start_sandbox(own, folder, seed)
        secret = secrets.token_urlsafe(32)
        settings = sandbox_settings(base, own.absolute(), sandbox_url, secret)
        say("starting Airflow (about half a minute)")
        instance = start_airflow(settings, port=port, run_folder=folder)
        subscribe_sandbox(sandbox_url, instance.url, secret)
        say(whereabouts(instance, settings, sandbox_url))
        _watch(folder)
    except KeyboardInterrupt:
        say("stopping")
    finally:
        stop_all(folder)


@app.command()
def down() -> None:
    """End what `up` or `start` has started, from any shell."""
    ended = stop_all(load_settings().home / "run")
    say(f"stopped: {', '.join(ended)}" if ended else "nothing of roomtone runs here")


@app.command()
def start(port: Port = UI_PORT) -> None:
    """Airflow in the background, on the settings as they are."""
    settings = load_settings()
    refuse_second(settings.home / "run")
    say("starting Airflow (about half a minute)")
    say(whereabouts(start_airflow(settings, port=port), settings, None))


@app.command()
def stop() -> None:
    """The same as `down`."""
    down()


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def airflow(context: typer.Context) -> None:
    """Airflow's own command line on the state in ROOMTONE_HOME, e.g. `airflow dags list-import-errors`."""
    settings = load_settings()
    state = settings.home / "airflow"
    if not (state / "airflow.db").is_file():
        raise RoomtoneError(
            "ROOMTONE_HOME", f"{settings.home} holds no Airflow", "set it to the folder that `up` printed"
        )
    environ = airflow_environment(settings, UI_PORT, load_secrets(state), process_environment(), {})
    done = subprocess.run(airflow_command(*context.args), env=environ, cwd=state, check=False)
    raise typer.Exit(done.returncode)


def start_sandbox(home: Path, run_folder: Path, seed: int) -> str:
    """Start the sandbox brand as a process of its own and record it; returns its address once it answers."""
    command = [sys.executable, "-m", "roomtone.sandbox", "serve", "--port", "0", "--seed", str(seed)]
    log = home.absolute() / "logs" / "sandbox.log"
    process = processes.start(SANDBOX_NAME, command, process_environment(), home.absolute(), log)
    processes.record(run_folder, SANDBOX_NAME, [process])
    return processes.wait_for_line(process, "sandbox ready ", _SANDBOX_SECONDS).split()[-1]


def sandbox_settings(base: Settings, home: Path, url: str, webhook_secret: str = "") -> Settings:
    """`base` in another home, with the sandbox brand as its vendors and its clock.

    With a `webhook_secret` the helpdesk's webhooks are a source too; `subscribe_sandbox` starts them.
    """
    connections = {
        name: Connection(name, f"{url}/{name}", f"sandbox-{name}", _VENDOR_OPTIONS.get(name, {})) for name in _VENDORS
    }
    return dataclasses.replace(
        base,
        home=home,
        sources=(*_VENDORS, "webhook") if webhook_secret else _VENDORS,
        webhook_secrets={"zendesk": (webhook_secret,)} if webhook_secret else {},
        destinations=("klaviyo", "zendesk"),
        warehouse_url=f"duckdb:///{home / 'warehouse.duckdb'}",
        operational_url=f"sqlite:///{home / 'operational.db'}",
        clock_url=f"{url}/clock",
        connections=connections,
    )


def subscribe_sandbox(sandbox_url: str, airflow_url: str, webhook_secret: str) -> None:
    """Let the sandbox's helpdesk send its webhooks to this Airflow: some twice, some late, as helpdesks do."""
    wanted = {
        "url": f"{airflow_url}{webhooks.PREFIX}/zendesk",
        "secret": webhook_secret,
        "twice_share": 0.05,
        "late_share": 0.05,
    }
    httpx.post(f"{sandbox_url}/webhooks", json=wanted, timeout=60.0, trust_env=False).raise_for_status()


def refuse_second(run_folder: Path) -> None:
    """Raise RoomtoneError when something that `run_folder` records still runs."""
    for name, started in processes.recorded(run_folder).items():
        for process in started:
            if process.is_alive():
                raise RoomtoneError(name, f"already runs (pid {process.pid})", "stop it with `make down`")


def stop_all(run_folder: Path) -> list[str]:
    """End everything that `run_folder` records, Airflow before the brand it reads; returns what was still running."""
    ended = []
    for name, started in sorted(processes.recorded(run_folder).items()):
        ended += [process.name for process in started if process.is_alive()]
        processes.stop(started)
        processes.forget(run_folder, name)
    return ended


def whereabouts(instance: AirflowInstance, settings: Settings, sandbox_url: str | None) -> str:
    """Where to look and how to log in."""
    rows = [("Airflow", f"{instance.url}  user {instance.user}  password {instance.password}")]
    if sandbox_url:
        rows.append(("sandbox", f"{sandbox_url}/log (what reached the brand), {sandbox_url}/story (who to watch)"))
    rows += [
        ("home", str(settings.home)),
        ("marts", str(settings.published_dir / "marts.duckdb")),
        ("logs", str(settings.logs_dir)),
        ("stop", "Ctrl-C, or `make down` in another shell" if sandbox_url else "`make down`"),
    ]
    return "\n".join(f"  {name:<8} {text}" for name, text in rows)


def say(text: str) -> None:
    """Tell the person at the terminal."""
    typer.echo(text)


def _watch(run_folder: Path) -> None:
    while True:
        time.sleep(1.0)
        watched = processes.recorded(run_folder)
        if RUN_NAME not in watched:
            say("stopped from another shell")
            return
        dead = [process for started in watched.values() for process in started if not process.is_alive()]
        if dead and not _ended_elsewhere(run_folder):
            raise RoomtoneError(dead[0].name, f"ended by itself (pid {dead[0].pid})", f"read {dead[0].log}")


def _ended_elsewhere(run_folder: Path) -> bool:
    """Whether `down` in another shell is at work: it ends one process after another, then takes the record back."""
    for _ in range(20):
        if RUN_NAME not in processes.recorded(run_folder):
            return True
        time.sleep(1.0)
    return False


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """The command line; a failure that roomtone explains is one line and exit code 1."""
    try:
        app()
    except RoomtoneError as error:
        typer.echo(f"roomtone: {error}", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
