"""What a source hands over: a record, or something that could not be read as one."""

import hashlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, NamedTuple, Protocol

from roomtone.rate_window import RateWindow

# The beginning of a refused record that is kept for whoever looks into the quarantine.
EXCERPT_BYTES = 16 * 1024


class Record(NamedTuple):
    """A record of `stream` in the contract's words, still unchecked. `location` says where it came from.

    `source` names the vendor whose record it is where that is not the source that was read.
    """

    stream: str
    payload: object
    location: str
    source: str = ""


class Refused(NamedTuple):
    """Something that could not become a record: `excerpt` is its beginning, `content_hash` the SHA-256 of all of it."""

    stream: str
    location: str
    reason: str
    excerpt: bytes
    content_hash: str
    size_bytes: int


def refused(stream: str, location: str, reason: str, content: bytes) -> Refused:
    """A `Refused` for content that is held in memory."""
    return Refused(stream, location, reason, content[:EXCERPT_BYTES], hashlib.sha256(content).hexdigest(), len(content))


Cursors = MutableMapping[str, Any]


class UnfinishedError(Exception):
    """A source gave out for now, after retries: what it gave before stays, the rest is for the next run."""


class Source(Protocol):
    """Where records come from. One object serves one run."""

    @property
    def ignored(self) -> list[str]:
        """What was found and is no input, for the report; complete after `read`."""

    @property
    def paces(self) -> Mapping[str, RateWindow]:
        """The vendor's limits, which one run has to keep together with the run before it."""

    def read(self, cursors: Cursors) -> Iterator[Record | Refused]:
        """Everything that is new since `cursors`, which it moves as it goes (JSON values only).

        Raises UnfinishedError when the source fails in a way that may pass, with `cursors` behind what was handed over.
        Raises RoomtoneError when it fails in a way that a person must mend.
        """
