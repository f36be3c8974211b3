"""The operational store: what roomtone did and was told. SQLite in WAL mode by default, PostgreSQL past one machine.

Transactions belong here (outbox, acknowledged destination state, policy versions, overrides, passes); columns belong in
the warehouse, which reads small copies of these tables at the beginning of each pass.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.types import TypeDecorator

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings

# How long a process waits for another one's write: those of roomtone take milliseconds, a slow disk's a few seconds.
LOCK_WAIT_SECONDS = 30.0


class StoreLockedError(RoomtoneError):
    """Another process is within a write and does not end it; nothing was written, and the same may be tried again."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime, stored without zone on every database."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        del dialect  # one form for every database
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, dialect: sa.Dialect) -> datetime | None:
        del dialect
        return None if value is None else value.replace(tzinfo=UTC)


metadata = sa.MetaData()

passes = sa.Table(
    "passes",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("as_of", UtcDateTime, nullable=False),
    sa.Column("begun_at", UtcDateTime, nullable=False),
    sa.Column("scored_at", UtcDateTime),
    sa.Column("transformed_at", UtcDateTime),
    sa.Column("validated_at", UtcDateTime),
    sa.Column("is_valid", sa.Boolean),
    sa.Column("is_degraded", sa.Boolean),
    sa.Column("synced_at", UtcDateTime),
    sa.Column("published_at", UtcDateTime),
)

extract_runs = sa.Table(
    "extract_runs",
    metadata,
    sa.Column("extract_run_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("stream", sa.String, nullable=False),
    sa.Column("load_id", sa.String, nullable=False),
    sa.Column("count_read", sa.Integer, nullable=False),
    sa.Column("count_landed", sa.Integer, nullable=False),
    sa.Column("count_duplicate", sa.Integer, nullable=False),
    sa.Column("count_quarantined", sa.Integer, nullable=False),
    sa.Column("as_of", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("load_id", "source", "stream"),
)

# The index that tells a new version from a known one. It can be made again from the raw records.
landed_versions = sa.Table(
    "landed_versions",
    metadata,
    sa.Column("source", sa.String, primary_key=True),
    sa.Column("stream", sa.String, primary_key=True),
    sa.Column("record_id", sa.String, primary_key=True),
    sa.Column("record_hash", sa.String, primary_key=True),
)

landed_loads = sa.Table(
    "landed_loads",
    metadata,
    sa.Column("source", sa.String, primary_key=True),
    sa.Column("load_id", sa.String, primary_key=True),
    sa.Column("indexed_at", UtcDateTime, nullable=False),
)

# What webhooks brought, written before they are answered. The body goes once the raw store holds it; the row stays, so
# that the same delivery is known again.
inbox = sa.Table(
    "inbox",
    metadata,
    sa.Column("inbox_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("sender", sa.String, nullable=False),
    sa.Column("delivery_id", sa.String),
    sa.Column("content_hash", sa.String, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("received_at", UtcDateTime, nullable=False),
    sa.Column("landed_at", UtcDateTime, index=True),
    sa.UniqueConstraint("sender", "delivery_id"),
    sa.UniqueConstraint("sender", "content_hash"),
)

# One row: up to which delivery a pass was asked for, and up to which one was taken.
inbox_calls = sa.Table(
    "inbox_calls",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("called_id", sa.Integer, nullable=False),
    sa.Column("called_at", UtcDateTime, nullable=False),
    sa.Column("taken_id", sa.Integer, nullable=False),
)

# The last sign of life of each stage, by source or destination where it has several.
heartbeats = sa.Table(
    "heartbeats",
    metadata,
    sa.Column("stage", sa.String, primary_key=True),
    sa.Column("subject", sa.String, primary_key=True),
    sa.Column("succeeded_at", UtcDateTime),
    sa.Column("failed_at", UtcDateTime),
    sa.Column("failure", sa.Text, nullable=False, default=""),
)

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("alert_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("subject", sa.String, nullable=False),
    sa.Column("raised_at", UtcDateTime, nullable=False, index=True),
    sa.UniqueConstraint("kind", "subject"),
)

policy_versions = sa.Table(
    "policy_versions",
    metadata,
    sa.Column("family", sa.String, nullable=False),
    sa.Column("policy_id", sa.String, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.String, nullable=False),
    sa.Column("published_at", UtcDateTime, nullable=False),
    sa.Column("retired_at", UtcDateTime),
)

overrides = sa.Table(
    "overrides",
    metadata,
    sa.Column("override_id", sa.String, primary_key=True),
    sa.Column("customer_id", sa.String, nullable=False),
    sa.Column("action", sa.String, nullable=False),
    sa.Column("scopes", sa.String, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("starts_at", UtcDateTime, nullable=False),
    sa.Column("ends_at", UtcDateTime, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

validations = sa.Table(
    "validations",
    metadata,
    sa.Column("validation_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("pass_sequence", sa.Integer, nullable=False),
    sa.Column("boundary", sa.String, nullable=False),
    sa.Column("table_name", sa.String, nullable=False),
    sa.Column("is_valid", sa.Boolean, nullable=False),
    sa.Column("results", sa.Text, nullable=False),
    sa.Column("validated_at", UtcDateTime, nullable=False),
)

sync_runs = sa.Table(
    "sync_runs",
    metadata,
    sa.Column("sync_run_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("destination", sa.String, nullable=False),
    sa.Column("pass_sequence", sa.Integer, nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("total_rows", sa.Integer, nullable=False, default=0),
    sa.Column("successful_rows", sa.Integer, nullable=False, default=0),
    sa.Column("failed_rows", sa.Integer, nullable=False, default=0),
    sa.Column("skipped_rows", sa.Integer, nullable=False, default=0),
    sa.Column("epoch", sa.Integer),
    sa.Column("is_complete", sa.Boolean),
    sa.Column("newly_paused", sa.Integer),
    sa.Column("newly_paused_limit", sa.Integer),
    sa.Column("is_released", sa.Boolean),
    sa.Column("rolled_back_at", UtcDateTime),
)

# The outbox: one row for each effect owed to a destination, written before it is sent.
intents = sa.Table(
    "intents",
    metadata,
    sa.Column("intent_id", sa.String, primary_key=True),
    sa.Column("destination", sa.String, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("subject_id", sa.String, nullable=False),
    sa.Column("vendor_id", sa.String),
    sa.Column("fingerprint", sa.String, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("pass_sequence", sa.Integer, nullable=False),
    sa.Column("as_of", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("outcome", sa.Text, nullable=False, default=""),
    sa.Column("sent_at", UtcDateTime),
    sa.Column("done_at", UtcDateTime),
    # The sync run and the lease's epoch that last took it; `sent_at` is the first try, `tried_at` the last.
    sa.Column("sync_run_id", sa.Integer),
    sa.Column("epoch", sa.Integer),
    sa.Column("tried_at", UtcDateTime),
    sa.Column("accepted_at", UtcDateTime),
    # What the destination had acknowledged before: what a rollback restores. Null: it had acknowledged nothing.
    sa.Column("prior_payload", sa.Text),
    sa.Index("ix_intents_subject", "destination", "kind", "subject_id"),
    sa.Index("ix_intents_kind", "kind", "as_of"),
    sa.Index("ix_intents_standing", "status", "kind", "destination"),
)

# Of what is acknowledged, the profiles that hold something true: everybody else is calm. Said with constants, because
# an index over a part of a table serves only a query that says the same as it does.
PAUSED = "kind = 'profile_properties' and payload like '%true%'"

# What each destination has acknowledged: the state that the next plan is compared with.
acknowledged = sa.Table(
    "acknowledged",
    metadata,
    sa.Column("destination", sa.String, primary_key=True),
    sa.Column("kind", sa.String, primary_key=True),
    sa.Column("subject_id", sa.String, primary_key=True),
    sa.Column("fingerprint", sa.String, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("acknowledged_at", UtcDateTime, nullable=False),
    # Grows with every write of this destination and kind, so that a copy knows what it lacks.
    sa.Column("version", sa.Integer, nullable=False, default=0),
    sa.Index("ix_acknowledged_version", "destination", "kind", "version"),
    sa.Index("ix_acknowledged_paused", "destination", sqlite_where=sa.text(PAUSED), postgresql_where=sa.text(PAUSED)),
)

# What people said of a message's mood. A second answer of the same person is a row of its own: the later one counts.
labels = sa.Table(
    "labels",
    metadata,
    sa.Column("message_id", sa.String, primary_key=True),
    sa.Column("body_hash", sa.String, primary_key=True),
    sa.Column("labelled_by", sa.String, primary_key=True),
    sa.Column("labelled_at", UtcDateTime, primary_key=True),
    sa.Column("sentiment", sa.String, nullable=False),
    sa.Column("source", sa.String, nullable=False),
)

# Which vendor record a customer is at a destination; `vendor_id` is null where the destination was asked and has none.
vendor_identities = sa.Table(
    "vendor_identities",
    metadata,
    sa.Column("destination", sa.String, primary_key=True),
    sa.Column("customer_id", sa.String, primary_key=True),
    sa.Column("vendor_id", sa.String),
    sa.Column("looked_up_at", UtcDateTime, nullable=False),
)


@dataclass(frozen=True)
class Pass:
    """One run over the warehouse: everything in it is computed for `as_of`."""

    sequence: int
    as_of: datetime

    @property
    def pass_id(self) -> str:
        return f"pass-{self.sequence:08d}"


class OperationalStore:
    """Opens the operational store and brings its tables to the current revision."""

    def __init__(self, settings: Settings) -> None:
        self._engine = _engine(settings)
        _migrate(self._engine)

    @property
    def engine(self) -> sa.Engine:
        return self._engine

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """One transaction: committed when the block ends, rolled back when it raises.

        SQLite has one writer at a time: from the first statement that writes to the end of the block every other one
        waits. What takes long, a vendor's answer above all, is therefore had before the block. Raises StoreLockedError
        where another process stays within its write for longer than LOCK_WAIT_SECONDS.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.OperationalError as error:
            if _is_locked(error):
                raise _locked(self._engine) from error
            raise

    def close(self) -> None:
        self._engine.dispose()

    def begin_pass(self, as_of: datetime) -> Pass:
        """A new pass for `as_of`; its sequence number only ever grows."""
        with self.begin() as connection:
            result = connection.execute(passes.insert().values(as_of=as_of, begun_at=datetime.now(UTC)))
            key = result.inserted_primary_key
        assert key is not None
        return Pass(int(key[0]), as_of)

    def find_pass(self, sequence: int) -> Pass:
        with self.begin() as connection:
            row = connection.execute(sa.select(passes).where(passes.c.sequence == sequence)).one_or_none()
        if row is None:
            raise RoomtoneError("pass", f"{sequence} is not in the operational store", "begin one with `roomtone run`")
        return Pass(row.sequence, row.as_of)

    def mark_pass(self, current: Pass, stage: str, is_valid: bool | None = None) -> None:
        """Record that `stage` (scored, transformed, validated, synced, published) of a pass has finished."""
        values: dict[str, object] = {f"{stage}_at": datetime.now(UTC)}
        if is_valid is not None:
            values["is_valid"] = is_valid
        with self.begin() as connection:
            connection.execute(passes.update().where(passes.c.sequence == current.sequence).values(values))

    def mark_degraded(self, current: Pass) -> None:
        """Record that a pass was scored without the model that should have scored it: it fires no offers."""
        with self.begin() as connection:
            connection.execute(passes.update().where(passes.c.sequence == current.sequence).values(is_degraded=True))

    def pass_is_degraded(self, current: Pass) -> bool:
        with self.begin() as connection:
            query = sa.select(passes.c.is_degraded).where(passes.c.sequence == current.sequence)
            return connection.execute(query).scalar_one_or_none() is True

    def pass_is_valid(self, current: Pass) -> bool:
        with self.begin() as connection:
            query = sa.select(passes.c.is_valid).where(passes.c.sequence == current.sequence)
            return connection.execute(query).scalar_one_or_none() is True


def _engine(settings: Settings) -> sa.Engine:
    """An engine whose SQLite transactions take the lock of the writer with their first write, waiting for it in turn.

    A transaction that began as a reader and wrote later would be refused at once, without a wait, when somebody else
    wrote in between.
    """
    url = sa.make_url(settings.operational_url)
    is_sqlite = url.get_backend_name() == "sqlite"
    if is_sqlite and url.database:
        folder = Path(url.database).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RoomtoneError(
                "ROOMTONE_HOME", f"{folder} cannot be made ({error.strerror})", "choose a folder you may write to"
            ) from error
    # What an error says must not repeat the addresses and payloads that were bound.
    options = {"isolation_level": "IMMEDIATE", "timeout": LOCK_WAIT_SECONDS} if is_sqlite else {}
    engine = sa.create_engine(url, hide_parameters=True, connect_args=options)
    if is_sqlite:
        event.listen(engine, "connect", _set_sqlite_pragmas)
    elif engine.dialect.name == "postgresql":
        event.listen(engine, "connect", _end_stopped_transactions)
    return engine


def _set_sqlite_pragmas(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    # WAL lets readers go on while one writes; FULL keeps an acknowledged effect through a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _end_stopped_transactions(connection: Any, _: Any) -> None:
    """Has PostgreSQL take back what a process wrote that stopped before its commit: the rows are free again."""
    cursor = connection.cursor()
    cursor.execute(f"set idle_in_transaction_session_timeout = '{LOCK_WAIT_SECONDS:g}s'")
    cursor.close()
    connection.commit()


def _migrate(engine: sa.Engine) -> None:
    from roomtone.stores.migrations import upgrade

    try:
        upgrade(engine)
    except sa.exc.DatabaseError as error:
        if _is_locked(error):
            raise _locked(engine) from error
        raise RoomtoneError(
            "operational store",
            f"{engine.url.render_as_string(hide_password=True)} cannot be opened ({error.orig})",
            "check that it is a database roomtone may write to and that the disk has room",
        ) from error


def _is_locked(error: sa.exc.DatabaseError) -> bool:
    """Whether SQLite gave up its wait for another process; "locking protocol" is the same while its log is opened."""
    return any(words in str(error.orig) for words in ("database is locked", "locking protocol"))


def _locked(engine: sa.Engine) -> StoreLockedError:
    return StoreLockedError(
        "operational store",
        f"{engine.url.database} has been locked by another process for over {LOCK_WAIT_SECONDS:g} s",
        "continue or end the process that stopped within a write (`fuser` names it), then run again; "
        "PostgreSQL in ROOMTONE_OPERATIONAL_URL ends such a write by itself",
    )
