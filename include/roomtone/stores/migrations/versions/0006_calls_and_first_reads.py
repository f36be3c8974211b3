"""What one run tells the next: its calls of a moment ago, and whether it has come to the end of history."""

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
    op.create_table(
        "first_reads",
        sa.Column("source", sa.String, primary_key=True),
        sa.Column("began_at", sa.DateTime, nullable=False),
        sa.Column("ended_at", sa.DateTime),
    )
