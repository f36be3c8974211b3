"""The records of given ids, found by their hashed keys, are those that reading every row would find."""

from collections.abc import Iterator

import duckdb
import pytest

from roomtone.stores import loading
from roomtone.transform import keys

LAND = "insert into raw.messages (id, ticket_id, version_at, load_id) values "
IDS = "select unnest(['t1', 't2'])"


@pytest.fixture
def warehouse() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        loading.ensure_raw_tables(connection)
        # m1 was moved to another ticket; m9 is of nobody's.
        connection.execute(
            LAND + "('m1', 't1', '2026-01-01', 'a'), ('m1', 't3', '2026-01-02', 'a'), ('m2', 't2', '2026-01-01', 'a'),"
            " ('m3', 't3', '2026-01-01', 'a'), ('m9', null, '2026-01-01', 'a')"
        )
        keys.refresh(connection)
        yield connection


def found(connection: duckdb.DuckDBPyConnection, *, versions: bool = False) -> list[tuple[str, str]]:
    query = keys.records(connection, "messages", "ticket_id", IDS, "id, ticket_id", versions=versions)
    return sorted(connection.execute(query).fetchall())


def test_a_record_is_found_and_its_versions_with_it(warehouse: duckdb.DuckDBPyConnection) -> None:
    assert found(warehouse) == [("m1", "t1"), ("m2", "t2")]
    assert found(warehouse, versions=True) == [("m1", "t1"), ("m1", "t3"), ("m2", "t2")]


def test_a_shared_hash_brings_in_nobody_else(
    warehouse: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_hash", lambda expression: f"cast(length({expression}) as uinteger)")
    keys.refresh(warehouse, anew=True)
    assert found(warehouse) == [("m1", "t1"), ("m2", "t2")]
    assert found(warehouse, versions=True) == [("m1", "t1"), ("m1", "t3"), ("m2", "t2")]


def test_what_lands_is_found_after_what_was_there(warehouse: duckdb.DuckDBPyConnection) -> None:
    warehouse.execute(LAND + "('m4', 't2', '2026-01-03', 'b')")
    keys.refresh(warehouse)
    assert found(warehouse) == [("m1", "t1"), ("m2", "t2"), ("m4", "t2")]
    keys.refresh(warehouse)
    assert warehouse.execute("select count(*), count(distinct place) from keys.messages").fetchone() == (6, 6)


@pytest.mark.parametrize("landed", ["", LAND + "('m4', 't2', '2026-01-03', 'b')"], ids=["fewer", "as many"])
def test_records_that_were_taken_away_leave_no_key(warehouse: duckdb.DuckDBPyConnection, landed: str) -> None:
    warehouse.execute("delete from raw.messages where id = 'm2'")
    warehouse.execute(landed or "select 1")
    keys.refresh(warehouse)
    assert found(warehouse) == [("m1", "t1"), *([("m4", "t2")] if landed else [])]
