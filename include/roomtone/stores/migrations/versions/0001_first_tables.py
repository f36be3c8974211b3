"""The first tables of the operational store."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "passes",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("as_of", sa.DateTime, nullable=False),
        sa.Column("begun_at", sa.DateTime, nullable=False),
        sa.Column("scored_at", sa.DateTime),
        sa.Column("transformed_at", sa.DateTime),
        sa.Column("validated_at", sa.DateTime),
        sa.Column("is_valid", sa.Boolean),
        sa.Column("synced_at", sa.DateTime),
        sa.Column("published_at", sa.DateTime),
    )
    op.create_table(
        "extract_runs",
        sa.Column("extract_run_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("stream", sa.String, nullable=False),
        sa.Column("load_id", sa.String, nullable=False),
        sa.Column("count_read", sa.Integer, nullable=False),
        sa.Column("count_landed", sa.Integer, nullable=False),
        sa.Column("count_duplicate", sa.Integer, nullable=False),
        sa.Column("count_quarantined", sa.Integer, nullable=False),
        sa.Column("as_of", sa.DateTime, nullable=False),
        sa.Column("finished_at", sa.DateTime, nullable=False),
        sa.UniqueConstraint("load_id", "source", "stream"),
    )
    op.create_table(
        "landed_versions",
        sa.Column("source", sa.String, primary_key=True),
        sa.Column("stream", sa.String, primary_key=True),
        sa.Column("record_id", sa.String, primary_key=True),
        sa.Column("record_hash", sa.String, primary_key=True),
    )
    op.create_table(
        "landed_loads",
        sa.Column("source", sa.String, primary_key=True),
        sa.Column("load_id", sa.String, primary_key=True),
        sa.Column("indexed_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "policy_versions",
        sa.Column("family", sa.String, nullable=False),
        sa.Column("policy_id", sa.String, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("published_at", sa.DateTime, nullable=False),
        sa.Column("retired_at", sa.DateTime),
    )
    op.create_table(
        "overrides",
        sa.Column("override_id", sa.String, primary_key=True),
        sa.Column("customer_id", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("scopes", sa.String, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("starts_at", sa.DateTime, nullable=False),
        sa.Column("ends_at", sa.DateTime, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "validations",
        sa.Column("validation_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("pass_sequence", sa.Integer, nullable=False),
        sa.Column("boundary", sa.String, nullable=False),
        sa.Column("table_name", sa.String, nullable=False),
        sa.Column("is_valid", sa.Boolean, nullable=False),
        sa.Column("results", sa.Text, nullable=False),
        sa.Column("validated_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "sync_runs",
        sa.Column("sync_run_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("destination", sa.String, nullable=False),
        sa.Column("pass_sequence", sa.Integer, nullable=False),
        sa.Column("started_at", sa.DateTime, nullable=False),
        sa.Column("finished_at", sa.DateTime),
        sa.Column("total_rows", sa.Integer, nullable=False),
        sa.Column("successful_rows", sa.Integer, nullable=False),
        sa.Column("failed_rows", sa.Integer, nullable=False),
        sa.Column("skipped_rows", sa.Integer, nullable=False),
    )
    op.create_table(
        "intents",
        sa.Column("intent_id", sa.String, primary_key=True),
        sa.Column("destination", sa.String, nullable=False, index=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("subject_id", sa.String, nullable=False),
        sa.Column("vendor_id", sa.String),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("pass_sequence", sa.Integer, nullable=False),
        sa.Column("as_of", sa.DateTime, nullable=False),
        sa.Column("expires_at", sa.DateTime),
        sa.Column("status", sa.String, nullable=False, index=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("sent_at", sa.DateTime),
        sa.Column("done_at", sa.DateTime),
    )
    op.create_table(
        "acknowledged",
        sa.Column("destination", sa.String, primary_key=True),
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("subject_id", sa.String, primary_key=True),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("acknowledged_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "vendor_identities",
        sa.Column("destination", sa.String, primary_key=True),
        sa.Column("customer_id", sa.String, primary_key=True),
        sa.Column("vendor_id", sa.String),
        sa.Column("looked_up_at", sa.DateTime, nullable=False),
    )
