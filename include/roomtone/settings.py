"""Every setting of roomtone, read once from the environment and a `.env` file, by this module alone."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from roomtone.errors import RoomtoneError

# The checkout that this package is installed from; the shipped policies, model and dbt project live beside the library.
PROJECT_ROOT = Path(__file__).resolve().parents[2]

# Names whose `ROOMTONE_<NAME>_URL` is a setting of its own, not the address of a source or destination.
_RESERVED = frozenset({"WAREHOUSE", "OPERATIONAL", "CLOCK"})


@dataclass(frozen=True)
class Connection:
    """Address and credential of one source or destination. `options` are its other `ROOMTONE_<NAME>_*` settings."""

    name: str
    url: str
    token: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Settings:
    """The effective settings. Paths are absolute; names of sources and destinations are lower case."""

    home: Path
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    files_dir: Path | None
    policies_dir: Path
    model_dir: Path
    dbt_dir: Path
    warehouse_url: str
    operational_url: str
    clock_url: str | None
    extract_schedule: str
    data_dir: Path
    specs_dir: Path
    connections: Mapping[str, Connection] = field(default_factory=dict)
    # By sender; two while a secret is being changed.
    webhook_secrets: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    @property
    def raw_dir(self) -> Path:
        return self.home / "raw"

    @property
    def published_dir(self) -> Path:
        return self.home / "published"

    @property
    def sent_dir(self) -> Path:
        return self.home / "sent"

    @property
    def risk_dir(self) -> Path:
        """Where the learned risk head lies, and why it or the declared rule answers."""
        return self.home / "models" / "risk"

    @property
    def logs_dir(self) -> Path:
        return self.home / "logs"

    @property
    def warehouse_path(self) -> Path:
        """The embedded warehouse's file. Only `stores/warehouse.py` opens it."""
        if not self.warehouse_url.startswith("duckdb:///"):
            raise RoomtoneError(
                "ROOMTONE_WAREHOUSE_URL",
                _masked_url(self.warehouse_url),
                "the embedded warehouse needs duckdb:///PATH",
            )
        return Path(self.warehouse_url.removeprefix("duckdb:///"))

    def connection(self, name: str) -> Connection:
        """Connection of a source or destination; raises RoomtoneError that names the missing variable."""
        try:
            return self.connections[name]
        except KeyError:
            raise RoomtoneError(
                f"connection {name}",
                "has no address",
                f"set ROOMTONE_{name.upper()}_URL and ROOMTONE_{name.upper()}_TOKEN, "
                "or take it out of ROOMTONE_SOURCES and ROOMTONE_DESTINATIONS",
            ) from None

    def described(self) -> dict[str, str]:
        """The effective settings as text, credentials masked, for `roomtone doctor`."""
        rows = {
            "ROOMTONE_HOME": str(self.home),
            "ROOMTONE_SOURCES": ",".join(self.sources),
            "ROOMTONE_DESTINATIONS": ",".join(self.destinations),
            "ROOMTONE_FILES_DIR": str(self.files_dir or ""),
            "ROOMTONE_POLICIES": str(self.policies_dir),
            "ROOMTONE_MODEL": str(self.model_dir),
            "ROOMTONE_WAREHOUSE_URL": _masked_url(self.warehouse_url),
            "ROOMTONE_OPERATIONAL_URL": _masked_url(self.operational_url),
            "ROOMTONE_CLOCK_URL": self.clock_url or "",
            "ROOMTONE_EXTRACT_SCHEDULE": self.extract_schedule,
        }
        for name, connection in sorted(self.connections.items()):
            rows[f"ROOMTONE_{name.upper()}_URL"] = connection.url
            rows[f"ROOMTONE_{name.upper()}_TOKEN"] = "***" if connection.token else ""
        for name in sorted(self.webhook_secrets):
            rows[f"ROOMTONE_{name.upper()}_WEBHOOK_SECRET"] = "***"
        return rows


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from `environ` (default: the process's environment over a `.env` file in the current folder)."""
    if environ is None:
        from_file = {key: value for key, value in dotenv_values(".env").items() if value is not None}
        environ = {**from_file, **os.environ}
    home = Path(environ.get("ROOMTONE_HOME") or ".roomtone").expanduser().absolute()
    files_dir = environ.get("ROOMTONE_FILES_DIR")
    return Settings(
        home=home,
        sources=_names(environ.get("ROOMTONE_SOURCES") or "files"),
        destinations=_names(environ.get("ROOMTONE_DESTINATIONS") or "files"),
        files_dir=Path(files_dir).expanduser().absolute() if files_dir else None,
        policies_dir=_folder(environ, "ROOMTONE_POLICIES", PROJECT_ROOT / "include" / "policies"),
        model_dir=_folder(environ, "ROOMTONE_MODEL", PROJECT_ROOT / "include" / "models" / "mood"),
        dbt_dir=PROJECT_ROOT / "dbt_project",
        warehouse_url=environ.get("ROOMTONE_WAREHOUSE_URL") or f"duckdb:///{home / 'warehouse.duckdb'}",
        operational_url=environ.get("ROOMTONE_OPERATIONAL_URL") or f"sqlite:///{home / 'operational.db'}",
        clock_url=environ.get("ROOMTONE_CLOCK_URL") or None,
        # Empty: the extract DAG runs only when it is triggered.
        extract_schedule=environ.get("ROOMTONE_EXTRACT_SCHEDULE", "* * * * *"),
        data_dir=_folder(environ, "ROOMTONE_DATA", PROJECT_ROOT.parent / "shared" / "data"),
        specs_dir=_folder(environ, "ROOMTONE_SPECS", PROJECT_ROOT.parent / "shared" / "specs"),
        connections=_connections(environ),
        webhook_secrets=_webhook_secrets(environ),
    )


def process_environment() -> dict[str, str]:
    """What programs started by roomtone inherit: a copy of this process's environment."""
    return dict(os.environ)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip().lower() for name in text.split(",") if name.strip())


def _folder(environ: Mapping[str, str], variable: str, default: Path) -> Path:
    return Path(environ.get(variable) or default).expanduser().absolute()


def _connections(environ: Mapping[str, str]) -> dict[str, Connection]:
    prefix, suffix = "ROOMTONE_", "_URL"
    names = [key[len(prefix) : -len(suffix)] for key in environ if key.startswith(prefix) and key.endswith(suffix)]
    found = {}
    for name in names:
        if not name or name in _RESERVED or not environ[f"{prefix}{name}{suffix}"]:
            continue
        start = f"{prefix}{name}_"
        options = {key[len(start) :].lower(): value for key, value in environ.items() if key.startswith(start)}
        url, token = options.pop("url"), options.pop("token", "")
        found[name.lower()] = Connection(name.lower(), url.rstrip("/"), token, options)
    return found


def _webhook_secrets(environ: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """`ROOMTONE_<SENDER>_WEBHOOK_SECRET`: one secret, or the new and the old one with a comma between."""
    prefix, suffix = "ROOMTONE_", "_WEBHOOK_SECRET"
    return {
        key[len(prefix) : -len(suffix)].lower(): tuple(value.replace(",", " ").split())
        for key, value in environ.items()
        if key.startswith(prefix) and key.endswith(suffix) and value.strip()
    }


def _masked_url(url: str) -> str:
    """A database address without its password."""
    head, at, tail = url.rpartition("@")
    if not at:
        return url
    scheme, _, user = head.partition("://")
    return f"{scheme}://{user.split(':')[0]}:***@{tail}"
