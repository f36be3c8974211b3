"""A `files` source with a home of its own, what it left in the raw store, and a process to try deadly things in."""

import json
import os
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from roomtone.contract import STREAMS
from roomtone.extract import ExtractReport, extract
from roomtone.settings import Settings
from roomtone.stores import raw
from roomtone.stores.operational import OperationalStore, extract_runs

AS_OF = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def message(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A valid message; `changes` replace fields, and a field changed to `...` is left out."""
    fields = {
        "id": f"m{number}",
        "ticket_id": f"t{number // 3}",
        "author": "customer",
        "body": f"Where is order {number}?",
        "is_public": True,
        "created_at": "2026-03-01T10:00:00Z",
        "updated_at": "2026-03-01T10:00:00Z",
    } | changes
    return {name: value for name, value in fields.items() if value is not ...}


@dataclass(frozen=True)
class Desk:
    """A `files` source and its home."""

    settings: Settings
    folder: Path

    def write(self, name: str, lines: Iterable[dict[str, Any] | bytes], mode: str = "wb") -> Path:
        """Write (or, with mode "ab", append) records or raw bytes, a newline after each."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode) as handle:
            for line in lines:
                handle.write((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
        return path

    def extract(self) -> ExtractReport:
        """Extract and check that every count adds up."""
        report = extract(self.settings, "files", AS_OF)
        for count in report.streams.values():
            assert count.read == count.landed + count.duplicate + count.quarantined
        return report

    def landed(self, stream: str) -> Counter[tuple[str, str]]:
        """How often each (id, record hash) stands in completed loads."""
        found: Counter[tuple[str, str]] = Counter()
        for row in self.rows(stream):
            found[row["id"], row["record_hash"]] += 1
        return found

    def rows(self, stream: str, source: str = "files") -> list[dict[str, Any]]:
        """Rows of a stream in completed loads."""
        schema = STREAMS[stream].landed_schema
        loads = raw.completed_loads(self.settings, source)
        return [
            row
            for load in loads
            for file in load.files.get(stream, ())
            for row in raw.read_table(file, schema).to_pylist()
        ]

    def quarantine(self) -> list[dict[str, Any]]:
        return raw.quarantined(self.settings).to_pylist()

    def runs(self) -> list[dict[str, Any]]:
        """`extract_runs` of the operational store."""
        store = OperationalStore(self.settings)
        try:
            with store.begin() as connection:
                return [dict(row) for row in connection.execute(sa.select(extract_runs)).mappings()]
        finally:
            store.close()


def in_child(work: Callable[[], None]) -> tuple[int, str]:
    """Run `work` in a forked process: (its wait status, what it wrote or the failure it raised)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        status = 1
        try:
            work()
            status = 0
        except BaseException as failure:  # noqa: BLE001 - a forked test must never return into pytest
            text = "".join(traceback.format_exception_only(failure))
            os.write(writing, text.encode()[:4000])
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    return os.waitpid(child, 0)[1], said
