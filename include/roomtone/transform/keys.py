"""Where the raw records of given ids lie, found without reading everybody's.

No index of DuckDB's serves a join, and reading a column of ten million texts to find 500 of them costs more than all
that is computed from what was found. So a narrow table of hashed keys stands beside each raw one, with the place of
every record: numbers are read several times faster than texts. On PostgreSQL these are plain indexes.
"""

# ruff: noqa: S608 - every name in a query is from this file or its callers' constants

from collections.abc import Mapping, Sequence

import duckdb

from roomtone.stores.warehouse import Session

# As the macro `phone_digits` has it.
PHONE = "ltrim(translate(phone, ' +-()./', ''), '0')"

# Of each raw table the keys that it is searched by, as expressions over its columns.
KEYS: Mapping[str, Mapping[str, str]] = {
    "customers": {"id": "id", "email": "lower(trim(email))", "phone": PHONE},
    "tickets": {"id": "id", "customer_id": "customer_id", "merged_into": "merged_into", "order_id": "order_id"},
    "messages": {"id": "id", "ticket_id": "ticket_id"},
    "satisfaction_ratings": {"id": "id", "ticket_id": "ticket_id"},
    "orders": {"id": "id", "customer_id": "customer_id"},
    "shipments": {"id": "id", "order_id": "order_id"},
    "marketing_events": {"id": "id", "customer_id": "customer_id"},
    "message_scores": {"message_id": "message_id"},
    "message_concepts": {"message_id": "message_id"},
    "customer_risks": {"customer_id": "customer_id"},
}


def refresh(connection: Session, *, anew: bool = False) -> None:
    """Take the keys of what has landed since the last time, or, where `anew`, those of everything.

    Raw tables only ever grow, which keeps every record in its place; keys of one that did not are taken anew.
    """
    if not isinstance(connection, duckdb.DuckDBPyConnection):
        for table, keys in KEYS.items():
            for name, expression in keys.items():
                # Of a hash a text may be as long as it likes.
                connection.execute(
                    f"create index if not exists {table}_{name} on raw.{table} using hash (({expression}))"
                )
        return
    connection.execute("create schema if not exists keys")
    for table, keys in KEYS.items():
        columns = ", ".join(f"{_hash(expression)} as {name}" for name, expression in keys.items())
        places = f"select rowid as place, {columns} from raw.{table}"
        known = None if anew else _extent(connection, f"keys.{table}", "place")
        landed = _extent(connection, f"raw.{table}", "rowid")
        if known is None or landed is None or not _has_grown(known, landed):
            connection.execute(f"create or replace table keys.{table} as {places}")
        elif known < landed:
            connection.execute(f"insert into keys.{table} {places} where rowid >= {known[0]}")


def _has_grown(known: tuple[int, int], landed: tuple[int, int]) -> bool:
    """Whether the records whose keys are known are still where they were: no gap among them, nor among all of them."""
    return known <= landed and all(count == last + 1 for count, last in (known, landed))


def records(connection: Session, table: str, key: str, ids: str, columns: str = "*", *, versions: bool = False) -> str:
    """A query for `columns` of the rows of `raw.<table>` whose `key` is among `ids`, itself a query of one column.

    With `versions`, also for the other rows with their `id`. `columns` must be enough to compute `key` from, or all.
    """
    expression = KEYS[table][key]
    if not isinstance(connection, duckdb.DuckDBPyConnection):
        condition = f"{expression} in ({ids})"
        if versions:
            condition = f"id in (select id from raw.{table} where {condition})"
        return f"select {columns} from raw.{table} where {condition}"
    hashed = _hashed(key, ids)
    if versions:
        hashed = f"id in (select id from keys.{table} where {hashed})"
    condition = f"{expression} in ({ids})"
    if versions:
        condition = f"id in (select id from candidates where {condition})"
    # Two texts may share a hash: what was found by it is told apart by what it says.
    return (
        f"with candidates as materialized (select {columns} from raw.{table}"
        f" where rowid in (select place from keys.{table} where {hashed}))"
        f" select * from candidates where {condition}"
    )


def versions(connection: Session, table: str, key: str, ids: str, columns: Sequence[str], *, others: bool) -> str:
    """A query for versions of records in `raw.<table>`, as `records` gives them, with `record_hash`.

    On DuckDB the hash is null where no other row has the same `id` and `version_at`: it only tells those apart, and
    takes as long to read as all the rest. `others` is what `versions` is there.
    """
    if not isinstance(connection, duckdb.DuckDBPyConnection):
        return records(connection, table, key, ids, ", ".join((*columns, "record_hash")), versions=others)
    found = records(connection, table, key, ids, ", ".join(("rowid as place", *columns)), versions=others)
    return (
        f"with found as materialized ({found}), tied as (select place from found"
        " qualify count(*) over (partition by id, version_at) > 1),"
        f" hashes as (select rowid as place, record_hash from raw.{table} where rowid in (select place from tied))"
        " select found.* exclude (place), hashes.record_hash from found left join hashes using (place)"
    )


def places(table: str, ids: str) -> str:
    """A query for where in `raw.<table>` the records may lie whose `id` is among `ids`, on DuckDB: all of theirs, and
    of others those with the same hash.
    """
    return f"select place from keys.{table} where {_hashed('id', ids)}"


def _hashed(key: str, ids: str) -> str:
    return f"{key} in (select {_hash('ids.id')} from ({ids}) as ids(id))"


def _hash(expression: str) -> str:
    return f"cast(hash({expression}) & 4294967295 as uinteger)"


def _extent(connection: Session, table: str, place: str) -> tuple[int, int] | None:
    """How many rows a table has and the highest `place`, -1 where there is none; none where there is no table."""
    try:
        row = connection.execute(f"select count(*), coalesce(max({place}), -1) from {table}").fetchone()
    except duckdb.CatalogException:
        return None
    return None if row is None else (int(row[0]), int(row[1]))
