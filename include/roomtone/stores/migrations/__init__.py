"""Brings the operational store's tables to the newest revision with Alembic."""

from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory


def upgrade(engine: sa.Engine) -> None:
    """Run the revisions that the store lacks; a store that is current costs one query."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head()
    with engine.connect() as connection:
        if MigrationContext.configure(connection).get_current_revision() == head:
            return
    with engine.begin() as connection, EnvironmentContext(config, scripts) as environment:
        environment.configure(
            connection=connection,
            fn=lambda revision, _: scripts._upgrade_revs("head", revision),  # noqa: SLF001 - as alembic's own commands do
            render_as_batch=True,
        )
        with environment.begin_transaction():
            environment.run_migrations()
