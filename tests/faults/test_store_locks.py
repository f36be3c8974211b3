"""A store that a process keeps, stopped within a write or for a whole pass: who has to wait, how long, what is said."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
import sqlalchemy as sa

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings, load_settings
from roomtone.stores import operational, warehouse
from roomtone.stores.operational import OperationalStore, StoreLockedError, passes
from transform.test_parity import server as server  # noqa: PLC0414 - a fixture


@contextmanager
def stopped_within(write: Callable[[], None]) -> Iterator[int]:
    """A child that runs `write`, which must not return; it is ended with the block."""
    child = os.fork()
    if child == 0:
        try:
            write()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def stop_within_a_write(settings: Settings) -> None:
    store = OperationalStore(settings)
    with store.begin() as connection:
        connection.execute(passes.update().values(is_valid=False))
        os.kill(os.getpid(), signal.SIGSTOP)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = load_settings({"ROOMTONE_HOME": str(tmp_path / "home")})
    begin_pass(settings)
    return settings


def begin_pass(settings: Settings) -> int:
    store = OperationalStore(settings)
    try:
        return store.begin_pass(datetime.now(UTC)).sequence
    finally:
        store.close()


def test_a_store_that_stays_locked_is_named_and_can_still_be_read(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operational, "LOCK_WAIT_SECONDS", 0.2)
    with stopped_within(lambda: stop_within_a_write(settings)):
        began = time.monotonic()
        with pytest.raises(StoreLockedError) as locked:
            begin_pass(settings)
        assert time.monotonic() - began < 5
        assert str(locked.value).startswith(
            f"operational store: {settings.home / 'operational.db'} has been locked by another process for over 0.2 s; "
            "continue or end the process"
        )
        assert "\n" not in str(locked.value)
        store = OperationalStore(settings)
        assert store.find_pass(1).sequence == 1
        store.close()
    assert begin_pass(settings) == 2, "nothing was written while it was locked, and nothing is in the way now"


def test_who_waits_goes_on_once_the_stopped_process_does(settings: Settings) -> None:
    """It waits for longer than a lease of the trials lasts; what the other wrote is not lost."""

    def write() -> None:
        stop_within_a_write(settings)
        os._exit(0)

    with stopped_within(write) as child:
        waiting = os.fork()
        if waiting == 0:
            os._exit(begin_pass(settings))
        time.sleep(0.5)
        assert os.waitpid(waiting, os.WNOHANG) == (0, 0), "it waits"
        os.kill(child, signal.SIGCONT)
        assert os.waitstatus_to_exitcode(os.waitpid(waiting, 0)[1]) == 2
    store = OperationalStore(settings)
    with store.begin() as connection:
        kept = connection.execute(sa.select(passes.c.is_valid).order_by(passes.c.sequence)).scalars().all()
    store.close()
    assert kept == [False, None]


def test_postgresql_takes_back_what_a_stopped_process_wrote(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operational, "LOCK_WAIT_SECONDS", 0.5)
    url = server.replace("postgresql:", "postgresql+psycopg2:")
    settings = load_settings({"ROOMTONE_HOME": str(tmp_path / "home"), "ROOMTONE_OPERATIONAL_URL": url})
    begin_pass(settings)
    with stopped_within(lambda: stop_within_a_write(settings)):
        assert begin_pass(settings) == 2, "another row is not in the way at all"
        store = OperationalStore(settings)
        current = store.find_pass(1)
        store.mark_pass(current, "validated", is_valid=True)
        assert store.pass_is_valid(current)
        store.close()


def test_another_fault_of_the_store_is_not_called_a_lock(settings: Settings) -> None:
    store = OperationalStore(settings)
    with pytest.raises(sa.exc.OperationalError), store.begin() as connection:
        connection.exec_driver_sql("select * from nowhere")
    store.close()


def refused_in_a_child(settings: Settings) -> bool:
    """Whether another process cannot have the warehouse."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with suppress(RoomtoneError), warehouse.connect(settings, 0.2):
                code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_a_warehouse_that_is_kept_open_is_opened_once_and_held_until_the_end(settings: Settings) -> None:
    with warehouse.kept_open(settings):
        with warehouse.connect(settings) as connection:
            connection.execute("create table kept as select 1 as number")
            connection.execute("create temporary table passing as select 1 as number")
        with warehouse.connect(settings) as connection:
            assert connection.execute("select * from kept").fetchall() == [(1,)]
            with pytest.raises(duckdb.CatalogException, match="passing"):
                connection.execute("select * from passing")
        with warehouse.held(settings) as path, duckdb.connect(str(path), config={"threads": 1}) as other:
            other.execute("insert into kept values (2)")
        with warehouse.connect(settings) as connection:
            assert len(connection.execute("select * from kept").fetchall()) == 2
            connection.begin()
            connection.execute("delete from kept")
    with warehouse.connect(settings) as connection:
        assert len(connection.execute("select * from kept").fetchall()) == 2, "what was not committed is gone"


def test_who_wants_a_warehouse_that_is_kept_open_waits(settings: Settings, tmp_path: Path) -> None:
    taken, done = tmp_path / "taken", tmp_path / "done"
    child = os.fork()
    if child == 0:
        try:
            with warehouse.kept_open(settings):
                with warehouse.connect(settings):
                    taken.touch()
                while not done.exists():
                    time.sleep(0.02)
        finally:
            os._exit(0)
    while not taken.exists():
        time.sleep(0.02)
    assert refused_in_a_child(settings)
    done.touch()
    os.waitpid(child, 0)
    assert not refused_in_a_child(settings)
