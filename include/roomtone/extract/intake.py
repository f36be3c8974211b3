"""Checks what a source hands over, drops what is known, makes tables of the rest, and counts each record once."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from roomtone.contract import STREAMS, Landed, check
from roomtone.errors import RoomtoneError
from roomtone.extract.received import Record, Refused, refused
from roomtone.stores.raw import COUNTS_SCHEMA, QUARANTINE, QUARANTINE_SCHEMA

BATCH_ROWS = 5_000
# A table stays well below the 2 GiB that one Arrow text column can hold.
BATCH_BYTES = 64 * 1024 * 1024

# Tells which (record id, record hash) pairs of a stream have landed before.
KnownVersions = Callable[[str, Sequence[tuple[str, str]]], set[tuple[str, str]]]


@dataclass
class StreamCount:
    """What became of the records of one stream: `read` is always the sum of the other three."""

    read: int = 0
    landed: int = 0
    duplicate: int = 0
    quarantined: int = 0


class Intake:
    """One run's records on their way into the raw store."""

    def __init__(self, source: str, received_at: datetime, known: KnownVersions) -> None:
        self._source = source
        self._received_at = received_at
        self._known = known
        self._waiting: dict[str, list[Record]] = defaultdict(list)
        self._waiting_bytes: dict[str, int] = defaultdict(int)
        self._refused: list[Refused] = []
        # Versions and quarantine entries of this very run, which no index holds yet.
        self._seen: dict[str, set[bytes]] = defaultdict(set)
        self.counts: dict[str, StreamCount] = defaultdict(StreamCount)

    def tables(self, items: Iterable[Record | Refused]) -> Iterator[tuple[str, pa.Table]]:
        """(table name, rows) in batches, of everything in `items` that is new."""
        for item in items:
            self.counts[item.stream].read += 1
            if isinstance(item, Refused):
                self._refused.append(item)
                if len(self._refused) >= BATCH_ROWS:
                    yield from self._quarantine()
                continue
            self._waiting[item.stream].append(item)
            if len(self._waiting[item.stream]) >= BATCH_ROWS or self._is_heavy(item):
                yield from self._land(item.stream)
        for stream in list(self._waiting):
            yield from self._land(stream)
        yield from self._quarantine()

    def counts_table(self) -> pa.Table:
        """The counts as rows of `COUNTS_SCHEMA`."""
        as_of = _naive(self._received_at)
        rows = [
            {
                "stream": stream,
                "count_read": count.read,
                "count_landed": count.landed,
                "count_duplicate": count.duplicate,
                "count_quarantined": count.quarantined,
                "as_of": as_of,
            }
            for stream, count in sorted(self.counts.items())
        ]
        return pa.Table.from_pylist(rows, schema=COUNTS_SCHEMA)

    def _is_heavy(self, item: Record) -> bool:
        body = item.payload.get("body") if isinstance(item.payload, dict) else None
        if isinstance(body, str):
            # Body and payload, each up to four bytes a character.
            self._waiting_bytes[item.stream] += 8 * len(body)
        return self._waiting_bytes[item.stream] >= BATCH_BYTES

    def _land(self, stream: str) -> Iterator[tuple[str, pa.Table]]:
        waiting = self._waiting.pop(stream, [])
        self._waiting_bytes.pop(stream, None)
        landed: list[Landed] = []
        for record in waiting:
            try:
                landed.append(check(stream, record.source or self._source, record.payload, self._received_at))
            except RoomtoneError as error:
                reason = f"{error.thing}: {error.value}; {error.next_step}"
            except RecursionError:
                reason = f"{stream}: is nested too deeply; send flat records"
            else:
                continue
            self._refused.append(refused(stream, record.location, reason, _as_text(record.payload)))
        known = self._known(stream, [version.key for version in landed])
        seen, count = self._seen[stream], self.counts[stream]
        rows: list[dict[str, Any]] = []
        for version in landed:
            mark = bytes.fromhex(version.key[1])
            if version.key in known or mark in seen:
                count.duplicate += 1
            else:
                seen.add(mark)
                count.landed += 1
                rows.append(version.row)
        if rows:
            yield stream, pa.Table.from_pylist(rows, schema=STREAMS[stream].landed_schema)

    def _quarantine(self) -> Iterator[tuple[str, pa.Table]]:
        waiting, self._refused = self._refused, []
        entries = [(item, _quarantine_id(self._source, item)) for item in waiting]
        known = self._known(QUARANTINE, [(key, "") for _, key in entries])
        seen = self._seen[QUARANTINE]
        rows: list[dict[str, Any]] = []
        for item, key in entries:
            count, mark = self.counts[item.stream], bytes.fromhex(key)
            if (key, "") in known or mark in seen:
                count.duplicate += 1
                continue
            seen.add(mark)
            count.quarantined += 1
            rows.append(
                {
                    "quarantine_id": key,
                    "source": self._source,
                    "stream": item.stream,
                    "location": item.location,
                    "reason": item.reason,
                    "excerpt": item.excerpt.decode("utf-8", "backslashreplace"),
                    "content_hash": item.content_hash,
                    "size_bytes": item.size_bytes,
                    "received_at": _naive(self._received_at),
                }
            )
        if rows:
            yield QUARANTINE, pa.Table.from_pylist(rows, schema=QUARANTINE_SCHEMA)

    def has_news(self) -> bool:
        """Whether anything was landed or quarantined."""
        return any(count.landed or count.quarantined for count in self.counts.values())


def counts_of(table: pa.Table) -> dict[str, StreamCount]:
    """`COUNTS_SCHEMA` rows back as counts."""
    names = ("count_read", "count_landed", "count_duplicate", "count_quarantined")
    return {row["stream"]: StreamCount(*(row[name] for name in names)) for row in table.to_pylist()}


def _quarantine_id(source: str, item: Refused) -> str:
    """The same thing at the same place has one id, however often it is read."""
    parts = (source, item.stream, item.location, item.reason if not item.size_bytes else item.content_hash)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _as_text(payload: object) -> bytes:
    try:
        # ASCII escapes hold what UTF-8 refuses, as a lone surrogate.
        return json.dumps(payload, sort_keys=True, default=str).encode("ascii")
    except (RecursionError, ValueError):
        return b""


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)
