"""What is still under way, and who is paused, are found among everybody's settled profiles."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

# As the query has it that it serves.
_PAUSED = sa.text("kind = 'profile_properties' and payload like '%true%'")


def upgrade() -> None:
    # A status alone is the first column of the new index, a destination alone that of `ix_intents_subject`.
    op.drop_index("ix_intents_status", "intents")
    op.drop_index("ix_intents_destination", "intents")
    op.create_index("ix_intents_standing", "intents", ["status", "kind", "destination"])
    op.create_index(
        "ix_acknowledged_paused", "acknowledged", ["destination"], sqlite_where=_PAUSED, postgresql_where=_PAUSED
    )
