"""What people said of a message's mood."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "labels",
        sa.Column("message_id", sa.String, primary_key=True),
        sa.Column("body_hash", sa.String, primary_key=True),
        sa.Column("labelled_by", sa.String, primary_key=True),
        sa.Column("labelled_at", sa.DateTime, primary_key=True),
        sa.Column("sentiment", sa.String, nullable=False),
        sa.Column("source", sa.String, nullable=False),
    )
