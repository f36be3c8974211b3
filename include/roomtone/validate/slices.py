"""What is new since the last validated pass, as temporary tables: the loads that no valid pass has looked at yet, and
the rows of the marts that this pass has computed.

What has been looked at is kept in the warehouse itself (`raw.validated_loads`, `raw.validated_pass`): when the
warehouse is rebuilt the lists are gone with it, and everything is looked at again.
"""

# ruff: noqa: S608 - every name in a query comes from the contract; values are bound

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import duckdb

from roomtone.contract import STREAMS
from roomtone.stores.operational import Pass
from roomtone.validate.boundary import existing_columns
from roomtone.validate.rules import Suite

# The rules ask whether these are filled, never what they say: only that survives in the slice.
_PERSONAL_COLUMNS = frozenset({"body", "subject", "name", "email", "phone", "payload"})

# What a hand or a disk has changed in rows that no pass computes is found within the hour.
_WHOLE_EVERY = timedelta(hours=1)
_SCORES = "raw.message_scores"


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
    """Make the temporary tables `new_loads`, `new_extract_runs`, `new_message_scores` and, for each stream,
    `new_<stream>`.
    """
    connection.execute(
        "create table if not exists raw.validated_loads (source varchar, load_id varchar, pass_sequence bigint)"
    )
    connection.execute("create table if not exists raw.validated_pass (pass_sequence bigint, whole_as_of timestamp)")
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
                f" select *{replaced} from raw.{stream} where load_id in (select load_id from new_loads)"
            )
    if "load_id" in known.get(_SCORES, frozenset()):
        connection.execute(
            f"create or replace temp table new_message_scores as select * from {_SCORES}"
            " where load_id in (select load_id from new_loads)"
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


def narrowed(connection: duckdb.DuckDBPyConnection, current: Pass, suites: Sequence[Suite]) -> list[Suite]:
    """The suites of the marts, each narrowed to the keys that this pass has computed, where a valid pass has looked at
    the rest. Two rows of one key stay two, whichever pass they are from.
    """
    if _last_whole(connection, current) is None:
        return list(suites)
    known = existing_columns(connection)
    return [_narrowed(connection, suite, known) for suite in suites]


def _narrowed(connection: duckdb.DuckDBPyConnection, suite: Suite, known: Mapping[str, frozenset[str]]) -> Suite:
    computed = f"touched.{suite.table.partition('.')[2]}"
    if not suite.key or not known.get(computed, frozenset()).issuperset(suite.key):
        return suite
    narrow = replace(suite, is_slice=True)
    # Keys first, then rows by their place: all columns of a few rows, and not of the whole table.
    connection.execute(
        f"create or replace temp table {narrow.rows} as select * from {suite.table}"
        f" where rowid in (select rowid from {suite.table} semi join {computed} using ({', '.join(suite.key)}))"
    )
    return narrow


def _last_whole(connection: duckdb.DuckDBPyConnection, current: Pass) -> datetime | None:
    """When the marts were last looked at as a whole, where that and what this pass has computed are all there is:
    None where another pass came between, or the hour is over.
    """
    try:
        row = connection.execute(
            "select whole_as_of from touched.since_pass join raw.validated_pass using (pass_sequence)"
        ).fetchone()
    except duckdb.CatalogException:  # a whole pass touches nobody in particular
        return None
    whole_as_of: datetime | None = row[0] if row else None
    as_of = current.as_of.astimezone(UTC).replace(tzinfo=None)
    return whole_as_of if whole_as_of is not None and as_of - whole_as_of < _WHOLE_EVERY else None


def remember(connection: duckdb.DuckDBPyConnection, current: Pass) -> None:
    """Note that a valid pass has looked at the new loads, and at the marts."""
    whole_as_of = _last_whole(connection, current) or current.as_of.astimezone(UTC).replace(tzinfo=None)
    connection.execute("insert into raw.validated_loads select source, load_id, ? from new_loads", [current.sequence])
    connection.execute("delete from raw.validated_pass")
    connection.execute("insert into raw.validated_pass values (?, ?)", [current.sequence, whole_as_of])
