"""Leases with epochs, the ledger of effects, account pins, holds, drift, and what a rollback needs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("passes", sa.Column("is_degraded", sa.Boolean))
    op.add_column("sync_runs", sa.Column("epoch", sa.Integer))
    op.add_column("sync_runs", sa.Column("is_complete", sa.Boolean))
    op.execute(sa.text("update sync_runs set is_complete = (finished_at is not null)"))
    op.add_column("sync_runs", sa.Column("newly_paused", sa.Integer))
    op.add_column("sync_runs", sa.Column("newly_paused_limit", sa.Integer))
    op.add_column("sync_runs", sa.Column("is_released", sa.Boolean))
    op.add_column("sync_runs", sa.Column("rolled_back_at", sa.DateTime))
    op.add_column("intents", sa.Column("sync_run_id", sa.Integer))
    op.add_column("intents", sa.Column("epoch", sa.Integer))
    op.add_column("intents", sa.Column("prior_payload", sa.Text))
    op.add_column("intents", sa.Column("tried_at", sa.DateTime))
    op.add_column("intents", sa.Column("accepted_at", sa.DateTime))
    op.create_index("ix_intents_subject", "intents", ["destination", "kind", "subject_id"])
    op.add_column("acknowledged", sa.Column("version", sa.Integer, nullable=False, server_default="0"))
    op.create_index("ix_acknowledged_version", "acknowledged", ["destination", "kind", "version"])
    op.create_table(
        "leases",
        sa.Column("destination", sa.String, primary_key=True),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("expires_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "lease_epochs",
        sa.Column("destination", sa.String, primary_key=True),
        sa.Column("epoch", sa.Integer, primary_key=True),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("claimed_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "effects",
        sa.Column("effect_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("intent_id", sa.String, nullable=False, index=True),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("destination", sa.String, nullable=False),
        sa.Column("sync_run_id", sa.Integer, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("vendor_id", sa.String, nullable=False),
        sa.Column("claimed_at", sa.DateTime, nullable=False),
        sa.Column("answered_at", sa.DateTime),
        sa.Column("answer", sa.String),
        sa.Column("words", sa.Text),
        sa.Column("data_as_of", sa.DateTime, nullable=False),
    )
    op.create_table(
        "account_pins",
        sa.Column("destination", sa.String, primary_key=True),
        sa.Column("account_id", sa.String, nullable=False),
        sa.Column("credential_hash", sa.String, nullable=False),
        sa.Column("pinned_at", sa.DateTime, nullable=False),
        sa.Column("checked_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "holds",
        sa.Column("hold_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("destination", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("count_held", sa.Integer, nullable=False),
        sa.Column("sync_run_id", sa.Integer, nullable=False),
        sa.Column("held_at", sa.DateTime, nullable=False),
        sa.Column("released_at", sa.DateTime),
        sa.Column("released_by", sa.String),
        sa.Column("ended_at", sa.DateTime),
    )
    op.create_table(
        "acknowledged_versions",
        sa.Column("destination", sa.String, primary_key=True),
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_table(
        "drifts",
        sa.Column("drift_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("destination", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("subject_id", sa.String, nullable=False, index=True),
        sa.Column("vendor_id", sa.String, nullable=False),
        sa.Column("property", sa.String, nullable=False),
        sa.Column("acknowledged", sa.Text),
        sa.Column("found", sa.Text),
        sa.Column("verdict", sa.String, nullable=False),
        sa.Column("found_at", sa.DateTime, nullable=False),
        sa.Column("repaired_at", sa.DateTime),
    )
    op.create_table(
        "promotional_sends",
        sa.Column("destination", sa.String, primary_key=True),
        sa.Column("send_id", sa.String, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("channel", sa.String, nullable=False),
        sa.Column("scope", sa.String),
        sa.Column("lacks", sa.Text, nullable=False),
        sa.Column("checked_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "source_reads",
        sa.Column("source", sa.String, primary_key=True),
        sa.Column("read_at", sa.DateTime, nullable=False),
    )
