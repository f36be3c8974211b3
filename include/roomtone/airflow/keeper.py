"""Keeps one of Airflow's components running: `python -m roomtone.airflow.keeper API_URL COMPONENT [ARGUMENT ...]`.

Starts the component, and starts it again when it has died, or when it lives on and does nothing: a scheduler whose disk
was full for a while waits for ever for its workers, which wait for it, and no exit code tells a supervisor so.
"""

import ctypes
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from types import FrameType
from typing import Any

import psutil

from roomtone.airflow.processes import Started, stop

# Airflow calls a component unhealthy after 30 s without a heartbeat; a loaded machine may take longer over one.
STILL_SECONDS = 60.0
STARTING_SECONDS = 120.0
_LOOK_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 60.0
_API_SERVER = "api-server"
_PR_SET_PDEATHSIG = 1


class Pulse:
    """How long the sign of life of a component has been the same.

    Goes by a clock that nobody sets, and by whether the sign changes: the machine's own clock may be wrong.
    """

    def __init__(self, now: float, still_seconds: float = STILL_SECONDS, starting_seconds: float = STARTING_SECONDS):
        self._still_seconds = still_seconds
        self._last: str | None = None
        self._until = now + starting_seconds

    def is_still(self, sign: str | None, now: float) -> bool:
        """Whether the component is to be started again, `sign` being what it shows at `now` (monotonic seconds).

        None, where nobody can tell, is no sign of death: without the API server all would look dead.
        """
        if sign is None:
            self._until = max(self._until, now + self._still_seconds)
        elif sign != self._last:
            # The first sign may still be that of the one before.
            if self._last is not None:
                self._until = now + self._still_seconds
            self._last = sign
        return now >= self._until


def heartbeat(component: str, api_url: str) -> str | None:
    """What `component` shows of itself: its latest heartbeat as Airflow's API tells it; None where it cannot tell.

    The API server's sign is that it answers: another text at each answer, and an empty one where there is none.
    """
    if component == _API_SERVER:
        return "" if _answer(f"{api_url}/api/v2/version") is None else str(time.monotonic())
    name = component.replace("-", "_")
    shown = (_answer(f"{api_url}/api/v2/monitor/health") or {}).get(name, {}).get(f"latest_{name}_heartbeat")
    return None if shown is None else str(shown)


def _answer(url: str) -> dict[str, Any] | None:
    """The JSON object at `url`, an empty one where the answer is an error, and None where there is no answer."""
    # Loopback, or another container: a proxy in the environment is not for these calls.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10.0) as response:
            return dict(json.load(response))
    except urllib.error.HTTPError:
        return {}
    except (OSError, ValueError):
        return None


class Keeper:
    """One component, kept running until this process is asked to end."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        sign: Callable[[], str | None],
        pulse: Callable[[float], Pulse] = Pulse,
        alert: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._name = name
        self._command = command
        self._sign = sign
        self._pulse = pulse
        self._alert = alert
        self._why_again = ""
        self._child: subprocess.Popen[bytes] | None = None
        self._is_ending = False

    def end(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Ask the component to end, and do not start it again."""
        self._is_ending = True
        if self._child is not None:
            with suppress(ProcessLookupError):
                self._child.send_signal(signal.SIGTERM)

    def keep(self, look_seconds: float = _LOOK_SECONDS, proven_seconds: float = STILL_SECONDS) -> int:
        """Run until asked to end; returns the exit code: the component's where its first start fails.

        It has failed when it ends by itself within `proven_seconds`: what is wrong then is still wrong at the next
        start. What was killed may not have been at fault.
        """
        is_first, failures = True, 0
        while not self._is_ending:
            begun = time.monotonic()
            code = self._run_once(look_seconds)
            lived = time.monotonic() - begun
            if self._is_ending:
                break
            if is_first and code is not None and code >= 0 and lived < proven_seconds:
                return code or 1
            is_first = False
            failures = failures + 1 if lived < proven_seconds else 0
            how = "stood still and was ended" if code is None else f"ended with {code}"
            self._why_again = f"{self._name} {how} after {lived:.0f} s"
            _say(f"{self._why_again}; it is started again")
            # In short waits: an end that is asked for is not kept waiting.
            until = time.monotonic() + min(_LONGEST_PAUSE_SECONDS, 2.0**failures)
            while not self._is_ending and time.monotonic() < until:
                time.sleep(0.1)
        return 0

    def _run_once(self, look_seconds: float) -> int | None:
        """Start the component and see it end: its exit code, or None where it stood still."""
        self._child = child = subprocess.Popen(
            list(self._command),
            preexec_fn=_end_with_keeper,  # noqa: PLW1509 - a keeper has no other threads
        )
        pulse = self._pulse(time.monotonic())
        if self._is_ending:
            self.end()
        elif self._why_again:
            self._alert(self._why_again)
        while True:
            with suppress(subprocess.TimeoutExpired):
                return child.wait(look_seconds)
            if not self._is_ending and pulse.is_still(self._sign(), time.monotonic()):
                with suppress(psutil.NoSuchProcess):
                    stop([Started(self._name, child.pid, psutil.Process(child.pid).create_time(), "")])
                child.wait()
                return None


def _raise_alert(subject: str) -> None:
    """In a process of its own: what it imports is ten times the keeper."""
    command = [sys.executable, "-m", "roomtone.airflow.alerts", f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {subject}"]
    # A store that cannot be written is told in the component's log, and is no reason to stop keeping.
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(command, timeout=60.0, check=False)


def _end_with_keeper() -> None:
    """Let the kernel end the component where the keeper is killed: nobody has written down its pid."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _say(line: str) -> None:
    # On a full disk the line cannot be written; the component is started all the same.
    with suppress(OSError):
        sys.stderr.write(f"roomtone keeper: {line}\n")
        sys.stderr.flush()


def main(arguments: Sequence[str]) -> int:
    """Keep a component: the API server's address, the component's name, and its own arguments."""
    url, name, *its_own = arguments
    command = [sys.executable, "-m", "airflow", name, *its_own]
    keeper = Keeper(name, command, lambda: heartbeat(name, url), alert=_raise_alert)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, keeper.end)
    return keeper.keep()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
