"""DuckDB and PostgreSQL decide alike: the same history, a whole pass and then one over the touched, on each engine."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from roomtone.settings import Settings, load_settings
from roomtone.stores import warehouse
from roomtone.transform import touched
from transform.test_incremental import Growing

PASSES = 2


def _program(name: str) -> str | None:
    found = shutil.which(name)
    if found:
        return str(Path(found).resolve())
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(installed[-1]) if installed else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Address of a private PostgreSQL server, which the database's own rules do not let root run."""
    initdb, postgres = _program("initdb"), _program("postgres")
    if initdb is None or postgres is None:
        pytest.skip("PARITY NOT TESTED: no PostgreSQL server on the PATH or in /usr/lib/postgresql")
    user = "nobody" if os.geteuid() == 0 else None
    # Not below pytest's own folder: root alone may enter it, and a socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        data, port = Path(folder) / "data", _free_port()
        if user:
            shutil.chown(folder, user)
        command = [initdb, "-D", str(data), "--auth", "trust", "-U", "roomtone", "--locale", "C", "-E", "UTF8", "-N"]
        subprocess.run(command, check=True, capture_output=True, user=user, cwd="/")
        options = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": folder, "fsync": "off"}
        settings = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
        with subprocess.Popen(
            [postgres, "-D", str(data), *settings],
            user=user,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                _await(process)
                yield f"postgresql://roomtone@127.0.0.1:{port}/postgres"
            finally:
                process.terminate()
                process.wait(60)


def _await(process: "subprocess.Popen[bytes]") -> None:
    assert process.stderr is not None
    said = b""
    for line in process.stderr:
        said += line
        if b"ready to accept connections" in line:
            return
    raise AssertionError(f"PostgreSQL did not start: {said.decode()}")


def rows(settings: Settings) -> dict[str, list[tuple[object, ...]]]:
    """Every kept table's rows with their columns by name, so that an engine's order of columns does not matter."""
    found = {}
    with warehouse.session(settings) as connection:
        for name in touched.kept_names(connection):
            cursor = connection.execute(f"select * from {name}")
            columns = [column[0] for column in cursor.description]
            order = sorted(range(len(columns)), key=columns.__getitem__)
            table = [tuple((columns[place], row[place]) for place in order) for row in cursor.fetchall()]
            found[name] = sorted(table, key=repr)
    return found


def test_both_engines_leave_the_same_rows(server: str, tmp_path: Path) -> None:
    on_duckdb = Growing(load_settings({"ROOMTONE_HOME": str(tmp_path / "duckdb")}), 7, PASSES)
    on_postgres = Growing(
        load_settings({"ROOMTONE_HOME": str(tmp_path / "postgres"), "ROOMTONE_WAREHOUSE_URL": server}), 7, PASSES
    )
    for number, (scope, other) in enumerate(zip(on_duckdb.run(), on_postgres.run(), strict=True), 1):
        assert (scope.is_whole, scope.count_customers) == (other.is_whole, other.count_customers)
        expected, found = rows(on_duckdb.settings), rows(on_postgres.settings)
        assert found.keys() == expected.keys()
        for name, table in expected.items():
            assert found[name] == table, f"{name} differs after pass {number}"
    assert not scope.is_whole
