"""Signs of life: when each stage last did its work, when it last failed, and the alerts that were raised."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings
from roomtone.stores.operational import OperationalStore, alerts, heartbeats

_KEPT = timedelta(days=30)


@dataclass(frozen=True)
class Heartbeat:
    """The last sign of life of one stage; `failure` is its last failure, empty once it has succeeded again."""

    stage: str
    subject: str
    succeeded_at: datetime | None
    failed_at: datetime | None
    failure: str


@dataclass(frozen=True)
class Alert:
    """Something that a person should know, told once."""

    kind: str
    subject: str
    raised_at: datetime


@contextmanager
def watched(settings: Settings, stage: str, subject: str = "") -> Iterator[None]:
    """Note whether the block succeeded or failed; what it raises goes on."""
    try:
        yield
    except Exception as error:
        # A vendor's or a database's own words may repeat what a customer wrote; roomtone's do not.
        failure = str(error) if isinstance(error, RoomtoneError) else type(error).__name__
        _note(settings, stage, subject, {"failed_at": datetime.now(UTC), "failure": failure})
        raise
    _note(settings, stage, subject, {"succeeded_at": datetime.now(UTC), "failure": ""})


def latest(store: OperationalStore) -> list[Heartbeat]:
    query = sa.select(heartbeats).order_by(heartbeats.c.stage, heartbeats.c.subject)
    with store.begin() as connection:
        return [Heartbeat(**row) for row in connection.execute(query).mappings()]


def raise_alert(store: OperationalStore, kind: str, subject: str, now: datetime) -> None:
    """Keep an alert; the same one again changes nothing. Alerts of long ago are forgotten."""
    row = {"kind": kind, "subject": subject, "raised_at": now}
    with store.begin() as connection:
        connection.execute(_insert(connection, alerts).on_conflict_do_nothing(), row)
        connection.execute(alerts.delete().where(alerts.c.raised_at < now - _KEPT))


def alerts_since(store: OperationalStore, since: datetime) -> list[Alert]:
    """Alerts raised at or after an instant, newest first."""
    query = sa.select(alerts.c.kind, alerts.c.subject, alerts.c.raised_at).where(alerts.c.raised_at >= since)
    with store.begin() as connection:
        return [Alert(**row) for row in connection.execute(query.order_by(alerts.c.raised_at.desc())).mappings()]


def _note(settings: Settings, stage: str, subject: str, values: dict[str, object]) -> None:
    store = OperationalStore(settings)
    try:
        with store.begin() as connection:
            statement = _insert(connection, heartbeats).values(stage=stage, subject=subject, **values)
            connection.execute(statement.on_conflict_do_update(index_elements=["stage", "subject"], set_=values))
    finally:
        store.close()


def _insert(connection: sa.Connection, table: sa.Table) -> "postgresql.Insert | sqlite.Insert":
    """An insert that may be told what to do on a conflict; both databases spell it the same way."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
