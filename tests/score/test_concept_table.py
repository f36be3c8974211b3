"""`raw.message_concepts`: a row for every text of a customer's, whatever the order and the batches."""

import pyarrow as pa
import pytest

from roomtone.contract import STREAMS
from roomtone.score import concept_table, concepts
from roomtone.settings import Settings
from roomtone.stores import loading, warehouse
from transform.histories import History, Row, query, take_in, write


def history() -> History:
    found = History()
    found.customer("ann", "ann@example.com")
    found.ticket("t", "ann", (1, "new"))
    found.message("t", 1)
    found.message("t", 1, "positive", edited=9)
    found.reply("t", 2)
    found.message("t", 5)
    return found


def table(settings: Settings) -> list[Row]:
    return query(settings, "select message_id, body_hash, concepts from raw.message_concepts order by all")


def test_each_text_gets_its_row_once(settings: Settings) -> None:
    write(settings, history(), 10)
    rows = table(settings)
    assert [row["message_id"] for row in rows] == ["t-m1", "t-m1", "t-m5"]
    with warehouse.connect(settings) as connection:
        assert concept_table.refresh(connection, "again") == 0
        assert connection.execute("select count(*) from raw.loads where load_id = 'again'").fetchone() == (0,)
    assert table(settings) == rows


def test_batches_and_their_order_change_nothing(settings: Settings) -> None:
    write(settings, history(), 10)
    expected = table(settings)
    schema = STREAMS["messages"].landed_schema.append(pa.field("load_id", pa.string()))
    with warehouse.connect(settings) as connection:
        connection.execute("drop schema raw cascade")
        loading.ensure_raw_tables(connection)
        for number, row in enumerate(reversed(history().tables["messages"])):
            load = {"load_id": f"load-{number}"}
            warehouse.insert(connection, "raw.messages", pa.Table.from_pylist([row | load], schema))
            loading.mark_loaded(connection, "files", f"load-{number}")
            concept_table.refresh(connection, f"load-{number}-concepts")
    assert table(settings) == expected


def test_a_year_of_texts_is_read_in_parts(settings: Settings) -> None:
    """More than two parts of it: DuckDB has been seen to stop for ever in the query of one."""
    count = 45_000
    schema = STREAMS["messages"].landed_schema.append(pa.field("load_id", pa.string()))
    row = history().tables["messages"][0] | {"load_id": "year"}
    rows = [row | {"id": f"m{number}", "body": f"Where is order {number}?"} for number in range(count)]
    with warehouse.connect(settings) as connection:
        loading.ensure_raw_tables(connection)
        warehouse.insert(connection, "raw.messages", pa.Table.from_pylist(rows, schema))
        loading.mark_loaded(connection, "files", "year")
        assert concept_table.refresh(connection, "year-concepts") == count
        found = connection.execute("select count(distinct message_id) from raw.message_concepts").fetchone()
        assert found == (count,)


def test_another_list_of_concepts_reads_every_text_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    write(settings, history(), 10)
    monkeypatch.setattr(concepts, "version", lambda: "concepts-other")
    with warehouse.connect(settings) as connection:
        assert concept_table.refresh(connection, "other") == 3
        assert connection.execute("select distinct concepts_version, load_id from raw.message_concepts").fetchall() == [
            ("concepts-other", "other")
        ]
        assert connection.execute("select count(*) from raw.loads where load_id = 'other'").fetchone() == (1,)


def test_what_is_read_anew_touches_its_customer(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    known = history()
    for number in range(20):
        known.customer(f"c{number}", f"c{number}@example.com")
    streams = {name: rows for name, rows in known.tables.items() if rows}
    assert take_in(settings, streams, {}, 10, 1).is_whole
    assert take_in(settings, {}, {}, 11, 2).count_customers == 0
    monkeypatch.setattr(concepts, "version", lambda: "concepts-other")
    assert take_in(settings, {}, {}, 12, 3).count_customers == 1


def test_nothing_landed_is_no_trouble(settings: Settings) -> None:
    write(settings, History(), 10)
    assert table(settings) == []
