"""The inbox of webhooks in the operational store: many senders append at once, one thread commits them together.

A delivery is acknowledged when its transaction is on the disk. Senders wait for one another's commit instead of each
for its own: fifty at a time cost one or two writes of the disk, not fifty.
"""

import hashlib
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from roomtone.stores.operational import OperationalStore, inbox, inbox_calls

_BATCH_ROWS = 500
_PAGE_ROWS = 500
_CALL = "react"
# A call that nobody has answered for so long may have been lost with the process that made it.
_CALL_AGAIN_AFTER = timedelta(seconds=30)
# How long a delivery is known again; vendors repeat theirs for a few days at most.
_KEPT = timedelta(days=14)


@dataclass(frozen=True)
class Delivery:
    """One verified request of a sender. `content` is what its signature covers, by which a replay is known again."""

    sender: str
    delivery_id: str | None
    content: bytes = field(repr=False)
    body: bytes = field(repr=False)
    received_at: datetime

    @property
    def content_hash(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Waiting:
    """A delivery that has not landed yet."""

    inbox_id: int
    sender: str
    body: bytes = field(repr=False)


class InboxWriter:
    """Appends deliveries from any thread; `on_commit` is called after each commit, in the writer's thread."""

    def __init__(self, store: OperationalStore, on_commit: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._on_commit = on_commit
        self._queue: queue.SimpleQueue[tuple[Delivery, Future[None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="inbox-writer", daemon=True)
        self._thread.start()

    def append(self, delivery: Delivery) -> "Future[None]":
        """A future that is done once the delivery is on the disk, and fails if it could not be written."""
        future: Future[None] = Future()
        self._queue.put((delivery, future))
        return future

    def close(self) -> None:
        """Write what was appended, then end."""
        self._queue.put(None)
        self._thread.join()

    def _write(self) -> None:
        is_open = True
        while is_open:
            waiting = [self._queue.get()]
            while len(waiting) < _BATCH_ROWS:
                try:
                    waiting.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            is_open = None not in waiting
            self._commit([entry for entry in waiting if entry is not None])

    def _commit(self, batch: list[tuple[Delivery, "Future[None]"]]) -> None:
        if not batch:
            return
        try:
            with self._store.begin() as connection:
                connection.execute(_insert_new(connection), [_row(delivery) for delivery, _ in batch])
        except Exception as error:  # noqa: BLE001 - each sender is told, and the thread lives on for the next ones
            for _, future in batch:
                future.set_exception(error)
            return
        for _, future in batch:
            future.set_result(None)
        self._on_commit()


def waiting_ids(store: OperationalStore, limit: int) -> list[int]:
    """Ids of the deliveries that have not landed, oldest first."""
    query = sa.select(inbox.c.inbox_id).where(inbox.c.landed_at.is_(None)).order_by(inbox.c.inbox_id).limit(limit)
    with store.begin() as connection:
        return list(connection.execute(query).scalars())


def read(store: OperationalStore, ids: list[int]) -> Iterator[Waiting]:
    """Those deliveries of these ids that still have not landed, in order, a page at a time."""
    for start in range(0, len(ids), _PAGE_ROWS):
        page = ids[start : start + _PAGE_ROWS]
        query = sa.select(inbox.c.inbox_id, inbox.c.sender, inbox.c.body).where(
            inbox.c.inbox_id.in_(page), inbox.c.landed_at.is_(None)
        )
        with store.begin() as connection:
            rows = connection.execute(query.order_by(inbox.c.inbox_id)).all()
        for row in rows:
            yield Waiting(row.inbox_id, row.sender, row.body)


def mark_landed(store: OperationalStore, ids: list[int], now: datetime) -> None:
    """The raw store holds these deliveries: their bodies go. Forgets rows that landed long ago."""
    for start in range(0, len(ids), _PAGE_ROWS):
        page = ids[start : start + _PAGE_ROWS]
        with store.begin() as connection:
            connection.execute(inbox.update().where(inbox.c.inbox_id.in_(page)).values(landed_at=now, body=b""))
    with store.begin() as connection:
        connection.execute(inbox.delete().where(inbox.c.landed_at < now - _KEPT))


def call_once(store: OperationalStore, now: datetime) -> bool:
    """Whether a pass has to be called for what waits: not while an earlier call is still to be answered."""
    with store.begin() as connection:
        newest = connection.execute(
            sa.select(sa.func.max(inbox.c.inbox_id)).where(inbox.c.landed_at.is_(None))
        ).scalar_one_or_none()
        call = connection.execute(sa.select(inbox_calls).where(inbox_calls.c.name == _CALL)).one_or_none()
        if newest is None:
            return False
        if call is None:
            connection.execute(inbox_calls.insert().values(name=_CALL, called_id=newest, called_at=now, taken_id=0))
            return True
        is_answered = call.taken_id >= call.called_id
        if newest <= call.taken_id or not (is_answered or call.called_at < now - _CALL_AGAIN_AFTER):
            return False
        connection.execute(
            inbox_calls.update().where(inbox_calls.c.name == _CALL).values(called_id=newest, called_at=now)
        )
        return True


def answer_call(store: OperationalStore, ids: list[int]) -> None:
    """A pass takes everything up to the last of `ids`: what comes from now on calls again."""
    newest = max(ids, default=0)
    with store.begin() as connection:
        connection.execute(
            inbox_calls.update()
            .where(inbox_calls.c.name == _CALL, inbox_calls.c.taken_id < newest)
            .values(taken_id=newest)
        )


@dataclass(frozen=True)
class InboxState:
    """How many deliveries wait, and since when the oldest of them does."""

    count_waiting: int
    oldest_at: datetime | None


def state(store: OperationalStore) -> InboxState:
    waits = inbox.c.landed_at.is_(None)
    with store.begin() as connection:
        count = connection.execute(sa.select(sa.func.count()).select_from(inbox).where(waits)).scalar_one()
        oldest: datetime | None = connection.execute(sa.select(sa.func.min(inbox.c.received_at)).where(waits)).scalar()
    return InboxState(count, oldest)


def newest_landed_at(store: OperationalStore) -> datetime | None:
    """When the delivery that landed last did so."""
    with store.begin() as connection:
        found: datetime | None = connection.execute(sa.select(sa.func.max(inbox.c.landed_at))).scalar()
    return found


def _row(delivery: Delivery) -> dict[str, object]:
    return {
        "sender": delivery.sender,
        "delivery_id": delivery.delivery_id,
        "content_hash": delivery.content_hash,
        "body": delivery.body,
        "received_at": delivery.received_at,
    }


def _insert_new(connection: sa.Connection) -> sa.Insert:
    """An insert that leaves a known delivery alone; both databases spell it the same way."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(inbox).on_conflict_do_nothing()
    return sqlite.insert(inbox).on_conflict_do_nothing()
