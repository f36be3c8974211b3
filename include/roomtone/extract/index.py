"""The index of landed versions in the operational store. It follows the raw store and can be made again from it."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from roomtone.extract.intake import StreamCount, counts_of
from roomtone.settings import Settings
from roomtone.stores import raw
from roomtone.stores.operational import OperationalStore, extract_runs, landed_loads, landed_versions

_LOOKUP_IDS = 500
# Rows written per transaction, so that nobody who shares the operational store waits long.
_WRITE_ROWS = 20_000

_LANDED_KEYS = pa.schema([("id", pa.string()), ("record_hash", pa.string())])
_QUARANTINE_KEYS = pa.schema([("quarantine_id", pa.string())])


class VersionIndex:
    """Which versions of which records of one source have landed."""

    def __init__(self, store: OperationalStore, source: str) -> None:
        self._store = store
        self._source = source
        self._is_empty: dict[str, bool] = {}

    def known(self, stream: str, keys: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Which of the (record id, record hash) pairs are indexed."""
        if not keys or self._stream_is_empty(stream):
            return set()
        ids = sorted({record_id for record_id, _ in keys})
        query = sa.select(landed_versions.c.record_id, landed_versions.c.record_hash).where(
            landed_versions.c.source == self._source,
            landed_versions.c.stream == stream,
            landed_versions.c.record_id.in_(sa.bindparam("ids", expanding=True)),
        )
        found: set[tuple[str, str]] = set()
        with self._store.begin() as connection:
            for start in range(0, len(ids), _LOOKUP_IDS):
                rows = connection.execute(query, {"ids": ids[start : start + _LOOKUP_IDS]})
                found.update((row[0], row[1]) for row in rows)
        return found

    def known_ids(self, stream: str, ids: Sequence[str]) -> set[str]:
        """Which of the record ids have landed in any version."""
        return {record_id for record_id, _ in self.known(stream, [(record_id, "") for record_id in ids])}

    def follow(self, settings: Settings) -> list[raw.Load]:
        """Index every completed load that is not indexed yet, and return these loads.

        A crash between a load and its indexing heals here. Loads that are indexed and no longer in the raw store mean
        that it was replaced: the index of this source is then made anew, or what was lost would be taken for known.
        """
        completed = raw.completed_loads(settings, self._source)
        indexed = self._indexed_loads()
        if indexed - {load.load_id for load in completed}:
            self._forget()
            indexed = set()
        fresh = [load for load in completed if load.load_id not in indexed]
        for load in fresh:
            self._index(load)
        return fresh

    def record_unlanded(self, counts: Mapping[str, StreamCount], as_of: datetime) -> None:
        """Keep the counts of a run that brought nothing new and so has no load."""
        with self._store.begin() as connection:
            self._insert_runs(connection, f"none-{uuid.uuid4().hex}", counts, as_of)

    def _stream_is_empty(self, stream: str) -> bool:
        if stream not in self._is_empty:
            query = sa.select(landed_versions.c.record_id).where(
                landed_versions.c.source == self._source, landed_versions.c.stream == stream
            )
            with self._store.begin() as connection:
                self._is_empty[stream] = connection.execute(query.limit(1)).first() is None
        return self._is_empty[stream]

    def _indexed_loads(self) -> set[str]:
        query = sa.select(landed_loads.c.load_id).where(landed_loads.c.source == self._source)
        with self._store.begin() as connection:
            return set(connection.execute(query).scalars())

    def _forget(self) -> None:
        with self._store.begin() as connection:
            connection.execute(landed_versions.delete().where(landed_versions.c.source == self._source))
            connection.execute(landed_loads.delete().where(landed_loads.c.source == self._source))

    def _index(self, load: raw.Load) -> None:
        for stream, files in load.files.items():
            for file in files:
                keys = raw.read_table(file, _LANDED_KEYS)
                self._insert_versions(stream, keys["id"].to_pylist(), keys["record_hash"].to_pylist())
        for file in load.quarantine:
            ids = raw.read_table(file, _QUARANTINE_KEYS)["quarantine_id"].to_pylist()
            self._insert_versions(raw.QUARANTINE, ids, [""] * len(ids))
        with self._store.begin() as connection:
            for file in load.counts:
                table = raw.read_table(file, raw.COUNTS_SCHEMA)
                for as_of in table["as_of"].unique().to_pylist():
                    self._insert_runs(connection, load.load_id, counts_of(table), as_of.replace(tzinfo=UTC))
            values = {"source": self._source, "load_id": load.load_id, "indexed_at": datetime.now(UTC)}
            connection.execute(_insert_or_ignore(connection, landed_loads), values)
        self._is_empty.clear()

    def _insert_versions(self, stream: str, ids: list[str], hashes: list[str]) -> None:
        for start in range(0, len(ids), _WRITE_ROWS):
            part = slice(start, start + _WRITE_ROWS)
            rows = [
                {"source": self._source, "stream": stream, "record_id": record_id, "record_hash": record_hash}
                for record_id, record_hash in zip(ids[part], hashes[part], strict=True)
            ]
            with self._store.begin() as connection:
                connection.execute(_insert_or_ignore(connection, landed_versions), rows)

    def _insert_runs(
        self, connection: sa.Connection, load_id: str, counts: Mapping[str, StreamCount], as_of: datetime
    ) -> None:
        finished_at = datetime.now(UTC)
        rows: list[dict[str, Any]] = [
            {
                "source": self._source,
                "stream": stream,
                "load_id": load_id,
                "count_read": count.read,
                "count_landed": count.landed,
                "count_duplicate": count.duplicate,
                "count_quarantined": count.quarantined,
                "as_of": as_of,
                "finished_at": finished_at,
            }
            for stream, count in sorted(counts.items())
        ]
        if rows:
            connection.execute(_insert_or_ignore(connection, extract_runs), rows)


def _insert_or_ignore(connection: sa.Connection, table: sa.Table) -> sa.Insert:
    """An insert that leaves rows alone whose key is there already; both supported databases spell it the same way."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()
