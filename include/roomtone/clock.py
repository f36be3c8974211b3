"""The run's clock: the machine's, or the one that ROOMTONE_CLOCK_URL serves (a sandbox whose days pass in seconds)."""

import os
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings

if TYPE_CHECKING:
    import httpx


# So far may this machine's clock be from a vendor's before somebody should know.
MOST_SKEW_SECONDS = 300.0


def now(settings: Settings) -> datetime:
    """The instant at which a run begins, aware, in UTC. Computations take it as `as_of` and never ask again."""
    if settings.clock_url is None:
        return datetime.now(UTC)
    import httpx

    try:
        answer = _client(os.getpid()).get(settings.clock_url).raise_for_status().json()
        return parse_instant(answer["now"])
    except (httpx.HTTPError, KeyError, TypeError, ValueError) as error:
        raise RoomtoneError(
            "ROOMTONE_CLOCK_URL", f"{settings.clock_url} gave no time ({error})", "start what serves it, or unset it"
        ) from error


@cache
def _client(_: int) -> "httpx.Client":
    """The client of one process: two that shared a connection after a fork would read each other's answers."""
    import httpx

    # Making a client reads the certificate store, which takes longer than asking the time.
    return httpx.Client(timeout=10.0)


def parse_instant(text: str) -> datetime:
    """An RFC 3339 timestamp with an offset as aware UTC; raises ValueError for one without offset."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset")
    return instant.astimezone(UTC)
