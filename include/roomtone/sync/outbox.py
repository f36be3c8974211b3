"""The outbox and what destinations have acknowledged: every write of a sync to the operational store.

An intent goes pending -> sending -> sent -> done. `sending` and `sent` are in doubt: the effect may have happened, so
that the next sync looks it up. It ends as done, rejected, expired, superseded or dead. Each time that it is handed over
is an effect of its own in the ledger, with the epoch of the lease under which it left.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from roomtone.stores.ledger import acknowledged_versions, effects, history_known_at
from roomtone.stores.operational import OperationalStore, Pass, acknowledged, intents, passes, sync_runs
from roomtone.sync.desired import RECOVERY_EVENT
from roomtone.sync.intent_rows import acknowledged_row, intent_row, read_intent
from roomtone.sync.lease import Lease
from roomtone.sync.plan import DEAD_AFTER, Intent, Latest, Plan
from roomtone.sync.report import KindCounts

OPEN = ("pending", "sending", "sent")
_CHUNK = 500


class Outbox:
    """The intents of one destination. With a lease, each write belongs to its epoch or fails with LeaseLostError."""

    def __init__(self, store: OperationalStore, destination: str, lease: Lease | None = None) -> None:
        self._store = store
        self._destination = destination
        self._lease = lease
        self._sync_run_id = 0

    def begin_run(self, current: Pass, now: datetime, is_released: bool = False) -> int:
        """A new sync run; returns its id."""
        values = {"destination": self._destination, "pass_sequence": current.sequence, "started_at": now}
        values |= {"epoch": self._epoch, "is_released": is_released}
        counts = {"total_rows": 0, "successful_rows": 0, "failed_rows": 0, "skipped_rows": 0}
        with self._writing() as connection:
            key = connection.execute(sync_runs.insert().values(**values, **counts)).inserted_primary_key
        assert key is not None
        self._sync_run_id = int(key[0])
        return self._sync_run_id

    @property
    def _epoch(self) -> int:
        return self._lease.epoch if self._lease else 0

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._store.begin() as connection:
            if self._lease:
                self._lease.guard(connection)
            yield connection

    def end_run(self, sync_run_id: int, now: datetime, total: KindCounts, is_complete: bool) -> None:
        """Notes a run's end, whether it did all it had to, and what became of its rows."""
        values = {
            "finished_at": now,
            "is_complete": is_complete,
            "total_rows": total.desired,
            "successful_rows": total.done,
            "failed_rows": total.rejected + total.in_doubt,
            "skipped_rows": total.skipped,
        }
        with self._store.begin() as connection:
            connection.execute(sync_runs.update().where(sync_runs.c.sync_run_id == sync_run_id).values(values))

    def note_newly_paused(self, count: int, limit: int) -> None:
        """Keeps how many customers this run newly pauses, and how many it might, for the median of later ones."""
        values = {"newly_paused": count, "newly_paused_limit": limit}
        with self._writing() as connection:
            connection.execute(sync_runs.update().where(sync_runs.c.sync_run_id == self._sync_run_id).values(values))

    def newly_paused_before(self, runs: int) -> list[int]:
        """How many customers each of the last `runs` finished runs newly paused."""
        columns = sync_runs.c
        query = (
            sa.select(columns.newly_paused)
            .where(
                columns.destination == self._destination,
                columns.newly_paused.is_not(None),
                columns.finished_at.is_not(None),
                columns.sync_run_id != self._sync_run_id,
            )
            .order_by(columns.sync_run_id.desc())
            .limit(runs)
        )
        with self._store.begin() as connection:
            return [int(row.newly_paused) for row in connection.execute(query)]

    def has_been_complete(self) -> bool:
        """Whether some earlier sync brought rows here and came to its end; before that, everything is new there.

        The history of a large brand arrives in parts, over several passes, and is new until a pass has known all of it.
        """
        columns = sync_runs.c
        query = (
            sa.select(sa.func.min(passes.c.as_of), sa.func.max(passes.c.as_of))
            .select_from(sync_runs.join(passes, passes.c.sequence == columns.pass_sequence))
            .where(
                columns.destination == self._destination,
                columns.is_complete.is_(True),
                columns.total_rows > 0,
                columns.sync_run_id != self._sync_run_id,
            )
        )
        with self._store.begin() as connection:
            first, last = connection.execute(query).one()
        if not isinstance(first, datetime) or not isinstance(last, datetime):
            return False
        known_at = history_known_at(self._store, first)
        return known_at is None or last >= known_at

    def count_acknowledged(self, kind: str) -> int:
        columns = acknowledged.c
        query = sa.select(sa.func.count()).where(columns.destination == self._destination, columns.kind == kind)
        with self._store.begin() as connection:
            return int(connection.execute(query).scalar_one())

    def fingerprints(self, kind: str, subject_ids: Iterable[str] | None = None) -> dict[str, str]:
        """Acknowledged fingerprint per subject: of all, or of those named."""
        columns = acknowledged.c
        query = sa.select(columns.subject_id, columns.fingerprint).where(
            columns.destination == self._destination, columns.kind == kind
        )
        found: dict[str, str] = {}
        with self._store.begin() as connection:
            if subject_ids is None:
                return {row.subject_id: row.fingerprint for row in connection.execute(query)}
            for part in _parts(sorted(set(subject_ids))):
                rows = connection.execute(query.where(columns.subject_id.in_(part)))
                found.update({row.subject_id: row.fingerprint for row in rows})
        return found

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
                        columns.vendor_id,
                    )
                    .where(columns.destination == self._destination, columns.kind == kind, columns.subject_id.in_(part))
                    .order_by(columns.pass_sequence, columns.intent_id)
                )
                for row in connection.execute(query):
                    newest = found.get(row.subject_id)
                    if newest is None or not newest.is_open:
                        found[row.subject_id] = Latest(
                            row.intent_id, row.fingerprint, row.status, row.attempts, row.done_at, row.vendor_id
                        )
            refused = [subject_id for subject_id, newest in found.items() if newest.status == "rejected"]
            for subject_id, fingerprint, count in self._refusals(connection, kind, refused):
                if found[subject_id].fingerprint == fingerprint:
                    found[subject_id] = replace(found[subject_id], refusals=count)
        return found

    def _refusals(
        self, connection: sa.Connection, kind: str, subject_ids: Sequence[str]
    ) -> Iterator[tuple[str, str, int]]:
        """How often each content was refused: subject, fingerprint, count."""
        columns = intents.c
        for part in _parts(subject_ids):
            query = (
                sa.select(columns.subject_id, columns.fingerprint, sa.func.count())
                .join(effects, effects.c.intent_id == columns.intent_id)
                .where(
                    columns.destination == self._destination,
                    columns.kind == kind,
                    columns.subject_id.in_(part),
                    effects.c.answer == "rejected",
                )
                .group_by(columns.subject_id, columns.fingerprint)
            )
            yield from (tuple(row) for row in connection.execute(query))  # type: ignore[misc]

    def unfinished(self, kind: str) -> list[Intent]:
        """Open intents, oldest pass first."""
        columns = intents.c
        query = (
            sa.select(intents)
            .where(columns.destination == self._destination, columns.kind == kind, columns.status.in_(OPEN))
            .order_by(columns.pass_sequence, columns.intent_id)
        )
        with self._store.begin() as connection:
            return [read_intent(row) for row in connection.execute(query)]

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

    def write(self, plan: Plan, priors: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Writes a plan in one transaction: new intents take the place of open ones about the same subjects.

        `priors`: per subject, what the destination has acknowledged; a rollback restores it.
        """
        table, columns = intents, intents.c
        known = priors or {}
        rows = [intent_row(intent, self._sync_run_id, known.get(intent.subject_id)) for intent in plan.intents]
        with self._writing() as connection:
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
            if rows:
                connection.execute(table.insert(), rows)

    def claim(self, batch: Sequence[Intent], now: datetime, data_as_of: datetime) -> list[Intent]:
        """Takes pending intents for sending and returns those that were there, each with its effect in the ledger.

        `now` is kept as the first try and the last, `data_as_of` as the age of what the decision rests on.
        """
        columns = intents.c
        with self._writing() as connection:
            pending: set[str] = set()
            for part in _parts([intent.intent_id for intent in batch]):
                query = sa.select(columns.intent_id).where(columns.intent_id.in_(part), columns.status == "pending")
                pending.update(connection.execute(query).scalars())
                connection.execute(
                    intents.update()
                    .where(columns.intent_id.in_(part), columns.status == "pending")
                    .values(
                        status="sending",
                        attempts=columns.attempts + 1,
                        sent_at=sa.func.coalesce(columns.sent_at, sa.bindparam("first", now, columns.sent_at.type)),
                        tried_at=now,
                        epoch=self._epoch,
                        sync_run_id=self._sync_run_id,
                    )
                )
            taken = [
                replace(i, status="sending", attempts=i.attempts + 1, sent_at=i.sent_at or now, tried_at=now)
                for i in batch
                if i.intent_id in pending
            ]
            if taken:
                connection.execute(effects.insert(), [self._effect(intent, now, data_as_of) for intent in taken])
        return taken

    def answer(self, intent_id_words: Mapping[str, str], answer: str, status: str, now: datetime) -> None:
        """Keeps a destination's answer about intents, with its words, in the ledger and as their status."""
        ends = status not in OPEN
        with self._writing() as connection:
            by_words: dict[str, list[str]] = {}
            for intent_id, words in intent_id_words.items():
                by_words.setdefault(words, []).append(intent_id)
            for words, ids in by_words.items():
                values: dict[str, Any] = {"status": status, "outcome": words}
                values |= {"done_at": now} if ends else {}
                values |= {"accepted_at": now} if answer == "accepted" else {}
                _set(connection, ids, values)
                for part in _parts(ids):
                    connection.execute(
                        effects.update()
                        .where(
                            effects.c.intent_id.in_(part),
                            effects.c.sync_run_id == self._sync_run_id,
                            effects.c.answered_at.is_(None),
                        )
                        .values(answer=answer, words=words, answered_at=now)
                    )

    def unclaim(self, intents_before: Sequence[Intent], words: Mapping[str, str]) -> None:
        """Puts intents back as they were before their claim, with the words why: nothing happened."""
        if not intents_before:
            return
        with self._writing() as connection:
            for intent in intents_before:
                said = words.get(intent.intent_id) or "not now"
                values = {"attempts": intent.attempts, "sent_at": intent.sent_at, "tried_at": intent.tried_at}
                _set(connection, [intent.intent_id], values | {"status": "pending", "outcome": said})
                connection.execute(
                    effects.delete().where(
                        effects.c.intent_id == intent.intent_id,
                        effects.c.attempt == intent.attempts + 1,
                        effects.c.sync_run_id == self._sync_run_id,
                    )
                )

    def accepted(self, intent_ids: Iterable[str]) -> set[str]:
        """Those of some intents that the destination has accepted."""
        found: set[str] = set()
        with self._store.begin() as connection:
            for part in _parts(list(intent_ids)):
                query = sa.select(intents.c.intent_id).where(
                    intents.c.intent_id.in_(part), intents.c.accepted_at.is_not(None)
                )
                found.update(connection.execute(query).scalars())
        return found

    def mark(self, intent_ids: Iterable[str], status: str, words: str, now: datetime | None = None) -> None:
        """Gives intents a status and says why. `now` where the status is an end."""
        chosen = list(intent_ids)
        if not chosen:
            return
        values: dict[str, Any] = {"status": status, "outcome": words}
        if now is not None:
            values["done_at"] = now
        with self._writing() as connection:
            _set(connection, chosen, values)

    def bury(self, kind: str, now: datetime) -> int:
        """Lays aside what was tried too often without an effect; returns how many."""
        columns = intents.c
        with self._writing() as connection:
            buried = connection.execute(
                intents.update()
                .where(
                    columns.destination == self._destination,
                    columns.kind == kind,
                    columns.status == "pending",
                    columns.attempts >= DEAD_AFTER,
                )
                .values(status="dead", outcome=f"tried {DEAD_AFTER} times without an effect", done_at=now)
            )
        return int(buried.rowcount)

    def readdress(self, vendor_ids: Mapping[str, str]) -> None:
        """Gives pending intents another record of the vendor: the one they were made for is gone."""
        with self._writing() as connection:
            for intent_id, vendor_id in vendor_ids.items():
                connection.execute(
                    intents.update()
                    .where(intents.c.intent_id == intent_id, intents.c.status == "pending")
                    .values(vendor_id=vendor_id, outcome="the record it was made for is gone")
                )

    def finish(self, finished: Sequence[Intent], now: datetime) -> None:
        """Marks intents done and their payloads acknowledged, at once. Events leave no state to acknowledge."""
        states: dict[str, list[dict[str, Any]]] = {}
        for intent in finished:
            if intent.kind != RECOVERY_EVENT:
                states.setdefault(intent.kind, []).append(acknowledged_row(intent, now))
        with self._writing() as connection:
            _set(
                connection,
                [intent.intent_id for intent in finished],
                {"status": "done", "outcome": "seen there", "done_at": now},
            )
            for kind, rows in sorted(states.items()):
                self._acknowledge(connection, kind, rows)

    def _acknowledge(self, connection: sa.Connection, kind: str, rows: Sequence[dict[str, Any]]) -> None:
        columns, versions = acknowledged.c, acknowledged_versions.c
        at = (versions.destination == self._destination, versions.kind == kind)
        moved = connection.execute(acknowledged_versions.update().where(*at).values(version=versions.version + 1))
        if moved.rowcount == 0:
            connection.execute(
                acknowledged_versions.insert().values(destination=self._destination, kind=kind, version=1)
            )
        version = int(connection.execute(sa.select(versions.version).where(*at)).scalar_one())
        for part in _parts([row["subject_id"] for row in rows]):
            connection.execute(
                acknowledged.delete().where(
                    columns.destination == self._destination, columns.kind == kind, columns.subject_id.in_(part)
                )
            )
        connection.execute(acknowledged.insert(), [row | {"version": version} for row in rows])

    def _effect(self, intent: Intent, now: datetime, data_as_of: datetime) -> dict[str, Any]:
        return {
            "intent_id": intent.intent_id,
            "attempt": intent.attempts,
            "destination": self._destination,
            "sync_run_id": self._sync_run_id,
            "epoch": self._epoch,
            "vendor_id": intent.vendor_id,
            "claimed_at": now,
            "data_as_of": data_as_of,
        }


def _set(connection: sa.Connection, intent_ids: Sequence[str], values: Mapping[str, Any]) -> None:
    for part in _parts(intent_ids):
        connection.execute(intents.update().where(intents.c.intent_id.in_(part)).values(dict(values)))


def _parts(keys: Sequence[str]) -> list[Sequence[str]]:
    return [keys[start : start + _CHUNK] for start in range(0, len(keys), _CHUNK)]
