"""The inbox of webhooks, the signs of life of each stage, and the alerts that were raised."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "inbox",
        sa.Column("inbox_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("sender", sa.String, nullable=False),
        sa.Column("delivery_id", sa.String),
        sa.Column("content_hash", sa.String, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("received_at", sa.DateTime, nullable=False),
        sa.Column("landed_at", sa.DateTime, index=True),
        sa.UniqueConstraint("sender", "delivery_id"),
        sa.UniqueConstraint("sender", "content_hash"),
    )
    op.create_table(
        "inbox_calls",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("called_id", sa.Integer, nullable=False),
        sa.Column("called_at", sa.DateTime, nullable=False),
        sa.Column("taken_id", sa.Integer, nullable=False),
    )
    op.create_table(
        "heartbeats",
        sa.Column("stage", sa.String, primary_key=True),
        sa.Column("subject", sa.String, primary_key=True),
        sa.Column("succeeded_at", sa.DateTime),
        sa.Column("failed_at", sa.DateTime),
        sa.Column("failure", sa.Text, nullable=False),
    )
    op.create_table(
        "alerts",
        sa.Column("alert_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("raised_at", sa.DateTime, nullable=False, index=True),
        sa.UniqueConstraint("kind", "subject"),
    )
