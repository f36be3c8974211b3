"""The one way out over HTTP: an allow-list of calls, the vendor's rate limits, retries, nothing personal in a log."""

import logging
import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, NoReturn, TypeVar

import httpcore
import httpx

from roomtone.errors import RoomtoneError
from roomtone.rate_window import RateWindow
from roomtone.settings import Connection

log = logging.getLogger(__name__)
T = TypeVar("T")
# The client's own log lines hold whole addresses, and a filter in a query holds e-mail addresses.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)

TRIES = 6
BUDGET_SECONDS = 90.0
# After so many calls of one endpoint in a row that stayed without a usable answer, the vendor counts as down.
GIVEN_UP_AT_MOST = 3
# After so many calls in a row that were given back unanswered, a patient one asks whether the vendor answers at all.
GIVEN_BACK_IN_A_ROW = TRIES
LONGEST_WAIT_SECONDS = 60.0
# So many calls of one destination are under way at a time, at most.
AT_ONCE = 25
_FIRST_WAIT_SECONDS = 0.25
_TIMEOUT = httpx.Timeout(15.0, connect=5.0)

# Each is shown every exchange, the response read to the end; tests check them against the vendor's specification.
exchange_hooks: list[Callable[[httpx.Request, httpx.Response], None]] = []


@dataclass(frozen=True)
class Endpoint:
    """A call that may leave: `{}` in `path` is one segment. `is_repeatable`: made twice, it has the effect of one.

    Calls that a vendor counts together name the same `counted_as`, and share the limits of the first of them.
    """

    method: str
    path: str
    per_second: float
    per_minute: float
    is_repeatable: bool = True
    counted_as: str = ""

    def matches(self, method: str, path: str) -> bool:
        pattern = re.escape(self.path).replace(r"\{\}", r"[A-Za-z0-9_-]+")
        return method == self.method and re.fullmatch(pattern, path) is not None


class VendorRefusedError(RoomtoneError):
    """The vendor understood and said no (4xx): nothing happened there."""

    def __init__(self, thing: str, status: int, words: str) -> None:
        self.status = status
        self.words = words
        super().__init__(thing, f"answered {status} ({words})", "correct what was sent")


class VendorBusyError(RoomtoneError):
    """429 until patience ended: nothing happened there."""


class VendorUnansweredError(RoomtoneError):
    """No usable answer: what was asked may have happened or not."""


class VendorUnreachableError(RoomtoneError):
    """Nothing listens there, or it lets nobody in: no call can succeed until a person has looked."""


@dataclass(frozen=True)
class Timing:
    """How a sync waits, what it measures waiting with, and how long its lease is, in seconds; trials have their own."""

    sleep: Callable[[float], None] = time.sleep
    timer: Callable[[], float] = time.monotonic
    lease_seconds: float = 30.0


class _Pace:
    """The burst and the steady limit of one endpoint, the vendor's own word to wait, and how it has answered lately.

    Per endpoint, for one of them may be down while the others are well: `given_up` patient calls and `given_back`
    others have stayed without a usable answer since the last one.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._windows = (RateWindow(endpoint.per_second, 1.0), RateWindow(endpoint.per_minute, 60.0))
        self._lock = threading.Lock()
        self.most = min(window.most for window in self._windows)
        self._held_until = 0.0
        self.given_up = 0
        self.given_back = 0

    def start(self, now: float, count: int = 1) -> float:
        """Takes places for `count` calls, at most `most`, and returns 0, or returns how long to wait for them."""
        with self._lock:
            wait = max(self._held_until - now, *(window.wait_seconds(now, count) for window in self._windows))
            if wait <= 0:
                for window in self._windows:
                    window.start(count)
            return max(0.0, wait)

    def end(self, now: float | None) -> None:
        """A call has been answered or will not be; None for one that was not made after all."""
        with self._lock:
            for window in self._windows:
                window.end(now)

    def remember(self, ages: Sequence[float], now: float) -> None:
        with self._lock:
            for window in self._windows:
                window.remember(ages, now)

    def ages(self, now: float) -> list[float]:
        """Seconds since each call that still counts was answered."""
        with self._lock:
            return max(self._windows, key=lambda window: window.seconds).ages(now)

    def hold(self, until: float) -> None:
        """The vendor asks everybody to wait, not only the call that it told so."""
        with self._lock:
            self._held_until = max(self._held_until, until)

    def is_well(self) -> None:
        with self._lock:
            self.given_up = self.given_back = 0

    def is_unwell(self) -> None:
        with self._lock:
            self.given_back += 1


class Transport:
    """An HTTP client for one destination. Any call that is not one of `endpoints` raises before it leaves.

    `check` is called before each call and again immediately before each piece of it is handed to the network; it raises
    where the sync that owns this client may no longer send.
    """

    def __init__(
        self,
        connection: Connection,
        headers: Mapping[str, str],
        endpoints: Sequence[Endpoint],
        timing: Timing | None = None,
    ) -> None:
        timing = timing or Timing()
        self._name = connection.name
        self._base = connection.url
        self._secrets = [secret for secret in (connection.token, *headers.values()) if len(secret) >= 8]
        self._endpoints = tuple(endpoints)
        shared = {endpoint.counted_as: _Pace(endpoint) for endpoint in reversed(endpoints) if endpoint.counted_as}
        self._paces = {endpoint: shared.get(endpoint.counted_as) or _Pace(endpoint) for endpoint in endpoints}
        self._sleep = timing.sleep
        self._timer = timing.timer
        self._hands: ThreadPoolExecutor | None = None
        self.check: Callable[[], None] = _always_may_send
        self._headers: Mapping[str, str] = {}
        self._told_time: tuple[datetime, float] | None = None
        self.epoch = 0
        # The environment is read by the settings alone; a redirect could carry the credential to another host.
        self._client = httpx.Client(
            headers=dict(headers),
            timeout=_TIMEOUT,
            follow_redirects=False,
            trust_env=False,
            transport=_FencedCarrier(self._check),
        )

    def close(self) -> None:
        if self._hands is not None:
            self._hands.shutdown()
        self._client.close()

    def sleep(self, seconds: float) -> None:
        self._sleep(seconds)

    def _check(self) -> None:
        # Asked for anew each time: the fence is set after the client was made.
        self.check()

    def remember(self, ages: Mapping[str, Sequence[float]]) -> None:
        """Counts the calls of an earlier client too, as its `ages` gave them: the vendor counts them together."""
        now = self._timer()
        for counted, pace in self._counted().items():
            pace.remember(ages.get(counted, ()), now)

    def ages(self) -> dict[str, list[float]]:
        """By what is counted together, the seconds since each call was answered that still counts."""
        now = self._timer()
        found = {counted: pace.ages(now) for counted, pace in self._counted().items()}
        return {counted: ages for counted, ages in found.items() if ages}

    def _counted(self) -> dict[str, _Pace]:
        return {
            endpoint.counted_as or f"{endpoint.method} {endpoint.path}": pace for endpoint, pace in self._paces.items()
        }

    def clock_skew(self, now: datetime) -> float | None:
        """Seconds that the clock which says `now` is ahead of the vendor's, by its last answer; None without one."""
        if self._told_time is None:
            return None
        told, at = self._told_time
        return (now - told).total_seconds() - (self._timer() - at)

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the latest answer, names in any case: a version to tie a write to, a rate limit's headroom."""
        return self._headers

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        media_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        is_repeatable: bool | None = None,
        is_patient: bool = True,
    ) -> Any:
        """Makes one call and returns the answer's JSON, None for an empty one.

        `body` is sent as JSON, bytes as they are. `is_repeatable` says it of this call where the endpoint cannot. One
        that is not `is_patient` is made once, in a turn that `wait_for_turns` took for it, waits for nothing, and
        raises VendorBusyError or VendorUnansweredError where it is not answered, for the caller to make it again after
        others. Raises one of the four errors above, each a RoomtoneError.
        """
        endpoint = self._allowed(method, path)
        request = self._client.build_request(
            method,
            self._base + path,
            params=dict(params or {}),
            content=body if isinstance(body, bytes) else None,
            json=None if isinstance(body, bytes) else body,
            headers=({"content-type": media_type} if body is not None else {}) | dict(headers or {}),
        )
        request.headers["user-agent"] = f"roomtone (epoch {self.epoch})"
        if not is_patient:
            return self._exchange_once(endpoint, request)
        repeatable = endpoint.is_repeatable if is_repeatable is None else is_repeatable
        return self._exchange(endpoint, request, repeatable)

    def wait_for_turns(self, method: str, path: str, most: int) -> int:
        """Waits until several calls may start at once and takes their turns; returns how many, from 1 to `most`.

        Each turn is for one call that is not patient. 0 where calls have stayed unanswered for too long in a row: then
        a patient one should find out whether the vendor answers anybody.
        """
        pace = self._paces[self._allowed(method, path)]
        if pace.given_back >= GIVEN_BACK_IN_A_ROW:
            return 0
        count = min(most, AT_ONCE, pace.most)
        while (wait_seconds := pace.start(self._timer(), count)) > 0:
            self.sleep(wait_seconds)
        return count

    def give_turns_back(self, method: str, path: str, count: int) -> None:
        """Turns that were taken and for which there is no call after all."""
        pace = self._paces[self._allowed(method, path)]
        for _ in range(count):
            pace.end(None)

    def at_once(self, works: Sequence[Callable[[], T]]) -> list[T]:
        """Does several things at a time, at most `AT_ONCE`, and returns what each returned, in order.

        What one of them raises is raised when all have ended.
        """
        if len(works) <= 1:
            return [work() for work in works]
        # The lease is renewed before, so that they need not ask the store side by side.
        self.check()
        if self._hands is None:
            self._hands = ThreadPoolExecutor(AT_ONCE, thread_name_prefix=self._name)
        under_way = [self._hands.submit(work) for work in works]
        wait(under_way)
        return [each.result() for each in under_way]

    def follow(self, link: str) -> Any:
        """The next page at an absolute `link` that the vendor gave; one that leads elsewhere is refused."""
        if not link.startswith(self._base + "/"):
            raise RoomtoneError(f"{self._name} page link", "leads to another host", "check the connection's URL")
        request = self._client.build_request("GET", link)
        path = httpx.URL(link).path.removeprefix(httpx.URL(self._base).path.rstrip("/"))
        return self._exchange(self._allowed("GET", path), request, True)

    def _allowed(self, method: str, path: str) -> Endpoint:
        for endpoint in self._endpoints:
            if endpoint.matches(method, path):
                return endpoint
        raise RoomtoneError(
            f"{self._name} call", f"{method} {path[:80]} is not allowed", "this client has no such call"
        )

    def _exchange(self, endpoint: Endpoint, request: httpx.Request, is_repeatable: bool) -> Any:
        thing = f"{self._name} {endpoint.method} {endpoint.path}"
        deadline = self._timer() + BUDGET_SECONDS
        # An earlier try of a writing call may have had its effect, whatever the last one is told.
        is_doubtful = False
        for attempt in range(1, TRIES + 1):
            self._wait_for_turn(endpoint)
            is_last = attempt == TRIES or self._timer() > deadline
            wait_seconds = _first_wait() * 2 ** (attempt - 1)
            try:
                response = self._send(endpoint, request)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if is_last or "CERTIFICATE" in str(error).upper():
                    raise self._unreachable(thing, error) from error
                reason = type(error).__name__
            except httpx.TransportError as error:
                if is_last or not is_repeatable:
                    self._give_up(endpoint, thing, None, type(error).__name__)
                reason = type(error).__name__
                is_doubtful = endpoint.method != "GET"
            else:
                log.debug("%s: %s on try %d", thing, response.status_code, attempt)
                if response.status_code != 429 and response.status_code < 500:
                    self._paces[endpoint].is_well()
                    if is_doubtful and response.status_code in (400, 404, 409, 410, 413, 422):
                        raise VendorUnansweredError(
                            thing,
                            f"answered {response.status_code} after a try without an answer",
                            "the next sync looks it up",
                        )
                    return self._answer(thing, response)
                asked = _retry_after(response)
                is_safe = is_repeatable or response.status_code == 429
                if is_last or asked > LONGEST_WAIT_SECONDS or not is_safe:
                    status = None if is_doubtful else response.status_code
                    self._give_up(endpoint, thing, status, f"answered {response.status_code}")
                is_doubtful |= response.status_code >= 500 and endpoint.method != "GET"
                wait_seconds = max(wait_seconds, asked)
                reason = str(response.status_code)
            log.warning("%s: %s on try %d, again in %.1f s", thing, reason, attempt, wait_seconds)
            self.sleep(wait_seconds)
        raise AssertionError("the last try returns or raises")

    def _exchange_once(self, endpoint: Endpoint, request: httpx.Request) -> Any:
        """One try in a turn that has been taken already; nothing here waits, for others are under way beside it."""
        thing = f"{self._name} {endpoint.method} {endpoint.path}"
        again = "it is sent again after others"
        try:
            response = self._send(endpoint, request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if "CERTIFICATE" in str(error).upper():
                raise self._unreachable(thing, error) from error
            self._paces[endpoint].is_unwell()
            raise VendorBusyError(thing, type(error).__name__, again) from error
        except httpx.TransportError as error:
            self._paces[endpoint].is_unwell()
            raise VendorUnansweredError(thing, type(error).__name__, again) from error
        log.debug("%s: %s", thing, response.status_code)
        if response.status_code == 429:
            asked = max(_retry_after(response), _first_wait())
            self._paces[endpoint].hold(self._timer() + min(asked, LONGEST_WAIT_SECONDS))
            self._paces[endpoint].is_unwell()
            raise VendorBusyError(thing, "answered 429", again)
        if response.status_code >= 500:
            self._paces[endpoint].is_unwell()
            raise VendorUnansweredError(thing, f"answered {response.status_code}", again)
        self._paces[endpoint].is_well()
        return self._answer(thing, response)

    def _send(self, endpoint: Endpoint, request: httpx.Request) -> httpx.Response:
        """Makes a call in the turn that was taken for it, and shows the answer to whoever looks on."""
        try:
            self.check()
            response = self._client.send(request)
        finally:
            self._paces[endpoint].end(self._timer())
        for hook in exchange_hooks:
            hook(request, response)
        self._headers = response.headers
        with suppress(KeyError, ValueError):
            self._told_time = parsedate_to_datetime(response.headers["date"]), self._timer()
        return response

    def _wait_for_turn(self, endpoint: Endpoint) -> None:
        while (wait_seconds := self._paces[endpoint].start(self._timer())) > 0:
            self.sleep(wait_seconds)

    def _unreachable(self, thing: str, error: Exception) -> VendorUnreachableError:
        return VendorUnreachableError(thing, self.redacted(str(error)), "check the address and that it is up")

    def _give_up(self, endpoint: Endpoint, thing: str, status: int | None, reason: str) -> NoReturn:
        pace = self._paces[endpoint]
        pace.given_up += 1
        if pace.given_up >= GIVEN_UP_AT_MOST:
            raise VendorUnreachableError(
                thing, f"{reason}, as {GIVEN_UP_AT_MOST} calls in a row", "wait until it is well, then run again"
            )
        if status == 429:
            raise VendorBusyError(thing, reason, "run again later; what is left stays in the outbox")
        raise VendorUnansweredError(thing, reason, "the next sync looks it up")

    def _answer(self, thing: str, response: httpx.Response) -> Any:
        status = response.status_code
        if 300 <= status < 400:
            raise VendorUnreachableError(
                thing, f"answered {status}, a redirect", "set the connection's URL to the final address"
            )
        if status in (401, 403):
            words = self.redacted(_words(response))
            raise VendorUnreachableError(
                thing, f"answered {status} ({words})", f"check ROOMTONE_{self._name.upper()}_TOKEN and its scopes"
            )
        if status >= 400:
            raise VendorRefusedError(thing, status, self.redacted(_words(response)))
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError:
            kind = response.headers.get("content-type", "no content type")
            raise VendorUnreachableError(
                thing, f"answered {status} with {kind[:40]}, not JSON", "check that the connection's URL is the API's"
            ) from None

    def redacted(self, text: str) -> str:
        """At most 300 characters of a vendor's words without credentials, e-mail addresses and phone numbers."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        text = re.sub(r"[^\s\"'<>(),:;]+@[^\s\"'<>(),:;]+", "***", text)
        return " ".join(re.sub(r"\+?\d[\d ()-]{7,}\d", "***", text).split())[:300]


def _always_may_send() -> None:
    """What a client without a fence asks."""


class _FencedCarrier(httpx.HTTPTransport):
    """Carries requests over the network and asks `check` right before each write to a socket.

    A process can be stopped between any two of its steps and go on much later. Asked only before a call, a check could
    be long out of date when the call leaves; asked here, what is left is the time from one instruction to the next.
    """

    def __init__(self, check: Callable[[], None]) -> None:
        super().__init__(verify=_certificates(), trust_env=False)
        # The client has no parameter for a backend of the network; its pool has one.
        self._pool.close()
        self._pool = httpcore.ConnectionPool(
            ssl_context=_certificates(),
            max_connections=AT_ONCE,
            max_keepalive_connections=AT_ONCE,
            keepalive_expiry=5.0,
            network_backend=_FencedBackend(check),
        )


class _FencedBackend(httpcore.SyncBackend):
    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def connect_tcp(self, *arguments: Any, **options: Any) -> httpcore.NetworkStream:
        return _FencedStream(super().connect_tcp(*arguments, **options), self._check)


class _FencedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, check: Callable[[], None]) -> None:
        self._stream = stream
        self._check = check

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._check()
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, *arguments: Any, **options: Any) -> httpcore.NetworkStream:
        return _FencedStream(self._stream.start_tls(*arguments, **options), self._check)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


@cache
def _certificates() -> ssl.SSLContext:
    """The authorities that a vendor's certificate is checked against; reading them takes longer than most calls."""
    return httpx.create_ssl_context(trust_env=False)


def _first_wait() -> float:
    return _FIRST_WAIT_SECONDS * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, guards nothing


def _retry_after(response: httpx.Response) -> float:
    """Seconds that the vendor asks to wait, 0 when it does not say.

    Braze gives no Retry-After but the second since 1970 at which its window ends, by the clock of its Date header.
    """
    reset: str = response.headers.get("x-ratelimit-reset", "")
    date: str = response.headers.get("date", "")
    if "retry-after" not in response.headers and reset.isdigit() and date:
        return max(0.0, int(reset) - parsedate_to_datetime(date).timestamp())
    text: str = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _words(response: httpx.Response) -> str:
    """What a vendor says went wrong: a list of errors, an error with its description, else the status phrase."""
    try:
        answer = response.json()
    except ValueError:
        return response.reason_phrase
    if not isinstance(answer, dict):
        return response.reason_phrase
    meta = answer.get("meta")
    errors = answer.get("errors") or (meta.get("errors") if isinstance(meta, dict) else None)
    if isinstance(errors, list):
        told = [
            f"{error.get('code') or error.get('reason') or ''}: {error.get('detail') or error.get('message') or ''}"
            if isinstance(error, dict)
            else str(error)
            for error in errors[:3]
        ]
        return "; ".join(told) or response.reason_phrase
    told = [str(answer[name]) for name in ("error", "description", "details", "message") if answer.get(name)]
    return ": ".join(told) or response.reason_phrase
