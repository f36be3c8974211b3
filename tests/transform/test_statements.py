"""A pass whose statements are sent without dbt leaves what dbt would leave, and says the same when something fails."""

from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings, load_settings
from roomtone.stores import warehouse
from roomtone.stores.operational import OperationalStore, Pass
from roomtone.transform import build, statements, transform
from roomtone.transform.statements import Statement
from transform.histories import SCOPES, History, current_pass, fingerprints, query, write

TOM_WRITES = """
    insert into raw.loads values ('files', 'later', null);
    insert into raw.customers select * replace ('tom' as id, 'tom@example.com' as email, 'later' as load_id)
        from raw.customers where id = 'maya';
    insert into raw.tickets select * replace ('other' as id, 'tom' as customer_id, 'later' as load_id)
        from raw.tickets where id = 'ticket';
    insert into raw.messages select * replace (id || '-tom' as id, 'other' as ticket_id, 'later' as load_id)
        from raw.messages where ticket_id = 'ticket';
    insert into raw.message_scores select * replace (message_id || '-tom' as message_id, 'later' as load_id)
        from raw.message_scores;
"""


def begin(settings: Settings, hour: float) -> Pass:
    store = OperationalStore(settings)
    try:
        return store.begin_pass(current_pass(hour).as_of)
    finally:
        store.close()


def test_they_leave_what_dbt_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings({"ROOMTONE_HOME": str(tmp_path / "home")})
    history = History()
    history.policy("upset", {"sentiment": "negative", "min_confidence": 0.8}, SCOPES)
    history.customer("maya", "maya@example.com")
    history.ticket("ticket", "maya", (10, "new"))
    history.message("ticket", 10)
    write(settings, history, 20)
    assert transform(settings, begin(settings, 20)).whole_because
    assert not transform(settings, begin(settings, 21)).whole_because
    with warehouse.connect(settings) as connection:
        connection.execute(TOM_WRITES)

    with monkeypatch.context() as without_dbt:
        without_dbt.setattr(build, "_dbt_results", lambda *_, **__: pytest.fail("dbt was asked"))
        sent = transform(settings, begin(settings, 22))
    assert (sent.whole_because, sent.count_touched) == ("", 1)
    assert {row["customer_id"] for row in query(settings, "select customer_id from marts.dim_customers")} == {
        "maya",
        "tom",
    }
    left = fingerprints(settings)
    with warehouse.connect(settings) as connection:
        connection.execute("delete from raw.last_pass")
    assert transform(settings, begin(settings, 22)).whole_because == "no finished pass to go on from"
    assert fingerprints(settings) == left


def test_a_node_that_fails_is_named() -> None:
    model = Statement("model", "dim_things", "models/dim_things.sql", "create table things as select 1 as id")
    test = Statement("test", "grain_things", "models/dim_things.yml", "select id from things", ("dim_things",))
    wrong = Statement("model", "dim_more", "models/dim_more.sql", "select nothing from nowhere")
    with duckdb.connect() as connection:
        with pytest.raises(RoomtoneError, match="dbt test grain_things: Got 1 result, configured to fail if != 0"):
            statements.send(connection, [model, test])
        assert connection.execute("select count(*) from things").fetchone() == (1,), "the model before it stays"
        with pytest.raises(RoomtoneError, match=r"dbt model dim_more: .*nowhere.*; see models/dim_more.sql"):
            statements.send(connection, [wrong])


def test_what_reads_a_table_waits_for_it() -> None:
    second = Statement(
        "model", "sums", "models/sums.sql", "create table sums as select sum(range) from long", ("long",)
    )
    first = Statement("model", "long", "models/long.sql", "create table long as select range from range(20_000_000)")
    with duckdb.connect() as connection:
        assert statements.send(connection, [second, first]) == 2
        assert connection.execute("select * from sums").fetchone() == (199_999_990_000_000,)


def test_what_was_kept_for_another_project_is_not_sent(tmp_path: Path) -> None:
    sent = tmp_path / "sent.sql"
    sent.write_text("select 1")
    node = SimpleNamespace(
        unique_id="model.things",
        depends_on=SimpleNamespace(nodes=["source.raw.things", "model.parts"]),
        resource_type="model",
        name="things",
        original_file_path="models/things.sql",
        build_path=str(sent),
        config=SimpleNamespace(materialized="kept"),
    )
    reads_nothing = SimpleNamespace(nodes=[])
    part = SimpleNamespace(**vars(node) | {"unique_id": "model.parts", "name": "parts", "depends_on": reads_nothing})
    statements.keep(tmp_path, "one", [SimpleNamespace(node=part), SimpleNamespace(node=node)])
    assert statements.kept(tmp_path, "one") == [
        Statement("model", "parts", "models/things.sql", "select 1"),
        Statement("model", "things", "models/things.sql", "select 1", ("parts",)),
    ]
    assert statements.kept(tmp_path, "another") == []
    (tmp_path / "touched_statements.json").write_text("{")
    assert statements.kept(tmp_path, "one") == []

    node.config.materialized = "snapshot"
    statements.keep(tmp_path, "one", [SimpleNamespace(node=node)])
    assert statements.kept(tmp_path, "one") == [], "a kind that cannot be sent like this is left to dbt"
