"""Brings what has landed in the raw store into the warehouse's `raw` schema: each load once, in any order."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import duckdb
import pyarrow as pa

from roomtone.contract import STREAMS, TIMESTAMP
from roomtone.settings import Settings
from roomtone.stores import raw, warehouse
from roomtone.stores.warehouse import Session

SCORE_SCHEMA = pa.schema(
    [
        ("message_id", pa.string()),
        ("body_hash", pa.string()),
        ("p_negative", pa.float64()),
        ("p_neutral", pa.float64()),
        ("p_positive", pa.float64()),
        ("sentiment", pa.string()),
        ("confidence", pa.float64()),
        ("is_abstained", pa.bool_()),
        ("urgency", pa.string()),
        ("urgency_score", pa.float64()),
        ("intent", pa.string()),
        ("intent_confidence", pa.float64()),
        ("cues", pa.string()),
        ("language", pa.string()),
        ("model_version", pa.string()),
        ("top_reasons", pa.string()),
        ("scored_at", TIMESTAMP),
    ]
)

RISK_SCHEMA = pa.schema(
    [("customer_id", pa.string()), ("as_of", TIMESTAMP), ("risk", pa.float64()), ("risk_version", pa.string())]
)

CONCEPT_SCHEMA = pa.schema(
    [
        ("message_id", pa.string()),
        ("body_hash", pa.string()),
        ("concepts", pa.string()),
        ("concepts_version", pa.string()),
        ("load_id", pa.string()),
    ]
)

# What models have found, by the source under which its files are loaded.
_SCORED = {"scores": (raw.SCORES, SCORE_SCHEMA), "risks": (raw.RISKS, RISK_SCHEMA)}

# Names that DuckDB and PostgreSQL share.
SQL_TYPES = {
    pa.string(): "varchar",
    pa.bool_(): "boolean",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float64(): "double precision",
    TIMESTAMP: "timestamp",
    pa.decimal128(18, 4): "decimal(18, 4)",
}


def load_landed(settings: Settings, connection: Session) -> int:
    """Load every completed load that the warehouse lacks, each in one transaction; returns how many rows came in."""
    ensure_raw_tables(connection)
    known = {tuple(row) for row in connection.execute("select source, load_id from raw.loads").fetchall()}
    count = 0
    for load in raw.completed_loads(settings, known=known):
        with transaction(connection):
            for stream, files in load.files.items():
                names = STREAMS[stream].landed_schema.names
                count += _insert(connection, stream, names, list(files), load.load_id)
            mark_loaded(connection, load.source, load.load_id)
    for source, (kind, schema) in _SCORED.items():
        for file in raw.score_files(settings, kind):
            if (source, file.stem) in known:
                continue
            with transaction(connection):
                _insert(connection, kind, schema.names, [file], file.stem)
                mark_loaded(connection, source, file.stem)
    return count


def ensure_raw_tables(connection: Session) -> None:
    """Make the empty tables of the `raw` schema that do not exist yet, so that every model finds its source."""
    connection.execute("create schema if not exists raw")
    for name, stream in STREAMS.items():
        columns = _columns(stream.landed_schema, _stored_plain(connection)) + ", load_id varchar"
        connection.execute(f"create table if not exists raw.{name} ({columns})")
    connection.execute(f"create table if not exists raw.message_scores ({_columns(SCORE_SCHEMA)}, load_id varchar)")
    # A warehouse of an earlier version holds scores without the load that they came in.
    connection.execute("alter table raw.message_scores add column if not exists load_id varchar")
    connection.execute(f"create table if not exists raw.customer_risks ({_columns(RISK_SCHEMA)}, load_id varchar)")
    connection.execute(f"create table if not exists raw.message_concepts ({_columns(CONCEPT_SCHEMA)})")
    connection.execute(
        "create table if not exists raw.scored_loads (model_version varchar, source varchar, load_id varchar)"
    )
    connection.execute("create table if not exists raw.loads (source varchar, load_id varchar, loaded_at timestamp)")


@contextmanager
def transaction(connection: Session) -> Iterator[None]:
    """All that the block writes is there afterwards, or none of it."""
    connection.begin()
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _columns(schema: pa.Schema, stored: Mapping[str, str] = MappingProxyType({})) -> str:
    return ", ".join(f'"{field.name}" {SQL_TYPES[field.type]}{stored.get(field.name, "")}' for field in schema)


def _stored_plain(connection: Session) -> Mapping[str, str]:
    """How columns that name another record are stored.

    DuckDB would keep them in dictionaries as long as the column, and read all of one to give out a single text.
    """
    if not isinstance(connection, duckdb.DuckDBPyConnection):
        return {}
    return dict.fromkeys(("customer_id", "ticket_id", "order_id"), " using compression 'uncompressed'")


def _insert(connection: Session, table: str, names: list[str], files: list[Path], load_id: str) -> int:
    if not isinstance(connection, duckdb.DuckDBPyConnection):
        schema = STREAMS[table].landed_schema if table in STREAMS else dict(_SCORED.values())[table]
        count = 0
        for file in files:
            rows = raw.read_table(file, schema)
            rows = rows.append_column("load_id", pa.repeat(load_id, rows.num_rows))
            warehouse.insert(connection, f"raw.{table}", rows)
            count += rows.num_rows
        return count
    selected = ", ".join(f'"{name}"' for name in names)
    # Table and column names come from the contract; file names and ids are bound.
    statement = (
        f"insert into raw.{table} ({selected}, load_id) "  # noqa: S608
        f"select {selected}, ? from read_parquet(?, union_by_name = true)"
    )
    result = connection.execute(statement, [load_id, list(map(str, files))]).fetchone()
    return int(result[0]) if result else 0


def mark_loaded(connection: Session, source: str, load_id: str) -> None:
    """Note that a load is in the warehouse; its rows count as new until a pass has been transformed."""
    connection.execute(
        "insert into raw.loads values (?, ?, ?)", [source, load_id, datetime.now(UTC).replace(tzinfo=None)]
    )
