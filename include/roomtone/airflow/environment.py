"""The environment of a private Airflow: measured settings, port and secrets of one instance, roomtone's settings."""

import base64
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from roomtone.errors import RoomtoneError
from roomtone.settings import PROJECT_ROOT, Settings

ADMIN = "admin"

# The same for every instance, on this machine or in a container.
FIXED: Mapping[str, str] = {
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
    # The launcher unpauses the DAGs once the API answers: a task that starts before it does is lost.
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
    # Workers are forked all at once, 10 to 35 MB each; a pass never runs more than a task a source side by side.
    "AIRFLOW__CORE__PARALLELISM": "4",
    # Three settings take a chain of six trivial tasks from 7 s to 1.5 s: this one, the heartbeat, and parallelism.
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "10",
    # A task whose worker was killed holds the warehouse's only slot until it is missed: a minute, not five.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
    "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
    "AIRFLOW__API__INSTANCE_NAME": "roomtone",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "False",
    "DBT_VERSION_CHECK": "False",
    "GX_ANALYTICS_ENABLED": "False",
    "DO_NOT_TRACK": "1",
    "PYTHONWARNINGS": "ignore::DeprecationWarning",
}

# Different for every instance: `docker-compose.yml` names the same ones.
OF_AN_INSTANCE = (
    "AIRFLOW_HOME",
    "AIRFLOW__API__BASE_URL",
    "AIRFLOW__API__HOST",
    "AIRFLOW__API__PORT",
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__CORE__DAGS_FOLDER",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__CORE__PLUGINS_FOLDER",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER",
    "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY",
)

# Where metrics go is for whoever starts Airflow to say.
_KEPT = ("AIRFLOW__METRICS__", "AIRFLOW__TRACES__")

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Secrets:
    """What protects one instance. Made once, kept in its home, readable by its owner only."""

    admin_password: str
    jwt_secret: str
    fernet_key: str
    session_key: str


def load_secrets(airflow_home: Path) -> Secrets:
    """The secrets of the instance in `airflow_home`, made on first use."""
    path = airflow_home / "secrets.json"
    if path.is_file():
        try:
            return Secrets(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise RoomtoneError("Airflow's secrets", f"{path} is damaged", "delete the folder it is in") from error
    made = Secrets(
        admin_password=secrets.token_urlsafe(12),
        # HMAC with SHA-512 wants 64 bytes; Airflow warns at each request about fewer.
        jwt_secret=secrets.token_urlsafe(64),
        fernet_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        session_key=secrets.token_urlsafe(32),
    )
    write_private(path, json.dumps(asdict(made)))
    return made


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    part.replace(path)


def airflow_environment(
    settings: Settings, port: int, kept: Secrets, inherited: Mapping[str, str], overrides: Mapping[str, str]
) -> dict[str, str]:
    """Environment of the processes of one instance: `inherited`, then what the instance needs, then `overrides`."""
    home = settings.home / "airflow"
    url = f"http://{_LOOPBACK}:{port}"
    # Without it every process compiles every module again at each start. Other instances' settings stay theirs.
    dropped = ("PYTHONDONTWRITEBYTECODE",)
    base = {
        name: value
        for name, value in inherited.items()
        if name not in dropped and (name.startswith(_KEPT) or not name.startswith(("AIRFLOW", "_AIRFLOW", "ROOMTONE_")))
    }
    of_an_instance = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__HOST": _LOOPBACK,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__SECRET_KEY": kept.session_key,
        "AIRFLOW__API_AUTH__JWT_SECRET": kept.jwt_secret,
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT_ROOT / "dags"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__FERNET_KEY": kept.fernet_key,
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT_ROOT / "plugins"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(settings.logs_dir / "airflow"),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(settings.logs_dir / "dag_processor"),
    }
    local = {
        # A proxy for the outside world must not stand between Airflow's own processes.
        "NO_PROXY": _with_loopback(inherited.get("NO_PROXY") or inherited.get("no_proxy") or ""),
        "no_proxy": _with_loopback(inherited.get("no_proxy") or inherited.get("NO_PROXY") or ""),
        # macOS ends forked processes that touch certain system libraries.
        "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
    }
    return {**base, **FIXED, **of_an_instance, **local, **settings_environment(settings), **overrides}


def settings_environment(settings: Settings) -> dict[str, str]:
    """`settings` as the variables that `load_settings` reads them from."""
    environ = {
        "ROOMTONE_HOME": str(settings.home),
        "ROOMTONE_SOURCES": ",".join(settings.sources),
        "ROOMTONE_DESTINATIONS": ",".join(settings.destinations),
        "ROOMTONE_FILES_DIR": str(settings.files_dir or ""),
        "ROOMTONE_POLICIES": str(settings.policies_dir),
        "ROOMTONE_MODEL": str(settings.model_dir),
        "ROOMTONE_WAREHOUSE_URL": settings.warehouse_url,
        "ROOMTONE_OPERATIONAL_URL": settings.operational_url,
        "ROOMTONE_CLOCK_URL": settings.clock_url or "",
        "ROOMTONE_EXTRACT_SCHEDULE": settings.extract_schedule,
        "ROOMTONE_DATA": str(settings.data_dir),
        "ROOMTONE_SPECS": str(settings.specs_dir),
    }
    for name, connection in settings.connections.items():
        prefix = f"ROOMTONE_{name.upper()}_"
        environ[f"{prefix}URL"] = connection.url
        environ[f"{prefix}TOKEN"] = connection.token
        environ.update({f"{prefix}{option.upper()}": value for option, value in connection.options.items()})
    for sender, secrets_in_force in settings.webhook_secrets.items():
        environ[f"ROOMTONE_{sender.upper()}_WEBHOOK_SECRET"] = ",".join(secrets_in_force)
    return environ


def _with_loopback(no_proxy: str) -> str:
    hosts = [host for host in no_proxy.split(",") if host]
    return ",".join([*hosts, *(host for host in (_LOOPBACK, "localhost") if host not in hosts)])
