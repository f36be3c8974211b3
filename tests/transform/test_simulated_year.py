"""The simulated year that measurements stand on holds what it says."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from roomtone.settings import load_settings
from roomtone.stores import warehouse
from roomtone.transform.simulated_year import Year, write_year

ENDS_AT = datetime(2026, 3, 1, tzinfo=UTC)
YEAR = Year(ENDS_AT, customers=50, messages=400, sends=900, open_days=0)


def one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[object, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None
    return tuple(row)


@pytest.mark.parametrize("texts", [None, ["Where is it?", "Thank you so much"]])
def test_a_year_holds_what_it_says(tmp_path: Path, texts: list[str] | None) -> None:
    addresses = [f"somebody{number}@example.com" for number in range(YEAR.customers)]
    with warehouse.connect(load_settings({"ROOMTONE_HOME": str(tmp_path)})) as connection:
        write_year(connection, YEAR, addresses, texts)
        for stream, count in (("customers", 50), ("orders", 50), ("shipments", 50), ("messages", 400)):
            assert one(connection, f"select count(*) from raw.{stream}") == (count,), stream
        assert one(connection, "select count(*), count(distinct id) from raw.tickets") == (200, 100)
        assert one(connection, "select count(*) from raw.marketing_events") == (900,)
        assert one(connection, "select count(*), count(distinct email) from raw.customers") == (50, 50)
        said = one(connection, "select count(distinct body) from raw.messages")
        scored = one(connection, "select count(*) from raw.message_scores")
        # The customers' half of the messages is scored, or left to the model in force.
        assert (said, scored) == (((400,), (200,)) if texts is None else ((2,), (0,)))
        solved = one(connection, "select count(distinct id) from raw.tickets where status = 'solved'")
        assert solved == (100,)
        first, last = one(connection, "select min(created_at), max(created_at) from raw.tickets")
        ends = ENDS_AT.replace(tzinfo=None)
        assert isinstance(first, datetime)
        assert isinstance(last, datetime)
        assert ends - timedelta(days=366) < first < last < ends
