"""Processes that roomtone starts and ends: each in a session of its own, recorded, so that only they are ever ended."""

import json
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from roomtone.errors import RoomtoneError

_LOOPBACK = "127.0.0.1"
# A process's start is kept to the hundredth of a second by the kernel; a recycled pid starts seconds later.
_SAME_START_SECONDS = 1.0


@dataclass(frozen=True)
class Started:
    """One process that roomtone started: leader of its own session and group."""

    name: str
    pid: int
    started_at: float
    log: str

    def is_alive(self) -> bool:
        """Whether this very process still runs; another one that was given its pid since is not it."""
        try:
            process = psutil.Process(self.pid)
        except psutil.NoSuchProcess:
            return False
        return abs(process.create_time() - self.started_at) < _SAME_START_SECONDS and _runs(process)


def start(name: str, command: Sequence[str], environ: Mapping[str, str], folder: Path, log: Path) -> Started:
    """Start `command` in a new session, in `folder`, with its output in `log`."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        output = log.open("ab")
    except OSError as error:
        value = f"{error.filename} cannot be written ({error.strerror})"
        raise RoomtoneError("ROOMTONE_HOME", value, "choose a folder you may write to") from error
    with output:
        process = subprocess.Popen(
            list(command),
            env=dict(environ),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Started(name, process.pid, psutil.Process(process.pid).create_time(), str(log))


def stop(started: Sequence[Started], grace_seconds: float = 8.0) -> None:
    """End these processes with everything they started: asked first, forced after `grace_seconds`.

    The one started last goes first, while what it reports to still answers; then the others together.
    """
    for group in (started[-1:], started[:-1]):
        _stop_together([process for process in group if process.is_alive()], grace_seconds)


def _stop_together(alive: Sequence[Started], grace_seconds: float) -> None:
    # Taken down before the signal: a child that outlives its parent is found no other way.
    family = [member for process in alive for member in _family(process.pid)]
    for member in family:
        # Each by itself: a running task has a group of its own, and its worker waits for it.
        with suppress(psutil.NoSuchProcess):
            member.terminate()
    left = _outlast(family, grace_seconds)
    for member in [*left, *(new for process in alive if process.is_alive() for new in _family(process.pid))]:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    _outlast(left, 5.0)


def _family(pid: int) -> list[psutil.Process]:
    """A process and everything below it."""
    try:
        leader = psutil.Process(pid)
        return [leader, *leader.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _outlast(family: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those of `family` that still run when all others have ended, or after `seconds`."""
    deadline = time.monotonic() + seconds
    left = list(family)
    while left and time.monotonic() < deadline:
        left = [member for member in left if _runs(member)]
        time.sleep(0.05)
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        # A container's first process may never collect the dead: a zombie has ended all the same.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def free_port(preferred: int | None = None) -> int:
    """`preferred` if nothing listens on it, else a port that the system has free. Loopback only."""
    for candidate in (preferred, 0):
        if candidate is None:
            continue
        with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_LOOPBACK, candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RoomtoneError("port", f"none is free on {_LOOPBACK}", "end some programs that listen there")


def record(folder: Path, name: str, started: Sequence[Started]) -> None:
    """Write down in `folder` which processes make up `name`, for whoever ends it from another shell."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{name}.part"
    part.write_text(json.dumps([asdict(process) for process in started], indent=1))
    part.replace(folder / f"{name}.json")


def recorded(folder: Path) -> dict[str, list[Started]]:
    """What `record` wrote in `folder`, by name."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            found[path.stem] = [Started(**row) for row in json.loads(path.read_text())]
        except (ValueError, TypeError) as error:
            raise RoomtoneError(str(path), "is damaged", "end its processes by hand, then delete it") from error
    return found


def forget(folder: Path, name: str) -> None:
    """Take back what `record` wrote."""
    (folder / f"{name}.json").unlink(missing_ok=True)


def wait_for_line(process: Started, wanted: str, timeout_seconds: float) -> str:
    """The first line of the log that begins with `wanted`; RoomtoneError when the process ends or takes longer."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        was_alive = process.is_alive()
        for line in Path(process.log).read_text(errors="replace").splitlines():
            if line.startswith(wanted):
                return line
        if not was_alive:
            raise RoomtoneError(process.name, "ended while starting", f"read {process.log}")
        time.sleep(0.1)
    raise RoomtoneError(process.name, f"did not start within {timeout_seconds:.0f} s", f"read {process.log}")
