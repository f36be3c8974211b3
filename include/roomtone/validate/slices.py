"""What is new since the last validated pass: the loads that no valid pass has looked at yet, as temporary tables.

Which loads have been looked at is kept in the warehouse itself (`raw.validated_loads`): when the warehouse is rebuilt
the list is gone with it, and everything is looked at again.
"""

# ruff: noqa: S608 - every name in a query comes from the contract; values are bound

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from roomtone.contract import STREAMS
from roomtone.stores.operational import Pass
from roomtone.validate.boundary import existing_columns

# The rules ask whether these are filled, never what they say: only that survives in the slice.
_PERSONAL_COLUMNS = frozenset({"body", "subject", "name", "email", "phone", "payload"})


@dataclass(frozen=True)
class ExtractCounts:
    """What one extract run counted for one stream (a row of the operational store's `extract_runs`)."""

    source: str
    stream: str
    load_id: str
    count_read: int
    count_landed: int
    count_duplicate: int
    count_quarantined: int


def prepare(connection: duckdb.DuckDBPyConnection, runs: Sequence[ExtractCounts]) -> None:
    """Make the temporary tables `new_loads`, `new_extract_runs` and, for each stream, `new_<stream>`."""
    connection.execute(
        "create table if not exists raw.validated_loads (source varchar, load_id varchar, pass_sequence bigint)"
    )
    known = existing_columns(connection)
    connection.execute("create or replace temp table new_loads (source varchar, load_id varchar)")
    if known.get("raw.loads", frozenset()).issuperset({"source", "load_id"}):
        connection.execute(
            "insert into new_loads select distinct source, load_id from raw.loads as loads"
            " where not exists (select 1 from raw.validated_loads as done"
            " where done.source = loads.source and done.load_id = loads.load_id)"
        )
    for stream in STREAMS:
        columns = known.get(f"raw.{stream}", frozenset())
        if columns.issuperset({"source", "load_id"}):
            masked = ", ".join(
                f'case when "{name}" is not null then \'\' end as "{name}"'
                for name in sorted(columns & _PERSONAL_COLUMNS)
            )
            replaced = f" replace ({masked})" if masked else ""
            connection.execute(
                f"create or replace temp table new_{stream} as"
                f" select *{replaced} from raw.{stream} semi join new_loads using (source, load_id)"
            )
    connection.execute(
        "create or replace temp table new_extract_runs (source varchar, stream varchar, load_id varchar,"
        " count_read bigint, count_landed bigint, count_duplicate bigint, count_quarantined bigint)"
    )
    if runs:
        connection.executemany(
            "insert into new_extract_runs values (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    run.source,
                    run.stream,
                    run.load_id,
                    run.count_read,
                    run.count_landed,
                    run.count_duplicate,
                    run.count_quarantined,
                )
                for run in runs
            ],
        )


def remember(connection: duckdb.DuckDBPyConnection, current: Pass) -> None:
    """Note that a valid pass has looked at the new loads."""
    connection.execute("insert into raw.validated_loads select source, load_id, ? from new_loads", [current.sequence])
