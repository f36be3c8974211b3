"""The run's clock: the machine's, or the one that ROOMTONE_CLOCK_URL serves (a sandbox whose days pass in seconds)."""

from datetime import UTC, datetime

import httpx

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings


def now(settings: Settings) -> datetime:
    """The instant at which a run begins, aware, in UTC. Computations take it as `as_of` and never ask again."""
    if settings.clock_url is None:
        return datetime.now(UTC)
    try:
        answer = httpx.get(settings.clock_url, timeout=10.0).raise_for_status().json()
        return parse_instant(answer["now"])
    except (httpx.HTTPError, KeyError, TypeError, ValueError) as error:
        raise RoomtoneError(
            "ROOMTONE_CLOCK_URL", f"{settings.clock_url} gave no time ({error})", "start what serves it, or unset it"
        ) from error


def parse_instant(text: str) -> datetime:
    """An RFC 3339 timestamp with an offset as aware UTC; raises ValueError for one without offset."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset")
    return instant.astimezone(UTC)
