"""A warehouse on PostgreSQL, for whoever has outgrown one file: what loading and transform need of a connection to it."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from roomtone.errors import RoomtoneError

_ROWS_AT_A_TIME = 1000


class PostgresSession:
    """One connection. Each statement commits by itself outside `begin` and `commit`; parameters are `?`, as in DuckDB.

    Text must compare by its bytes there as it does in DuckDB, or ties between ids fall another way: a database with
    another collation than C is refused.
    """

    def __init__(self, url: str) -> None:
        address = sa.make_url(url)
        psycopg2 = _driver()
        try:
            self._connection = psycopg2.connect(**connection_arguments(url))
        except psycopg2.OperationalError as error:
            raise RoomtoneError(
                "warehouse",
                f"{address.render_as_string(hide_password=True)} does not answer ({str(error).splitlines()[0]})",
                "check ROOMTONE_WAREHOUSE_URL and that the server runs",
            ) from error
        self._connection.autocommit = True
        self.execute("set timezone = 'UTC'")
        collation = self.execute("select datcollate from pg_database where datname = current_database()").fetchone()
        if collation not in {("C",), ("C.UTF-8",), ("POSIX",)}:
            self.close()
            raise RoomtoneError(
                "warehouse",
                f"database {address.database} sorts text by {collation[0] if collation else 'an unknown rule'}",
                "make one with `createdb --template template0 --locale C`",
            )

    def execute(self, query: str, parameters: Sequence[object] = ()) -> Any:
        """A cursor with the answer."""
        cursor = self._connection.cursor()
        if parameters:
            cursor.execute(query.replace("%", "%%").replace("?", "%s"), list(parameters))
        else:
            cursor.execute(query)
        return cursor

    def executemany(self, query: str, rows: Sequence[Sequence[object]]) -> None:
        for row in rows:
            self.execute(query, row)

    def insert(self, table: str, rows: pa.Table) -> None:
        """Append Arrow rows to `table`, whose columns bear the same names."""
        from psycopg2.extras import execute_values  # type: ignore[import-untyped]

        columns = ", ".join(f'"{name}"' for name in rows.column_names)
        for batch in rows.to_batches(_ROWS_AT_A_TIME):
            values = [tuple(row[name] for name in rows.column_names) for row in batch.to_pylist()]
            with self._connection.cursor() as cursor:
                # Names come from the contract; what a customer wrote is bound.
                execute_values(cursor, f"insert into {table} ({columns}) values %s", values)  # noqa: S608

    def begin(self) -> None:
        self.execute("begin")

    def commit(self) -> None:
        self.execute("commit")

    def rollback(self) -> None:
        self.execute("rollback")

    def close(self) -> None:
        self._connection.close()


def connection_arguments(url: str) -> dict[str, Any]:
    """host, port, user, password and dbname of `postgresql://…`, those that it gives; `?host=` may be a socket folder."""
    address = sa.make_url(url)
    given = {
        "host": address.host or address.query.get("host"),
        "port": address.port,
        "user": address.username,
        "password": address.password,
        "dbname": address.database,
    }
    return {name: value for name, value in given.items() if value is not None}


def _driver() -> Any:
    try:
        import psycopg2  # type: ignore[import-untyped]
    except ImportError as error:
        raise RoomtoneError(
            "ROOMTONE_WAREHOUSE_URL", "the driver for PostgreSQL is not installed", "install roomtone[postgres]"
        ) from error
    return psycopg2
