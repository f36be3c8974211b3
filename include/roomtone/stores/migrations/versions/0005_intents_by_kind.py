"""The few events and routings are found among many profiles."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_index("ix_intents_kind", "intents", ["kind", "as_of"])
