"""A copy of the acknowledged profile properties in columns, beside the operational store that it is taken from.

A difference over a million rows reads every acknowledged row; a table of an OLTP database takes seconds to hand them
over. The copy is brought up to date by the rows that are newer than it, compared with the store by count and by the sum
of versions, and made again from nothing where these differ. It decides which rows are looked at, never what is sent:
every row that it calls changed is compared once more with the store itself.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import sqlalchemy as sa
from pyarrow import compute

from roomtone.settings import Settings
from roomtone.stores.operational import OperationalStore, acknowledged
from roomtone.sync.desired import PAUSES, PROFILE_PROPERTIES

_SCHEMA = pa.schema(
    [
        pa.field("subject_id", pa.string()),
        *(pa.field(pause, pa.bool_()) for pause in PAUSES),
        pa.field("roomtone_tier", pa.int32()),
        pa.field("roomtone_reason", pa.string()),
        pa.field("roomtone_pause_until", pa.timestamp("us")),
        # False: the payload holds something that these columns cannot say, so that it differs from every row.
        pa.field("is_plain", pa.bool_()),
        pa.field("version", pa.int64()),
    ]
)
_NAMES = frozenset({*PAUSES, "roomtone_tier", "roomtone_reason", "roomtone_pause_until"})


def acknowledged_profiles(settings: Settings, store: OperationalStore, destination: str) -> pa.Table:
    """The acknowledged profiles of a destination: subject_id, the properties of a payload, is_plain, version."""
    path = settings.home / "cache" / f"acknowledged-{destination}.arrow"
    held = _read(path)
    newest = _newest(held)
    with store.begin() as connection:
        wanted = _sums(connection, destination)
        fresh = held if len(held) and _sums_of(held) == wanted else _renewed(connection, destination, held, newest)
        if _sums_of(fresh) != wanted:
            fresh = _table(_rows(connection, destination, -1))
    if fresh is not held:
        _write(path, fresh)
    return fresh


def _newest(table: pa.Table) -> int:
    """The highest version in a copy, -1 for an empty one."""
    versions = table.column("version").to_numpy()
    return int(versions.max()) if len(versions) else -1


def _renewed(connection: sa.Connection, destination: str, held: pa.Table, newest: int) -> pa.Table:
    # Rows of the newest version known are read again: a copy may have been taken while others had it too.
    later = _table(_rows(connection, destination, newest - 1))
    kept = held.filter(
        compute.invert(compute.is_in(held["subject_id"], value_set=later["subject_id"].combine_chunks()))
    )
    return pa.concat_tables([kept, later]).combine_chunks()


def _sums(connection: sa.Connection, destination: str) -> tuple[int, int]:
    columns = acknowledged.c
    query = sa.select(
        sa.func.count().label("rows"), sa.func.coalesce(sa.func.sum(columns.version), 0).label("total")
    ).where(columns.destination == destination, columns.kind == PROFILE_PROPERTIES)
    row = connection.execute(query).mappings().one()
    return int(row["rows"]), int(row["total"])


def _sums_of(table: pa.Table) -> tuple[int, int]:
    return len(table), int(table.column("version").to_numpy().sum())


def _rows(connection: sa.Connection, destination: str, after: int) -> Iterable[tuple[str, str, int]]:
    columns = acknowledged.c
    query = sa.select(columns.subject_id, columns.payload, columns.version).where(
        columns.destination == destination, columns.kind == PROFILE_PROPERTIES, columns.version > after
    )
    return (tuple(row) for row in connection.execute(query.execution_options(yield_per=50_000)))  # type: ignore[misc]


def _table(rows: Iterable[tuple[str, str, int]]) -> pa.Table:
    # Most customers are calm, so that a few payloads stand for nearly all rows.
    parsed: dict[str, dict[str, Any]] = {}
    subjects, versions, payloads = [], [], []
    for subject_id, text, version in rows:
        subjects.append(subject_id)
        versions.append(version)
        payloads.append(parsed.get(text) or parsed.setdefault(text, _columns(json.loads(text))))
    columns = {name: [payload[name] for payload in payloads] for name in _SCHEMA.names[1:-1]}
    return pa.table({"subject_id": subjects, **columns, "version": versions}, schema=_SCHEMA)


def _columns(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A payload as columns; what does not fit is null, and `is_plain` false."""
    until, is_plain = _instant(payload.get("roomtone_pause_until"))
    pauses = {pause: payload.get(pause) for pause in PAUSES}
    tier, reason = payload.get("roomtone_tier"), payload.get("roomtone_reason")
    is_plain &= all(isinstance(value, bool) for value in pauses.values())
    is_plain &= isinstance(tier, int) and isinstance(reason, str) and payload.keys() == _NAMES
    return {
        **{pause: value if isinstance(value, bool) else None for pause, value in pauses.items()},
        "roomtone_tier": tier if isinstance(tier, int) else None,
        "roomtone_reason": reason if isinstance(reason, str) else None,
        "roomtone_pause_until": until,
        "is_plain": is_plain,
    }


def _instant(text: Any) -> tuple[datetime | None, bool]:
    if text is None:
        return None, True
    try:
        return datetime.fromisoformat(str(text)).replace(tzinfo=None), True
    except ValueError:
        return None, False


def _read(path: Path) -> pa.Table:
    """The copy on disk; an empty table where there is none, or one that cannot be read or is of another shape."""
    try:
        table = pyarrow.feather.read_table(path, memory_map=True)
    except (OSError, pa.ArrowInvalid):
        return _SCHEMA.empty_table()
    return table if table.schema.equals(_SCHEMA) else _SCHEMA.empty_table()


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    pyarrow.feather.write_feather(table, draft, compression="uncompressed")
    draft.replace(path)
