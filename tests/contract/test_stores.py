"""The stores: migrations equal the metadata, one process in the warehouse at a time, passes that only grow."""

import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings, load_settings
from roomtone.stores import warehouse
from roomtone.stores.ledger import metadata
from roomtone.stores.operational import PAUSED, OperationalStore, acknowledged, intents, passes

AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)

HOLD = """
import sys, time
from roomtone.settings import load_settings
from roomtone.stores import warehouse
with warehouse.connect(load_settings({"ROOMTONE_HOME": sys.argv[1]})) as connection:
    connection.execute("create or replace table held (n integer)")
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def holder(settings: Settings):
    """Starts processes that hold the warehouse for some seconds."""
    started = []

    def hold(seconds: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, str(settings.home), str(seconds)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()


def test_the_migrations_make_what_the_metadata_says(settings: Settings) -> None:
    store = OperationalStore(settings)
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.execute(sa.text("pragma journal_mode")).scalar() == "wal"


def test_what_each_pass_asks_for_is_found_by_an_index(settings: Settings) -> None:
    """Nine of ten intents and acknowledged profiles are settled and calm, and a large brand has a million of them."""
    under_way = sa.select(intents).where(
        intents.c.destination == "klaviyo",
        intents.c.kind == "profile_properties",
        intents.c.status.in_(("pending", "sending", "sent")),
    )
    paused = sa.select(acknowledged.c.destination, acknowledged.c.payload).where(sa.text(PAUSED))
    store = OperationalStore(settings)
    with store.engine.connect() as connection:
        for query, index in ((under_way, "ix_intents_standing"), (paused, "ix_acknowledged_paused")):
            text = str(query.compile(store.engine, compile_kwargs={"literal_binds": True}))
            [plan] = connection.exec_driver_sql(f"explain query plan {text}").all()
            assert f"USING INDEX {index}" in plan.detail
    store.close()


def test_a_pass_remembers_its_instant_and_its_verdict(settings: Settings) -> None:
    store = OperationalStore(settings)
    first, second = store.begin_pass(AS_OF), store.begin_pass(AS_OF)
    assert second.sequence > first.sequence
    assert store.find_pass(first.sequence) == first
    assert not store.pass_is_valid(first)
    store.mark_pass(first, "validated", is_valid=True)
    assert store.pass_is_valid(first)
    assert not store.pass_is_valid(second)
    with pytest.raises(RoomtoneError, match="99 is not in the operational store"):
        store.find_pass(99)


def test_a_failed_transaction_leaves_nothing(settings: Settings) -> None:
    store = OperationalStore(settings)

    def fail_half_way() -> None:
        with store.begin() as connection:
            connection.execute(passes.insert().values(as_of=AS_OF, begun_at=AS_OF))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    with store.begin() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(passes)).scalar() == 0


def test_an_operational_store_that_is_not_a_database_is_named(settings: Settings) -> None:
    settings.home.mkdir()
    (settings.home / "operational.db").write_text("this is no database, and long enough to be taken for one" * 50)
    with pytest.raises(RoomtoneError, match=r"operational store: .* cannot be opened"):
        OperationalStore(settings)


def test_a_second_process_waits_for_the_warehouse(settings: Settings, holder) -> None:
    holder(1.0)
    started = time.monotonic()
    with warehouse.connect(settings, wait_seconds=20) as connection:
        assert connection.execute("select count(*) from held").fetchone() == (0,)
    assert time.monotonic() - started > 0.5


def test_a_warehouse_that_stays_held_is_reported(settings: Settings, holder) -> None:
    holder(30)
    with (
        pytest.raises(RoomtoneError, match=r"warehouse: .*\.lock is held by another run"),
        warehouse.connect(settings, wait_seconds=0.3),
    ):
        pass


def test_reading_the_file_by_other_means_does_not_let_a_second_writer_in(settings: Settings) -> None:
    """POSIX drops a process's lock when it closes any descriptor of the file; the sidecar lock must still hold."""
    with warehouse.connect(settings) as connection:
        connection.execute("create table kept (n integer)")
        settings.warehouse_path.read_bytes()
        child = subprocess.run(
            [
                sys.executable,
                "-c",
                HOLD.replace(
                    'load_settings({"ROOMTONE_HOME": sys.argv[1]})',
                    'load_settings({"ROOMTONE_HOME": sys.argv[1]}), wait_seconds=0.5',
                ),
                str(settings.home),
                "0",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    assert "is held by another run" in child.stderr
    assert child.returncode != 0


def test_the_file_is_free_after_the_holder_was_killed(settings: Settings, holder) -> None:
    process = holder(60)
    process.kill()
    process.wait()
    with warehouse.connect(settings, wait_seconds=5) as connection:
        assert connection.execute("select count(*) from held").fetchone() == (0,)


def test_a_damaged_warehouse_names_the_remedy(settings: Settings) -> None:
    settings.home.mkdir()
    settings.warehouse_path.write_bytes(b"not a duckdb file" * 1000)
    with pytest.raises(RoomtoneError, match="roomtone rebuild"), warehouse.connect(settings, wait_seconds=0.2):
        pass


def test_only_one_module_opens_the_warehouse() -> None:
    root = Path(warehouse.__file__).parents[1]
    opening = {path.relative_to(root) for path in root.rglob("*.py") if "duckdb.connect(" in path.read_text()}
    # published.py opens the published copy, which no pass writes to.
    assert opening <= {Path("stores/warehouse.py"), Path("stores/published.py")}


def test_the_raw_tables_take_every_stream(settings: Settings) -> None:
    from roomtone.contract import STREAMS
    from roomtone.stores.loading import ensure_raw_tables

    connection = duckdb.connect()
    ensure_raw_tables(connection)
    ensure_raw_tables(connection)
    for name, stream in STREAMS.items():
        columns = [row[0] for row in connection.execute(f"describe raw.{name}").fetchall()]
        assert columns == [*stream.landed_schema.names, "load_id"]


def test_no_permission_is_one_clear_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    settings = load_settings({"ROOMTONE_HOME": str(blocked / "home")})
    with pytest.raises(RoomtoneError, match="choose a folder you may write to"):
        OperationalStore(settings)


def test_processes_that_open_a_fresh_store_together_all_succeed(settings: Settings) -> None:
    program = (
        "import sys; from roomtone.settings import load_settings;"
        "from roomtone.stores.operational import OperationalStore;"
        "OperationalStore(load_settings({'ROOMTONE_HOME': sys.argv[1]}))"
    )
    together = [
        subprocess.Popen([sys.executable, "-c", program, str(settings.home)], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [(process.wait(timeout=60), process.communicate()[1]) for process in together] == [(0, "")] * 4


def test_a_migration_cut_off_half_way_leaves_no_half_made_tables(settings: Settings) -> None:
    program = (
        "import resource, sys; from roomtone.settings import load_settings;"
        "from roomtone.stores.operational import OperationalStore;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000));"
        "OperationalStore(load_settings({'ROOMTONE_HOME': sys.argv[1]}))"
    )
    cut = subprocess.run(
        [sys.executable, "-c", program, str(settings.home)], capture_output=True, text=True, check=False
    )
    assert "operational store" in cut.stderr
    assert OperationalStore(settings).begin_pass(AS_OF).sequence == 1
