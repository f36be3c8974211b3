"""What is still under way, and who is paused, are found among everybody's settled profiles."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


# As the query has it that it serves.
_PAUSED = sa.text("kind = 'profile_properties' and payload like '%true%'")


def upgrade() -> None:
    op.create_index("ix_intents_standing", "intents", ["kind", "status", "destination"])
    op.create_index(
        "ix_acknowledged_paused", "acknowledged", ["destination"], sqlite_where=_PAUSED, postgresql_where=_PAUSED
    )
