"""The tables of the operational store that keep the sync right: who may send, what was sent, what was held and found.

The outbox itself and the acknowledged state are in `operational.py`; a row here says something about them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import sqlalchemy as sa

from roomtone.stores.operational import OperationalStore, UtcDateTime, metadata

# Who may work on a destination now. Every write of a sync touches the row of its own epoch, so that two never overlap.
leases = sa.Table(
    "leases",
    metadata,
    sa.Column("destination", sa.String, primary_key=True),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("holder", sa.String, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
)

# Every epoch there ever was; they only grow.
lease_epochs = sa.Table(
    "lease_epochs",
    metadata,
    sa.Column("destination", sa.String, primary_key=True),
    sa.Column("epoch", sa.Integer, primary_key=True),
    sa.Column("holder", sa.String, nullable=False),
    sa.Column("claimed_at", UtcDateTime, nullable=False),
)

# One row for each time that an intent was handed to a destination, with the answer once there is one.
effects = sa.Table(
    "effects",
    metadata,
    sa.Column("effect_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("intent_id", sa.String, nullable=False, index=True),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("destination", sa.String, nullable=False),
    sa.Column("sync_run_id", sa.Integer, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("vendor_id", sa.String, nullable=False),
    sa.Column("claimed_at", UtcDateTime, nullable=False),
    sa.Column("answered_at", UtcDateTime),
    sa.Column("answer", sa.String),
    sa.Column("words", sa.Text),
    sa.Column("data_as_of", UtcDateTime, nullable=False),
)

# The account that a destination's credential opened at the first sync.
account_pins = sa.Table(
    "account_pins",
    metadata,
    sa.Column("destination", sa.String, primary_key=True),
    sa.Column("account_id", sa.String, nullable=False),
    sa.Column("credential_hash", sa.String, nullable=False),
    sa.Column("pinned_at", UtcDateTime, nullable=False),
    sa.Column("checked_at", UtcDateTime, nullable=False),
)

# What a guardrail held, until a person releases it or the reason is gone.
holds = sa.Table(
    "holds",
    metadata,
    sa.Column("hold_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("destination", sa.String, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("count_held", sa.Integer, nullable=False),
    sa.Column("sync_run_id", sa.Integer, nullable=False),
    sa.Column("held_at", UtcDateTime, nullable=False),
    sa.Column("released_at", UtcDateTime),
    sa.Column("released_by", sa.String),
    sa.Column("ended_at", UtcDateTime),
)

# How far the acknowledged state of a destination has moved on: the version of its newest row.
acknowledged_versions = sa.Table(
    "acknowledged_versions",
    metadata,
    sa.Column("destination", sa.String, primary_key=True),
    sa.Column("kind", sa.String, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
)

# Where a platform was found to hold something else than it had acknowledged.
drifts = sa.Table(
    "drifts",
    metadata,
    sa.Column("drift_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("destination", sa.String, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("subject_id", sa.String, nullable=False, index=True),
    sa.Column("vendor_id", sa.String, nullable=False),
    sa.Column("property", sa.String, nullable=False),
    sa.Column("acknowledged", sa.Text),
    sa.Column("found", sa.Text),
    sa.Column("verdict", sa.String, nullable=False),
    sa.Column("found_at", UtcDateTime, nullable=False),
    sa.Column("repaired_at", UtcDateTime),
)

# The live campaigns and flows of a platform as the last reconciliation saw them.
promotional_sends = sa.Table(
    "promotional_sends",
    metadata,
    sa.Column("destination", sa.String, primary_key=True),
    sa.Column("send_id", sa.String, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("channel", sa.String, nullable=False),
    sa.Column("scope", sa.String),
    sa.Column("lacks", sa.Text, nullable=False),
    sa.Column("checked_at", UtcDateTime, nullable=False),
)

# When each source was last read to its end; what a pass knows is as old as its oldest source.
source_reads = sa.Table(
    "source_reads",
    metadata,
    sa.Column("source", sa.String, primary_key=True),
    sa.Column("read_at", UtcDateTime, nullable=False),
)

# From when to when the history of a source was read for the first time; a large one takes several runs.
first_reads = sa.Table(
    "first_reads",
    metadata,
    sa.Column("source", sa.String, primary_key=True),
    sa.Column("began_at", UtcDateTime, nullable=False),
    sa.Column("ended_at", UtcDateTime),
)

# The calls to a vendor that still count towards its limits: each extraction and each sync is a process of its own.
vendor_calls = sa.Table(
    "vendor_calls",
    metadata,
    sa.Column("caller", sa.String, primary_key=True),
    sa.Column("ages", sa.Text, nullable=False),
    sa.Column("noted_at", UtcDateTime, nullable=False),
)


def note_calls(store: OperationalStore, caller: str, ages: Mapping[str, Sequence[float]], now: datetime) -> None:
    """Keep for the caller's next process, by what the vendor counts together, how many seconds old each call is."""
    with store.begin() as connection:
        connection.execute(vendor_calls.delete().where(vendor_calls.c.caller == caller))
        connection.execute(vendor_calls.insert().values(caller=caller, ages=json.dumps(ages), noted_at=now))


def calls_before(store: OperationalStore, caller: str, now: datetime) -> dict[str, list[float]]:
    """The ages that these calls have by now; of a clock that was put back they are as young as they were."""
    with store.begin() as connection:
        noted = connection.execute(sa.select(vendor_calls).where(vendor_calls.c.caller == caller)).one_or_none()
    if noted is None:
        return {}
    gone = max(0.0, (now - noted.noted_at).total_seconds())
    return {counted: [age + gone for age in ages] for counted, ages in json.loads(noted.ages).items()}


def note_source_read(store: OperationalStore, source: str, read_at: datetime) -> None:
    """Keep that `source` was read to its end, as of `read_at`."""
    with store.begin() as connection:
        connection.execute(source_reads.delete().where(source_reads.c.source == source))
        connection.execute(source_reads.insert().values(source=source, read_at=read_at))


def note_first_read(store: OperationalStore, source: str, as_of: datetime, *, is_finished: bool) -> None:
    """Keep that a run as of `as_of` began the history of `source`, or came to its end; later runs change nothing."""
    columns = first_reads.c
    with store.begin() as connection:
        known = connection.execute(sa.select(first_reads).where(columns.source == source)).one_or_none()
        if known is None:
            row = {"source": source, "began_at": as_of, "ended_at": as_of if is_finished else None}
            connection.execute(first_reads.insert().values(row))
        elif known.ended_at is None and is_finished:
            connection.execute(first_reads.update().where(columns.source == source).values(ended_at=as_of))


def history_known_at(store: OperationalStore, began_by: datetime) -> datetime | None:
    """The instant from which all history is known of the sources that were first read at `began_by` or before.

    None where there are none, the end of time while one of them is still being read.
    """
    query = sa.select(first_reads.c.ended_at).where(first_reads.c.began_at <= began_by)
    with store.begin() as connection:
        ended: list[datetime | None] = list(connection.execute(query).scalars())
    return max((at or datetime.max.replace(tzinfo=UTC) for at in ended), default=None)


def newest_source_read(store: OperationalStore, sources: Iterable[str]) -> datetime | None:
    """The instant up to which one of `sources` is known; None where none was ever read."""
    with store.begin() as connection:
        query = sa.select(sa.func.max(source_reads.c.read_at)).where(source_reads.c.source.in_(list(sources)))
        return connection.execute(query).scalar_one_or_none()


def oldest_source_read(store: OperationalStore, sources: Iterable[str]) -> datetime | None:
    """The instant up to which every one of `sources` that was ever read is known; None where none was."""
    with store.begin() as connection:
        query = sa.select(sa.func.min(source_reads.c.read_at)).where(source_reads.c.source.in_(list(sources)))
        return connection.execute(query).scalar_one_or_none()
