"""The calls that an extraction or a sync has made a moment ago count for the next one too."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "vendor_calls",
        sa.Column("caller", sa.String, primary_key=True),
        sa.Column("ages", sa.Text, nullable=False),
        sa.Column("noted_at", sa.DateTime, nullable=False),
    )
