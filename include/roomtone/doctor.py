"""Looks at what a run depends on and says, for each thing, whether it is right and what to do if it is not."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx

from roomtone import clock
from roomtone.errors import RoomtoneError
from roomtone.settings import Settings
from roomtone.stores import warehouse
from roomtone.stores.operational import OperationalStore
from roomtone.sync.destinations import destination_class
from roomtone.sync.probes import probe, unguarded_sends

MINIMUM_FREE_BYTES = 1 << 30
MOST_NAMED = 5


@dataclass(frozen=True)
class Finding:
    check: str
    is_ok: bool
    detail: str


def examine(settings: Settings) -> list[Finding]:
    """One finding per check, in the order in which a run would need the things."""
    checks: list[tuple[str, Callable[[Settings], str]]] = [
        ("home", _home),
        ("disk", _disk),
        ("operational store", _operational),
        ("warehouse", _warehouse),
        ("policies", _policies),
        ("model", _model),
        ("clock", _clock),
        ("sync", _sync),
    ]
    findings = [_finding(name, check, settings) for name, check in checks]
    names = dict.fromkeys((*settings.sources, *settings.destinations))
    findings += [_finding(f"connection {name}", _connection(name), settings) for name in names]
    for name in settings.destinations:
        asked = _finding(f"destination {name}", _destination(name), settings)
        findings.append(asked)
        if asked.is_ok:
            findings.append(_finding(f"promotions {name}", _promotions(name), settings))
    return findings


def _finding(name: str, check: Callable[[Settings], str], settings: Settings) -> Finding:
    try:
        return Finding(name, True, check(settings))
    except RoomtoneError as error:
        return Finding(name, False, f"{error.value}; {error.next_step}")
    except OSError as error:
        return Finding(
            name, False, f"{error.filename or settings.home}: {error.strerror}; choose a ROOMTONE_HOME you may write to"
        )


def _home(settings: Settings) -> str:
    settings.home.mkdir(parents=True, exist_ok=True)
    probe = settings.home / ".writable"
    probe.write_text("")
    probe.unlink()
    return f"{settings.home} is writable"


def _disk(settings: Settings) -> str:
    free = shutil.disk_usage(settings.home).free
    if free < MINIMUM_FREE_BYTES:
        raise RoomtoneError(
            "disk", f"{free / 1e9:.1f} GB are free at {settings.home}", "free at least 1 GB before the next run"
        )
    return f"{free / 1e9:.0f} GB free"


def _operational(settings: Settings) -> str:
    OperationalStore(settings).close()
    return "opens, and its tables are current"


def _warehouse(settings: Settings) -> str:
    with warehouse.connect(settings, wait_seconds=10) as connection:
        connection.execute("select 1")
    return f"{settings.warehouse_path.name} opens"


def _policies(settings: Settings) -> str:
    from roomtone.policies.schema import load_policies

    return f"{load_policies(settings.policies_dir).count} rules are valid"


def _model(settings: Settings) -> str:
    from roomtone.score.model import Model

    return f"{Model.load(settings.model_dir).version} loads and answers as its golden predictions say"


def _clock(settings: Settings) -> str:
    instant = clock.now(settings)
    if settings.clock_url is None:
        return instant.isoformat()
    return f"{instant.isoformat()} by {settings.clock_url}"


def _sync(settings: Settings) -> str:
    """What a person has to look at before destinations can be as the marts want them."""
    from roomtone.policies.versions import policies_in_force
    from roomtone.sync.audit import audit_store
    from roomtone.sync.status import status

    found = status(settings)
    if found.dead:
        count, where = sum(found.dead.values()), ", ".join(sorted(found.dead))
        raise RoomtoneError(
            "sync",
            f"{count} effects on {where} were laid aside after too many tries",
            "read why with `roomtone sync status --json`, correct the rows, and they are planned anew",
        )
    held = [hold for hold in found.holds if hold.is_releasable and hold.released_by is None]
    if held:
        raise RoomtoneError("sync", held[0].told(), f"{len(held)} such holds; see `roomtone sync status`")
    if found.unscoped:
        raise RoomtoneError(
            "sync", found.unscoped[0], f"{len(found.unscoped)} such sends; tag them or exclude paused profiles"
        )
    if not found.runs:
        return "nothing was synced yet"
    store = OperationalStore(settings)
    try:
        broken = audit_store(store, policies_in_force(store, clock.now(settings)).guardrails)
    finally:
        store.close()
    if broken:
        raise RoomtoneError("sync", broken[0], f"{len(broken)} invariants are broken; set the kill switch and look")
    return f"{len(found.runs)} last runs without a hold, an effect laid aside or a broken invariant"


def _connection(name: str) -> Callable[[Settings], str]:
    def check(settings: Settings) -> str:
        if name == "files":
            if "files" in settings.sources and (settings.files_dir is None or not settings.files_dir.is_dir()):
                raise RoomtoneError(
                    "ROOMTONE_FILES_DIR",
                    f"{settings.files_dir or 'is not set'}",
                    "set it to the folder that holds one sub-folder per stream",
                )
            return f"reads {settings.files_dir}" if "files" in settings.sources else f"writes {settings.sent_dir}"
        if name == "webhook":
            if not settings.webhook_secrets:
                next_step = "set ROOMTONE_<SENDER>_WEBHOOK_SECRET, or webhook_secret in an Airflow connection"
                raise RoomtoneError("webhook", "no sender has a secret", next_step)
            return f"{', '.join(sorted(settings.webhook_secrets))} may deliver"
        if name in settings.destinations and not destination_class(name).reaches_people:
            return f"writes {settings.sent_dir}"
        connection = settings.connection(name)
        if not connection.url.startswith("http"):
            return f"{urlsplit(connection.url).hostname} is asked below"
        try:
            response = httpx.get(connection.url, timeout=10.0)
        except httpx.HTTPError as error:
            raise RoomtoneError(
                name, f"{connection.url} does not answer ({error})", "check the address and that it runs"
            ) from error
        if settings.clock_url is None and "date" in response.headers:
            _compare_clocks(name, response.headers["date"])
        return f"{connection.url} answers"

    return check


def _destination(name: str) -> Callable[[Settings], str]:
    """Credential, scopes, account, room under the rate limit, and sends that no pause holds back."""

    def check(settings: Settings) -> str:
        store = OperationalStore(settings)
        try:
            return "; ".join(probe(settings, store, name)) or "cannot be asked anything"
        finally:
            store.close()

    return check


def _promotions(name: str) -> Callable[[Settings], str]:
    def check(settings: Settings) -> str:
        store = OperationalStore(settings)
        try:
            found = unguarded_sends(settings, store, name)
        finally:
            store.close()
        if found:
            raise RoomtoneError(
                name,
                f"{len(found)} live sends reach paused customers: {', '.join(found[:MOST_NAMED])}",
                f"exclude them as docs/playbooks/{name}.md says",
            )
        return "no live send is known to reach a paused customer"

    return check


def _compare_clocks(name: str, header: str) -> None:
    theirs = datetime.strptime(header, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    skew = abs((datetime.now(UTC) - theirs).total_seconds())
    if skew > clock.MOST_SKEW_SECONDS:
        raise RoomtoneError(
            name, f"its clock is {skew:.0f} s away from this machine's", "set this machine's clock by NTP"
        )
