"""A private Airflow of one home: started, driven over its REST API and ended, and no other one touched."""

import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from roomtone.airflow.environment import ADMIN, Secrets, airflow_environment, load_secrets, write_private
from roomtone.airflow.processes import Started, forget, free_port, record, recorded, start, stop
from roomtone.errors import RoomtoneError
from roomtone.settings import Settings, process_environment
from roomtone.stores.operational import OperationalStore

# In the order of starting: the scheduler, whose tasks report to the API server, is the first to be ended.
COMPONENTS = ("api-server", "dag-processor", "triggerer", "scheduler")
RUN_NAME = "airflow"

_FINISHED = frozenset({"success", "failed"})
_POLL_SECONDS = 0.2
_LOCAL_SETTINGS = Path(__file__).parent / "config" / "airflow_local_settings.py"


@dataclass(frozen=True)
class DagRun:
    """One run of a DAG. `state` is success or failed once it has ended."""

    dag_id: str
    run_id: str
    state: str


@dataclass
class AirflowInstance:
    """A running Airflow. Its methods raise RoomtoneError where the API refuses or time runs out."""

    url: str
    user: str
    password: str = field(repr=False)
    started: list[Started] = field(repr=False)
    run_folder: Path = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)
    _client: httpx.Client = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Loopback: a proxy in the environment is not for these calls.
        self._client = httpx.Client(base_url=self.url, timeout=60.0, trust_env=False)

    def trigger(self, dag_id: str) -> str:
        """Start a run of `dag_id` now; returns its run id."""
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", json={"logical_date": None})["dag_run_id"])

    def wait(
        self, dag_id: str, run_id: str | None = None, *, after: datetime | None = None, timeout_seconds: float = 300.0
    ) -> str:
        """State in which a run ended: run `run_id`, or the first one that was due at or `after` an instant."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            run = self._run(dag_id, run_id, after)
            if run is not None and run.state in _FINISHED:
                return run.state
            if time.monotonic() > deadline:
                states = self.task_states(dag_id, run.run_id) if run else "no run yet"
                value = f"not done after {timeout_seconds:.0f} s ({states})"
                raise RoomtoneError(f"DAG {dag_id}", value, self._see_logs())
            time.sleep(_POLL_SECONDS)

    def walk(self, dag_id: str, timeout_seconds: float = 300.0) -> list[DagRun]:
        """Trigger `dag_id` and wait for it and for every run that its assets set off; returns them in order."""
        deadline = time.monotonic() + timeout_seconds
        due = [(dag_id, self.trigger(dag_id))]
        ended = []
        while due:
            name, run_id = due.pop(0)
            ended.append(DagRun(name, run_id, self.wait(name, run_id, timeout_seconds=deadline - time.monotonic())))
            due += [run for run in self._set_off(name, run_id, deadline) if run not in due]
        return ended

    def import_errors(self) -> list[str]:
        """What keeps DAG files from being read: one line each."""
        found = self.call("GET", "/importErrors", params={"limit": 100})["import_errors"]
        return [f"{error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}" for error in found]

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """State of each task of a run."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        found = self.call("GET", path, params={"limit": 100})["task_instances"]
        return {task["task_id"]: task["state"] or "none" for task in found}

    def stop(self) -> None:
        """End this instance, and nothing else."""
        self._client.close()
        stop(self.started)
        forget(self.run_folder, RUN_NAME)

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """The JSON answer of one call of the REST API (`path` below /api/v2)."""
        response = self._answer(method, path, **arguments)
        if response.is_error:
            raise RoomtoneError("Airflow's API", f"{method} {path} answered {response.status_code}", self._see_logs())
        return response.json() if response.content else None

    def _answer(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        response = self._client.request(method, f"/api/v2{path}", **arguments)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            self.log_in()
            response = self._client.request(method, f"/api/v2{path}", **arguments)
        return response

    def log_in(self) -> None:
        """Get a token for the following calls."""
        response = self._client.post("/auth/token", json={"username": self.user, "password": self.password})
        if response.is_error:
            raise RoomtoneError("Airflow's API", f"login answered {response.status_code}", self._see_logs())
        self._client.headers["Authorization"] = f"Bearer {response.json()['access_token']}"

    def dead(self) -> list[Started]:
        """Components that have ended by themselves."""
        return [process for process in self.started if not process.is_alive()]

    def wait_until_ready(self, timeout_seconds: float) -> None:
        """Until the API answers, the scheduler lives and every DAG file is read; then make the pool and unpause."""
        deadline = time.monotonic() + timeout_seconds
        files = len(list(Path(self.environ["AIRFLOW__CORE__DAGS_FOLDER"]).glob("*.py")))
        waited_for = "the API server"
        while time.monotonic() < deadline:
            for process in self.dead():
                raise RoomtoneError(f"Airflow's {process.name}", "ended while starting", f"read {process.log}")
            waited_for = self._missing(files)
            if not waited_for:
                break
            time.sleep(_POLL_SECONDS)
        else:
            raise RoomtoneError("Airflow", f"no sign of {waited_for} after {timeout_seconds:.0f} s", self._see_logs())
        self._make_pool()
        for dag in self._dags():
            self.call("PATCH", f"/dags/{dag}", json={"is_paused": False})

    def _missing(self, files: int) -> str:
        try:
            # The first call of the API for tasks builds its routes, which takes seconds: not to be left to a task.
            self._client.get("/execution/health").raise_for_status()
            # So do the first webhook's.
            self._client.post("/roomtone/webhooks/nobody")
            if "Authorization" not in self._client.headers:
                self.log_in()
        except httpx.HTTPError:
            return "the API server"
        health = self.call("GET", "/monitor/health")
        for name in ("scheduler", "dag_processor"):
            if health[name]["status"] != "healthy":
                return f"the {name.replace('_', '-')}"
        return "" if len(self._dags()) + len(self.import_errors()) >= files else "the DAGs"

    def _dags(self) -> list[str]:
        return [dag["dag_id"] for dag in self.call("GET", "/dags", params={"limit": 100})["dags"]]

    def _make_pool(self) -> None:
        from roomtone.airflow.defaults import WAREHOUSE_POOL

        pools = self.call("GET", "/pools", params={"limit": 100})["pools"]
        if WAREHOUSE_POOL not in {pool["name"] for pool in pools}:
            body = {"name": WAREHOUSE_POOL, "slots": 1, "description": "One process at a time opens the warehouse."}
            self.call("POST", "/pools", json={**body, "include_deferred": False})

    def _run(self, dag_id: str, run_id: str | None, after: datetime | None) -> DagRun | None:
        if run_id is not None:
            found = [self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")]
        else:
            parameters = {"order_by": "run_after", "limit": 1}
            if after is not None:
                parameters["run_after_gte"] = after.isoformat()
            found = self.call("GET", f"/dags/{dag_id}/dagRuns", params=parameters)["dag_runs"]
        return DagRun(dag_id, found[0]["dag_run_id"], found[0]["state"]) if found else None

    def _set_off(self, dag_id: str, run_id: str, deadline: float) -> list[tuple[str, str]]:
        """Runs that the asset events of a run have started, once each of its events has started one."""
        parameters = {"source_dag_id": dag_id, "source_run_id": run_id, "limit": 100}
        while True:
            response = self._answer("GET", "/assets/events", params=parameters)
            # Airflow 3.3 answers 500 while one of the runs is created and not yet started: the same as not yet.
            events = response.json()["asset_events"] if response.is_success else None
            if events is not None and all(event["created_dagruns"] for event in events):
                return [(run["dag_id"], run["run_id"]) for event in events for run in event["created_dagruns"]]
            if time.monotonic() > deadline:
                raise RoomtoneError(f"DAG {dag_id}", f"the assets of {run_id} started no run", self._see_logs())
            time.sleep(_POLL_SECONDS)

    def _see_logs(self) -> str:
        return f"read the logs in {Path(self.started[0].log).parent}"


def start_airflow(
    settings: Settings,
    environ_overrides: Mapping[str, str] | None = None,
    *,
    port: int | None = None,
    components: Sequence[str] = COMPONENTS,
    run_folder: Path | None = None,
    timeout_seconds: float = 240.0,
) -> AirflowInstance:
    """Start Airflow with its state in `settings.home` and wait until its DAGs can run.

    Listens on loopback only, on `port` if it is free, else on another. Its processes are recorded in `run_folder`
    (default: home/run). With an empty `settings.extract_schedule` nothing runs until it is triggered.
    """
    folder = run_folder or settings.home / "run"
    running = [process for process in recorded(folder).get(RUN_NAME, ()) if process.is_alive()]
    if running:
        raise RoomtoneError("Airflow", f"already runs here (pid {running[0].pid})", "stop it with `make down`")
    home = settings.home / "airflow"
    kept = _prepare(home)
    # Once, before tasks that start side by side would each find the tables missing and make them.
    OperationalStore(settings).close()
    chosen = free_port(port)
    environ = airflow_environment(settings, chosen, kept, process_environment(), environ_overrides or {})
    _migrate(environ, home, settings.logs_dir / "airflow-migrate.log")
    started: list[Started] = []
    instance = AirflowInstance(f"http://127.0.0.1:{chosen}", ADMIN, kept.admin_password, started, folder, environ)
    try:
        for name in components:
            started.append(_start(name, environ, home, settings.logs_dir / f"airflow-{name}.log"))
            record(folder, RUN_NAME, started)
        instance.wait_until_ready(timeout_seconds)
    except BaseException:
        instance.stop()
        raise
    return instance


def _start(name: str, environ: Mapping[str, str], home: Path, log: Path) -> Started:
    # Logs are read from the folder by everybody: no log servers, and no ports for them.
    quiet = ["--skip-serve-logs"] if name in ("scheduler", "triggerer") else []
    command = [sys.executable, "-m", "roomtone.airflow.keeper", environ["AIRFLOW__API__BASE_URL"], name, *quiet]
    return start(name, command, environ, home, log)


def airflow_command(*arguments: str) -> list[str]:
    """The command line of Airflow's own CLI in this interpreter."""
    return [sys.executable, "-m", "airflow", *arguments]


def _prepare(home: Path) -> Secrets:
    try:
        (home / "config").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_LOCAL_SETTINGS, home / "config" / _LOCAL_SETTINGS.name)
        kept = load_secrets(home)
        write_private(home / "passwords.json", f'{{"{ADMIN}": "{kept.admin_password}"}}\n')
    except OSError as error:
        value = f"{home} cannot be written ({error.strerror})"
        raise RoomtoneError("ROOMTONE_HOME", value, "choose another folder") from error
    return kept


def _migrate(environ: Mapping[str, str], home: Path, log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        command = airflow_command("db", "migrate")
        done = subprocess.run(
            command, env=dict(environ), cwd=home, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode != 0:
        raise RoomtoneError("Airflow's database", f"{home / 'airflow.db'} could not be migrated", f"read {log}")
