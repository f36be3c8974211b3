"""The small web frame of the vendors' servers: a call in, a reply out, routes by path pattern, rate limits."""

import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import parse_qsl


@dataclass(frozen=True)
class Call:
    """One request. `path` has no vendor prefix; header names are lower case; `url` is the address it came to."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    content: bytes
    base_url: str
    at: datetime

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True))


@dataclass
class Reply:
    """One response; `body` None means that it has none.

    It leaves after `delay_seconds`; one that `is_cut` breaks off in the middle.
    """

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    delay_seconds: float = 0.0
    is_cut: bool = False


class VendorApi(Protocol):
    """A vendor's server: a call in, out the reply and the template of the route that gave it (empty if none did)."""

    def answer(self, call: Call) -> tuple[Reply, str]: ...


class RefusedError(Exception):
    """A request that the vendor turns down; each API words it its own way."""

    def __init__(self, status: int, code: str, detail: str, *, pointer: str = "", parameter: str = "") -> None:
        self.status, self.code, self.detail = status, code, detail
        self.pointer, self.parameter = pointer, parameter
        super().__init__(detail)


Handler = Callable[..., Reply]


@dataclass(frozen=True)
class Route:
    """A method and a path template as the vendor's specification writes it; `{name}` parts become arguments."""

    method: str
    template: str
    handler: Handler
    pattern: re.Pattern[str]


class Routes:
    """Finds the route of a call. Zendesk's `.json` ending is optional, as at the vendor."""

    def __init__(self, table: Mapping[str, Handler]) -> None:
        self._routes = []
        for key, handler in table.items():
            method, template = key.split(" ")
            pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+?)", template) + r"(?:\.json)?/?$")
            self._routes.append(Route(method, template, handler, pattern))

    def find(self, call: Call) -> tuple[Route, dict[str, str]]:
        """Raises RefusedError 404 for an unknown path and 405 for a known one with another method."""
        is_known = False
        for route in self._routes:
            match = route.pattern.match(call.path)
            if match:
                if route.method == call.method:
                    return route, match.groupdict()
                is_known = True
        if is_known:
            raise RefusedError(405, "method_not_allowed", f"{call.method} is not allowed on this path")
        raise RefusedError(404, "not_found", "This path does not exist")


def read_json(content: bytes) -> Any:
    """The JSON of a body; ValueError for anything else, also for NaN and Infinity, which JSON does not have."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(content, parse_constant=refuse)


def whole_number(text: str, low: int, high: int) -> int | None:
    """A number written in ASCII digits within the bounds; None for anything else."""
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        return None
    return int(text) if low <= int(text) <= high else None


class Limit:
    """A sliding window: at most `most` calls in any `seconds` of sandbox time."""

    def __init__(self, most: int, seconds: float) -> None:
        self.most, self.seconds = most, seconds
        self._calls: deque[datetime] = deque()

    def wait(self, at: datetime) -> float:
        """Seconds until a call is allowed, 0 if it is now."""
        while self._calls and (at - self._calls[0]).total_seconds() >= self.seconds:
            self._calls.popleft()
        if len(self._calls) < self.most:
            return 0.0
        return self.seconds - (at - self._calls[0]).total_seconds()

    def take(self, at: datetime) -> None:
        self._calls.append(at)

    @property
    def remaining(self) -> int:
        return max(0, self.most - len(self._calls))
