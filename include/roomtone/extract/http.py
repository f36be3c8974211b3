"""Reading a vendor's HTTP API: which failures are tried again, for how long, and what is never followed."""

import ipaddress
import itertools
import json
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import httpx

from roomtone.errors import RoomtoneError
from roomtone.extract.received import UnfinishedError
from roomtone.rate_window import RateWindow
from roomtone.settings import Connection

# What one extraction may wait for one vendor unless `ROOMTONE_<NAME>_BUDGET_SECONDS` says otherwise.
BUDGET_SECONDS = 120.0
TRIES = 5
MAX_PAGE_BYTES = 256 * 1024 * 1024
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 30.0
_chance = random.SystemRandom()


class RefusalError(RoomtoneError):
    """The vendor refused a request (4xx other than 401, 403 and 429); the same request would be refused again."""

    def __init__(self, thing: str, status: int, path: str) -> None:
        super().__init__(thing, f"answered {status} to {path}", "check its address and what its key may read")
        self.status = status


class VendorApi:
    """GET requests to one vendor. Use it as a context manager.

    Connection failures, time-outs, 429, 5xx and bodies that are no JSON object are tried again with growing, jittered
    waits or as `Retry-After` says, within a budget; then UnfinishedError is raised, or RoomtoneError if the vendor
    never answered at all.
    """

    def __init__(
        self,
        connection: Connection,
        headers: Mapping[str, str],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name = connection.name
        self._base = httpx.URL(connection.url)
        if not connection.token:
            variable = f"ROOMTONE_{self._name.upper()}_TOKEN"
            raise RoomtoneError(f"connection {self._name}", "has no credential", f"set {variable}")
        if not _is_safe(self._base) and connection.options.get("allow_http") != "true":
            raise RoomtoneError(
                f"ROOMTONE_{self._name.upper()}_URL",
                f"{self._base} would carry the credential unencrypted",
                f"use https, or set ROOMTONE_{self._name.upper()}_ALLOW_HTTP=true in a private network",
            )
        # Proxies and .netrc of the environment could send the credential elsewhere; redirects likewise.
        self._client = httpx.Client(headers=dict(headers), timeout=_TIMEOUT, follow_redirects=False, trust_env=False)
        self._deadline = time.monotonic() + _budget_seconds(connection)
        self._sleep = sleep
        self._has_answered = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, params: Mapping[str, str] | None = None, pace: RateWindow | None = None) -> dict[str, Any]:
        """The JSON object at `path` below the connection's address.

        Raises RefusalError, UnfinishedError or RoomtoneError as the class says.
        """
        url = self._base.copy_with(raw_path=(self._base.path.rstrip("/") + path).encode())
        return self._fetch(url.copy_merge_params(dict(params or {})), pace)

    def follow(self, link: str, pace: RateWindow | None = None) -> dict[str, Any]:
        """The JSON object behind a link of an earlier page; raises RoomtoneError if it leads to another server."""
        url = self._base.join(link)
        if (url.scheme, url.host, url.port) != (self._base.scheme, self._base.host, self._base.port):
            raise RoomtoneError(
                f"source {self._name}",
                f"links to another server ({url.host})",
                "ask the vendor; nothing was sent there",
            )
        return self._fetch(url, pace)

    def _fetch(self, url: httpx.URL, pace: RateWindow | None) -> dict[str, Any]:
        failures = 0
        for attempt in itertools.count():
            if pace is not None:
                self._wait(pace.wait_seconds(time.monotonic()), "its rate limit is reached", is_own_limit=True)
            try:
                status, headers, body = self._send(url, pace)
            except (httpx.TransportError, httpx.DecodingError) as error:
                problem, wait = type(error).__name__, None
            else:
                if status == httpx.codes.OK and (answer := _json_object(body)) is not None:
                    self._has_answered = True
                    return answer
                problem = f"status {status}" if status != httpx.codes.OK else "a body that is no JSON object"
                wait = _retry_after(headers)
                self._stop_if_final(status, url.path)
                if status == httpx.codes.TOO_MANY_REQUESTS:
                    # The vendor is at work and says when to come back: as often as the budget allows.
                    self._has_answered = True
                    failures -= 1
            failures += 1
            if failures >= TRIES:
                raise self._given_up(f"{problem}, {TRIES} times")
            backoff = min(_FIRST_WAIT_SECONDS * 2**attempt, _LONGEST_WAIT_SECONDS)
            # From half to the whole, so that many clients do not come back at once.
            share = _chance.uniform(0.5, 1.0)
            self._wait(wait + share / 2 if wait is not None else backoff * share, problem)
        raise AssertionError("counting never ends")

    def _send(self, url: httpx.URL, pace: RateWindow | None) -> tuple[int, httpx.Headers, bytes]:
        if pace is None:
            return self._receive(url)
        pace.start()
        try:
            return self._receive(url)
        finally:
            pace.end(time.monotonic())

    def _receive(self, url: httpx.URL) -> tuple[int, httpx.Headers, bytes]:
        with self._client.stream("GET", url) as response:
            parts, size = [], 0
            for part in response.iter_bytes():
                size += len(part)
                if size > MAX_PAGE_BYTES:
                    limit = f"{MAX_PAGE_BYTES // 1024 // 1024} MiB"
                    raise RoomtoneError(
                        f"source {self._name}", f"sends a page of over {limit}", "ask the vendor for smaller pages"
                    )
                parts.append(part)
            return response.status_code, response.headers, b"".join(parts)

    def _stop_if_final(self, status: int, path: str) -> None:
        thing = f"source {self._name}"
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            variable = f"ROOMTONE_{self._name.upper()}_TOKEN"
            raise RoomtoneError(
                thing, f"refuses the credential ({status} to {path})", f"check {variable} and what it may read"
            )
        if 300 <= status < 400:
            raise RoomtoneError(
                thing,
                f"redirects {path} elsewhere ({status})",
                f"set ROOMTONE_{self._name.upper()}_URL to where the API is",
            )
        may_pass = {httpx.codes.TOO_MANY_REQUESTS, httpx.codes.REQUEST_TIMEOUT}
        if 400 <= status < 500 and status not in may_pass:
            raise RefusalError(thing, status, path)

    def _wait(self, seconds: float, why: str, *, is_own_limit: bool = False) -> None:
        if seconds <= 0:
            return
        if time.monotonic() + seconds > self._deadline:
            raise self._given_up(why, is_own_limit=is_own_limit)
        self._sleep(seconds)

    def _given_up(self, why: str, *, is_own_limit: bool = False) -> Exception:
        # The run before may have used the limit up: then the vendor has not even been asked.
        if self._has_answered or is_own_limit:
            return UnfinishedError(f"source {self._name} gave out ({why}); the next run goes on from there")
        return RoomtoneError(
            f"source {self._name}",
            f"{self._base} cannot be read ({why})",
            "check the address and whether the vendor is up, then run again",
        )


def _budget_seconds(connection: Connection) -> float:
    text = connection.options.get("budget_seconds", "")
    try:
        return float(text) if text else BUDGET_SECONDS
    except ValueError:
        variable = f"ROOMTONE_{connection.name.upper()}_BUDGET_SECONDS"
        raise RoomtoneError(variable, f"{text!r} is no number", "give a number of seconds") from None


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds that a Retry-After header asks for, in either of its two forms; None without a usable one."""
    text = str(headers.get("Retry-After", "")).strip()
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        due = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (due.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def _is_safe(url: httpx.URL) -> bool:
    if url.scheme == "https":
        return True
    if url.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return False
