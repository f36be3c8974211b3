"""The outbox and what destinations have acknowledged: every write of a sync to the operational store.

An intent goes pending -> sending -> sent -> done. `sending` and `sent` are in doubt: the effect may have happened, so
that the next sync looks it up. It ends as done, rejected, expired or superseded.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from roomtone.stores.operational import OperationalStore, Pass, acknowledged, intents, sync_runs
from roomtone.sync.desired import RECOVERY_EVENT, canonical
from roomtone.sync.plan import Intent, Latest, Plan
from roomtone.sync.report import KindCounts

OPEN = ("pending", "sending", "sent")
_CHUNK = 500


class Outbox:
    """The intents of one destination. One sync at a time works on it."""

    def __init__(self, store: OperationalStore, destination: str) -> None:
        self._store = store
        self._destination = destination

    def begin_run(self, current: Pass, now: datetime) -> int:
        """A new sync run; returns its id."""
        values = {"destination": self._destination, "pass_sequence": current.sequence, "started_at": now}
        counts = {"total_rows": 0, "successful_rows": 0, "failed_rows": 0, "skipped_rows": 0}
        with self._store.begin() as connection:
            key = connection.execute(sync_runs.insert().values(**values, **counts)).inserted_primary_key
        assert key is not None
        return int(key[0])

    def end_run(self, sync_run_id: int, now: datetime, total: KindCounts) -> None:
        """Notes a run's end and what became of its rows."""
        values = {
            "finished_at": now,
            "total_rows": total.desired,
            "successful_rows": total.done,
            "failed_rows": total.rejected + total.in_doubt,
            "skipped_rows": total.skipped,
        }
        with self._store.begin() as connection:
            connection.execute(sync_runs.update().where(sync_runs.c.sync_run_id == sync_run_id).values(values))

    def fingerprints(self, kind: str) -> dict[str, str]:
        """Acknowledged fingerprint per subject."""
        columns = acknowledged.c
        query = sa.select(columns.subject_id, columns.fingerprint).where(
            columns.destination == self._destination, columns.kind == kind
        )
        with self._store.begin() as connection:
            return {row.subject_id: row.fingerprint for row in connection.execute(query)}

    def payloads(self, kind: str, subject_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Acknowledged payload per subject, for those that have one."""
        columns = acknowledged.c
        found = {}
        with self._store.begin() as connection:
            for part in _parts(sorted(set(subject_ids))):
                query = sa.select(columns.subject_id, columns.payload).where(
                    columns.destination == self._destination, columns.kind == kind, columns.subject_id.in_(part)
                )
                found.update({row.subject_id: json.loads(row.payload) for row in connection.execute(query)})
        return found

    def latest(self, kind: str, subject_ids: Iterable[str]) -> dict[str, Latest]:
        """The newest intent of each subject that has one; an open one counts as the newest."""
        columns = intents.c
        found: dict[str, Latest] = {}
        with self._store.begin() as connection:
            for part in _parts(sorted(set(subject_ids))):
                query = (
                    sa.select(
                        columns.subject_id,
                        columns.intent_id,
                        columns.fingerprint,
                        columns.status,
                        columns.attempts,
                        columns.done_at,
                    )
                    .where(columns.destination == self._destination, columns.kind == kind, columns.subject_id.in_(part))
                    .order_by(columns.pass_sequence, columns.intent_id)
                )
                for row in connection.execute(query):
                    newest = found.get(row.subject_id)
                    if newest is None or not newest.is_open:
                        found[row.subject_id] = Latest(
                            row.intent_id, row.fingerprint, row.status, row.attempts, row.done_at
                        )
        return found

    def unfinished(self, kind: str) -> list[Intent]:
        """Open intents, oldest pass first."""
        columns = intents.c
        query = (
            sa.select(intents)
            .where(columns.destination == self._destination, columns.kind == kind, columns.status.in_(OPEN))
            .order_by(columns.pass_sequence, columns.intent_id)
        )
        with self._store.begin() as connection:
            return [_read(row) for row in connection.execute(query)]

    def count_offers_since(self, since: datetime) -> int:
        """Marketing events that were sent, or may have been, at or after an instant."""
        columns = intents.c
        query = sa.select(columns.payload).where(
            columns.destination == self._destination,
            columns.kind == RECOVERY_EVENT,
            columns.attempts > 0,
            columns.status.in_(("sending", "sent", "done", "pending")),
            columns.sent_at >= since,
        )
        with self._store.begin() as connection:
            payloads = [json.loads(row.payload) for row in connection.execute(query)]
        return sum(payload.get("message_class") == "marketing" for payload in payloads)

    def write(self, plan: Plan) -> None:
        """Writes a plan in one transaction: new intents take the place of open ones about the same subjects."""
        table, columns = intents, intents.c
        with self._store.begin() as connection:
            _set(connection, plan.withdrawn, {"status": "superseded", "outcome": "no longer wanted"})
            by_kind: dict[str, list[str]] = {}
            for intent in plan.intents:
                by_kind.setdefault(intent.kind, []).append(intent.subject_id)
            for kind, subject_ids in by_kind.items():
                for part in _parts(subject_ids):
                    connection.execute(
                        table.update()
                        .where(
                            columns.destination == self._destination,
                            columns.kind == kind,
                            columns.subject_id.in_(part),
                            columns.status.in_(OPEN),
                        )
                        .values(status="superseded", outcome="a newer one took its place")
                    )
            for part in _parts([intent.intent_id for intent in plan.intents]):
                # The same pass may be planned again after a refusal or a withdrawal: the intent is the same one.
                connection.execute(table.delete().where(columns.intent_id.in_(part), columns.status != "done"))
            if plan.intents:
                connection.execute(table.insert(), [_row(intent) for intent in plan.intents])

    def claim(self, batch: Sequence[Intent], now: datetime) -> list[Intent]:
        """Takes pending intents for sending and returns those that were there. `now` is kept as the first try."""
        columns = intents.c
        taken = []
        with self._store.begin() as connection:
            for intent in batch:
                result = connection.execute(
                    intents.update()
                    .where(columns.intent_id == intent.intent_id, columns.status == "pending")
                    .values(status="sending", attempts=columns.attempts + 1, sent_at=intent.sent_at or now)
                )
                if result.rowcount == 1:
                    taken.append(
                        replace(intent, status="sending", attempts=intent.attempts + 1, sent_at=intent.sent_at or now)
                    )
        return taken

    def mark(self, intent_ids: Iterable[str], status: str, words: str, now: datetime | None = None) -> None:
        """Gives intents a status and says why. `now` where the status is an end."""
        values: dict[str, Any] = {"status": status, "outcome": words}
        if now is not None:
            values["done_at"] = now
        with self._store.begin() as connection:
            _set(connection, list(intent_ids), values)

    def finish(self, finished: Sequence[Intent], now: datetime) -> None:
        """Marks intents done and their payloads acknowledged, at once. Events leave no state to acknowledge."""
        states = [intent for intent in finished if intent.kind != RECOVERY_EVENT]
        columns = acknowledged.c
        with self._store.begin() as connection:
            _set(
                connection,
                [intent.intent_id for intent in finished],
                {"status": "done", "outcome": "seen there", "done_at": now},
            )
            for intent in states:
                connection.execute(
                    acknowledged.delete().where(
                        columns.destination == self._destination,
                        columns.kind == intent.kind,
                        columns.subject_id == intent.subject_id,
                    )
                )
            if states:
                connection.execute(acknowledged.insert(), [_acknowledged(intent, now) for intent in states])


def _set(connection: sa.Connection, intent_ids: Sequence[str], values: Mapping[str, Any]) -> None:
    for part in _parts(intent_ids):
        connection.execute(intents.update().where(intents.c.intent_id.in_(part)).values(dict(values)))


def _row(intent: Intent) -> dict[str, Any]:
    return {
        "intent_id": intent.intent_id,
        "destination": intent.destination,
        "kind": intent.kind,
        "subject_id": intent.subject_id,
        "vendor_id": intent.vendor_id,
        "fingerprint": intent.fingerprint,
        "payload": canonical(intent.payload),
        "pass_sequence": intent.pass_sequence,
        "as_of": intent.as_of,
        "expires_at": intent.expires_at,
        "status": intent.status,
        "attempts": intent.attempts,
        "outcome": "",
    }


def _acknowledged(intent: Intent, now: datetime) -> dict[str, Any]:
    return {
        "destination": intent.destination,
        "kind": intent.kind,
        "subject_id": intent.subject_id,
        "fingerprint": intent.fingerprint,
        "payload": canonical(intent.payload),
        "acknowledged_at": now,
    }


def _read(row: sa.Row[Any]) -> Intent:
    return Intent(
        intent_id=row.intent_id,
        destination=row.destination,
        kind=row.kind,
        subject_id=row.subject_id,
        vendor_id=row.vendor_id,
        fingerprint=row.fingerprint,
        payload=json.loads(row.payload),
        pass_sequence=row.pass_sequence,
        as_of=row.as_of,
        expires_at=row.expires_at,
        status=row.status,
        attempts=row.attempts,
        sent_at=row.sent_at,
    )


def _parts(keys: Sequence[str]) -> list[Sequence[str]]:
    return [keys[start : start + _CHUNK] for start in range(0, len(keys), _CHUNK)]
