"""The one way out over HTTP: an allow-list of calls, the vendor's rate limits, retries, nothing personal in a log."""

import logging
import random
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, NoReturn

import httpcore
import httpx

from roomtone.errors import RoomtoneError
from roomtone.settings import Connection

log = logging.getLogger(__name__)
# The client's own log lines hold whole addresses, and a filter in a query holds e-mail addresses.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)

TRIES = 6
BUDGET_SECONDS = 90.0
# After so many calls in a row that stayed without a usable answer, the vendor counts as down.
GIVEN_UP_AT_MOST = 3
# A call that may be made later is given back unanswered, unless as many in a row have failed as one is tried.
GIVEN_BACK_IN_A_ROW = TRIES
LONGEST_WAIT_SECONDS = 60.0
_FIRST_WAIT_SECONDS = 0.25
_TIMEOUT = httpx.Timeout(15.0, connect=5.0)

# Each is shown every exchange, the response read to the end; tests check them against the vendor's specification.
exchange_hooks: list[Callable[[httpx.Request, httpx.Response], None]] = []


@dataclass(frozen=True)
class Endpoint:
    """A call that may leave: `{}` in `path` is one segment. `is_repeatable`: made twice, it has the effect of one."""

    method: str
    path: str
    per_second: float
    per_minute: float
    is_repeatable: bool = True

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


@dataclass
class _Bucket:
    """Two token buckets, one a second and one a minute, both full at the start."""

    endpoint: Endpoint
    tokens: list[float] = field(default_factory=list)
    filled_at: float = 0.0
    held_until: float = 0.0

    def wait_seconds(self, now: float) -> float:
        """Takes a token and returns 0, or returns how long to wait for one."""
        if now < self.held_until:
            return self.held_until - now
        sizes = (max(self.endpoint.per_second, 1.0), max(self.endpoint.per_minute, 1.0))
        rates = (self.endpoint.per_second, self.endpoint.per_minute / 60.0)
        passed = now - self.filled_at
        self.filled_at = now
        filled = zip(self.tokens, sizes, rates, strict=True)
        self.tokens = [min(size, had + passed * rate) for had, size, rate in filled] if self.tokens else list(sizes)
        lacking = max((1.0 - had) / rate for had, rate in zip(self.tokens, rates, strict=True))
        if lacking <= 0:
            self.tokens = [had - 1.0 for had in self.tokens]
            return 0.0
        return lacking


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
        self._buckets = {endpoint: _Bucket(endpoint) for endpoint in endpoints}
        self._sleep = timing.sleep
        self._timer = timing.timer
        self._given_up = 0
        self._given_back = 0
        self.check: Callable[[], None] = _always_may_send
        self._headers: Mapping[str, str] = {}
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
        self._client.close()

    def sleep(self, seconds: float) -> None:
        self._sleep(seconds)

    def _check(self) -> None:
        # Asked for anew each time: the fence is set after the client was made.
        self.check()

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
        that is not `is_patient` is made once and raises at once where it is not answered, for the caller to make it
        again after others; only where the vendor seems to answer nobody is it waited for like any other.
        Raises one of the four errors above, each a RoomtoneError.
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
        repeatable = endpoint.is_repeatable if is_repeatable is None else is_repeatable
        return self._exchange(endpoint, request, repeatable, is_patient)

    def follow(self, link: str) -> Any:
        """The next page at an absolute `link` that the vendor gave; one that leads elsewhere is refused."""
        if not link.startswith(self._base + "/"):
            raise RoomtoneError(f"{self._name} page link", "leads to another host", "check the connection's URL")
        request = self._client.build_request("GET", link)
        path = httpx.URL(link).path.removeprefix(httpx.URL(self._base).path.rstrip("/"))
        return self._exchange(self._allowed("GET", path), request, True, True)

    def _allowed(self, method: str, path: str) -> Endpoint:
        for endpoint in self._endpoints:
            if endpoint.matches(method, path):
                return endpoint
        raise RoomtoneError(
            f"{self._name} call", f"{method} {path[:80]} is not allowed", "this client has no such call"
        )

    def _exchange(self, endpoint: Endpoint, request: httpx.Request, is_repeatable: bool, is_patient: bool) -> Any:
        thing = f"{self._name} {endpoint.method} {endpoint.path}"
        deadline = self._timer() + BUDGET_SECONDS
        # An earlier try of a writing call may have had its effect, whatever the last one is told.
        is_doubtful = False
        for attempt in range(1, TRIES + 1):
            self._wait_for_token(endpoint)
            is_last = attempt == TRIES or self._timer() > deadline
            wait = _FIRST_WAIT_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, guards nothing
            self.check()
            try:
                response = self._client.send(request)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if is_last or "CERTIFICATE" in str(error).upper():
                    raise VendorUnreachableError(
                        thing, self.redacted(str(error)), "check the address and that it is up"
                    ) from error
                reason = type(error).__name__
            except httpx.TransportError as error:
                if is_last or not is_repeatable:
                    self._give_up(thing, None, type(error).__name__)
                if not is_patient:
                    self._give_back(thing, None, type(error).__name__)
                reason = type(error).__name__
                is_doubtful = endpoint.method != "GET"
            else:
                for hook in exchange_hooks:
                    hook(request, response)
                log.debug("%s: %s on try %d", thing, response.status_code, attempt)
                self._headers = response.headers
                if response.status_code != 429 and response.status_code < 500:
                    self._given_up = self._given_back = 0
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
                    self._give_up(thing, status, f"answered {response.status_code}")
                is_doubtful |= response.status_code >= 500 and endpoint.method != "GET"
                wait = max(wait, asked)
                reason = str(response.status_code)
                if not is_patient:
                    if response.status_code == 429:
                        # The vendor asks everybody to wait, not only this call.
                        self._buckets[endpoint].held_until = self._timer() + wait
                    self._give_back(thing, None if is_doubtful else response.status_code, f"answered {reason}")
            log.warning("%s: %s on try %d, again in %.1f s", thing, reason, attempt, wait)
            self.sleep(wait)
        raise AssertionError("the last try returns or raises")

    def _wait_for_token(self, endpoint: Endpoint) -> None:
        while (wait := self._buckets[endpoint].wait_seconds(self._timer())) > 0:
            self.sleep(wait)

    def _give_back(self, thing: str, status: int | None, reason: str) -> None:
        """Raises what a call ends with that may be made again after others; returns where none of these is answered."""
        self._given_back += 1
        if self._given_back >= GIVEN_BACK_IN_A_ROW:
            return
        if status == 429:
            raise VendorBusyError(thing, reason, "it is sent again after others")
        raise VendorUnansweredError(thing, reason, "it is sent again after others")

    def _give_up(self, thing: str, status: int | None, reason: str) -> NoReturn:
        self._given_up += 1
        if self._given_up >= GIVEN_UP_AT_MOST:
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
            max_connections=4,
            max_keepalive_connections=2,
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
