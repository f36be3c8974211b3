"""What would be sent as a file of rows: JSON Lines, CSV or Parquet, one row per intent, columns fixed per kind."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from roomtone.sync.desired import PAUSES, PROFILE_PROPERTIES, RECOVERY_EVENT, TICKET_ROUTING, canonical, rfc3339
from roomtone.sync.plan import Intent

Row = dict[str, Any]

# Columns and their types as Parquet names them: text, boolean, whole number, instant.
_FIRST = {"intent_id": "string", "kind": "string", "subject_id": "string", "as_of": "timestamp"}
COLUMNS: Mapping[str, Mapping[str, str]] = {
    PROFILE_PROPERTIES: _FIRST
    | dict.fromkeys(PAUSES, "bool")
    | {
        "roomtone_tier": "int64",
        "roomtone_reason": "string",
        "roomtone_pause_until": "timestamp",
        "roomtone_synced_at": "timestamp",
    },
    RECOVERY_EVENT: _FIRST
    | {
        "trigger_id": "string",
        "customer_id": "string",
        "trigger_kind": "string",
        "message_class": "string",
        "due_at": "timestamp",
        "expires_at": "timestamp",
        "payload": "string",
    },
    TICKET_ROUTING: _FIRST | {"priority": "string", "queue": "string", "tags": "string"},
}

# Whatever was written must be read again; the library's own limit of 128 KB is against files of strangers.
csv.field_size_limit(1 << 30)

# A spreadsheet takes a cell that begins so for a formula and runs it; a leading apostrophe makes it text.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def row_of(intent: Intent, now: datetime) -> Row:
    """One intent as a row of its kind's columns; instants are RFC 3339 text."""
    row: Row = {
        "intent_id": intent.intent_id,
        "kind": intent.kind,
        "subject_id": intent.subject_id,
        "as_of": rfc3339(intent.as_of),
    }
    payload = dict(intent.payload)
    if intent.kind == PROFILE_PROPERTIES:
        payload["roomtone_synced_at"] = rfc3339(now)
    elif intent.kind == RECOVERY_EVENT:
        payload |= {"trigger_kind": payload["kind"], "payload": canonical(intent.payload)}
    else:
        payload["tags"] = ",".join(payload["tags"])
    return row | {name: payload.get(name) for name in COLUMNS[intent.kind] if name not in row}


@dataclass(frozen=True)
class FileFormat:
    """`write` makes a whole file of one kind's rows, `read` gives them back by intent id."""

    ending: str
    write: Callable[[str, Iterable[Row]], bytes]
    read: Callable[[str, bytes], dict[str, Row]]


def guarded(text: str) -> str:
    """Text that no spreadsheet takes for a formula; one more apostrophe where it has some, so that it can be undone."""
    return f"'{text}" if text.lstrip("'").startswith(FORMULA_STARTS) else text


def _write_lines(kind: str, rows: Iterable[Row]) -> bytes:
    del kind  # lines carry their own names
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _read_lines(kind: str, content: bytes) -> dict[str, Row]:
    del kind
    rows = (json.loads(line) for line in content.decode().splitlines() if line)
    return {row["intent_id"]: row for row in rows}


def _write_csv(kind: str, rows: Iterable[Row]) -> bytes:
    """RFC 4180 in UTF-8, a header line, null as an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(COLUMNS[kind]))
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return guarded(value) if isinstance(value, str) else str(value)


def _read_csv(kind: str, content: bytes) -> dict[str, Row]:
    types = COLUMNS[kind]
    rows = csv.DictReader(io.StringIO(content.decode(), newline=""))
    read = ({name: _value(types[name], cell) for name, cell in row.items()} for row in rows)
    return {row["intent_id"]: row for row in read}


def _value(kind: str, cell: str) -> Any:
    if cell == "":
        return None
    if kind == "bool":
        return cell == "true"
    if kind == "int64":
        return int(cell)
    return cell[1:] if cell[0] == "'" and cell.lstrip("'").startswith(FORMULA_STARTS) else cell


def _write_parquet(kind: str, rows: Iterable[Row]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"string": pa.string(), "bool": pa.bool_(), "int64": pa.int64(), "timestamp": pa.timestamp("us", tz="UTC")}
    schema = pa.schema([(name, types[kind_of]) for name, kind_of in COLUMNS[kind].items()])
    instants = [name for name, kind_of in COLUMNS[kind].items() if kind_of == "timestamp"]
    table = pa.Table.from_pylist([row | {name: _instant(row[name]) for name in instants} for row in rows], schema)
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def _read_parquet(kind: str, content: bytes) -> dict[str, Row]:
    import pyarrow.parquet as pq

    rows = pq.read_table(io.BytesIO(content)).to_pylist()
    instants = [name for name, kind_of in COLUMNS[kind].items() if kind_of == "timestamp"]
    plain = (row | {name: row[name] and rfc3339(row[name]) for name in instants} for row in rows)
    return {row["intent_id"]: row for row in plain}


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


FORMATS: Mapping[str, FileFormat] = {
    "jsonl": FileFormat("jsonl", _write_lines, _read_lines),
    "csv": FileFormat("csv", _write_csv, _read_csv),
    "parquet": FileFormat("parquet", _write_parquet, _read_parquet),
}
