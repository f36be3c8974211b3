"""Brings the operational store's tables to the newest revision with Alembic."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from roomtone.stores.locks import exclusive

_WAIT_SECONDS = 60.0
# Any number that nothing else in the database locks by.
_ADVISORY_KEY = 7_266_684


def upgrade(engine: sa.Engine) -> None:
    """Run the revisions that the store lacks; a store that is current costs one query."""
    config, scripts, head = _scripts()
    if _revision(engine) == head:
        return
    with _alone(engine):
        # Whoever waited here finds the work done.
        if _revision(engine) != head:
            _run(engine, config, scripts)


@cache
def _scripts() -> tuple[Config, ScriptDirectory, str | None]:
    """The revisions of this installation and the newest of them; reading them takes longer than asking a store."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    scripts = ScriptDirectory.from_config(config)
    return config, scripts, scripts.get_current_head()


def _revision(engine: sa.Engine) -> str | None:
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


@contextmanager
def _alone(engine: sa.Engine) -> Iterator[None]:
    """Several tasks open a fresh store at the same moment; one of them makes its tables."""
    if engine.dialect.name == "sqlite":
        database = Path(engine.url.database or "")
        with exclusive(database.with_name(database.name + ".lock"), "operational store", _WAIT_SECONDS):
            yield
        return
    with engine.connect() as connection:
        connection.execute(sa.text("select pg_advisory_lock(:key)"), {"key": _ADVISORY_KEY})
        try:
            yield
        finally:
            connection.execute(sa.text("select pg_advisory_unlock(:key)"), {"key": _ADVISORY_KEY})


def _run(engine: sa.Engine, config: Config, scripts: ScriptDirectory) -> None:
    """All revisions in one transaction: a full disk or a kill half-way leaves the tables as they were."""
    with engine.connect() as connection, EnvironmentContext(config, scripts) as environment:
        if engine.dialect.name == "sqlite":
            # Left to itself the driver commits before each change of a table.
            assert connection.connection.driver_connection is not None
            connection.connection.driver_connection.isolation_level = None
            connection.exec_driver_sql("begin immediate")
        environment.configure(
            connection=connection,
            fn=lambda revision, _: scripts._upgrade_revs("head", revision),  # noqa: SLF001 - as alembic's own commands do
            render_as_batch=True,
            transactional_ddl=True,
        )
        with environment.begin_transaction():
            environment.run_migrations()
        connection.commit()
        connection.detach()
