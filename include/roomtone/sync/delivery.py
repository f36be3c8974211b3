"""Takes intents to a destination: what may leave now is claimed, sent, answered and read back, batch by batch."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from roomtone.policies.guardrails import Guardrails
from roomtone.stores.operational import OperationalStore
from roomtone.sync import checkpoints, holds
from roomtone.sync.desired import PROFILE_PROPERTIES, RECOVERY_EVENT, DesiredRow, is_paused
from roomtone.sync.destinations.base import Answer, Destination, Idempotency
from roomtone.sync.guardrails import (
    MEDIAN_RUNS,
    NO_CONSENT,
    ROLLED_BACK,
    Situation,
    is_offer,
    newly_paused,
    pause_limit,
    timely,
    told,
)
from roomtone.sync.guardrails import holds as held_by
from roomtone.sync.outbox import Outbox
from roomtone.sync.plan import Intent
from roomtone.sync.report import KindCounts

_DAY = timedelta(days=1)
# A state that was set and cannot be seen is set again at once, then after this long, and twice as long each time.
_FIRST_PATIENCE = timedelta(seconds=5)
# A destination may show an effect a little after it has accepted it.
_READ_BACK_WAITS_SECONDS = (0.0, 0.3, 1.0, 2.0)
# More than so many are looked for at first and at last only: each look at a hundred is a call.
_FEW = 100
_PRIORITIES = ("low", "normal", "high", "urgent")
# Effects are looked for together, many to a page, and at the latest when so many are outstanding.
_READ_BACK_AT = 1000
# What each answer of a destination makes of an intent: its status, and the words where the destination has none.
_ANSWERED = {
    Answer.ACCEPTED: ("sent", "accepted"),
    Answer.REJECTED: ("rejected", "refused"),
    Answer.UNKNOWN: ("sent", "in doubt"),
}


@dataclass
class Delivery:
    """One sync's way to a destination. `facts` tells what holds at an instant, apart from the intents themselves.

    `channel_of`: the channel, email or sms, for which the rule of an offer needs consent. `is_awaited`: whether the
    next pass waits for this sync; what is no pause is then left to the sync of that pass, but for a batch.
    """

    store: OperationalStore
    outbox: Outbox
    target: Destination
    sync_run_id: int
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    rules: Callable[[datetime], Guardrails]
    facts: Callable[[datetime], Situation]
    is_released: bool
    channel_of: Callable[[Intent], str] = lambda _: "email"
    is_awaited: Callable[[], bool] = lambda: False
    notes: list[str] = field(default_factory=list)

    def settle(self, kind: str, counts: KindCounts) -> None:
        """Looks up what was tried before and never seen: seen is done, the rest may be sent again under the same id.

        Where a second call would be a second effect, an intent in doubt is not sent again before an effect would have
        become visible twice over; where nothing can be looked up at all, it is laid aside for a person. A state may be
        set twice, but a platform that shows a change a minute late may show none to whoever changes it each few
        seconds, so that the tries of one in doubt grow apart.
        """
        tried = [intent for intent in self.outbox.unfinished(kind) if intent.attempts > 0]
        if tried:
            seen = self.target.look_up(kind, tried) if self.target.can_read_back else set()
            checkpoints.reached("read_back")
            self._finish([intent for intent in tried if intent.intent_id in seen], counts)
            self._reopen(kind, [intent for intent in tried if intent.intent_id not in seen], counts)
        buried = self.outbox.bury(kind, self.now())
        if buried:
            self.notes.append(f"laid aside {buried} {kind}: tried too often without an effect; see `roomtone doctor`")

    def _reopen(self, kind: str, unseen: list[Intent], counts: KindCounts) -> None:
        now = self.now()
        if self.target.repeats(kind) is Idempotency.NONE:
            if not self.target.can_read_back:
                self.outbox.mark(
                    (i.intent_id for i in unseen if i.status != "pending"), "dead", "in doubt for ever", now
                )
                return
            waiting = {intent.intent_id for intent in unseen if not self._was_long_ago(intent, now)}
        else:
            waiting = {intent.intent_id for intent in unseen if self._may_become_visible(intent, now)}
        self.outbox.mark(waiting, "sent", "in doubt: may still become visible")
        counts.in_doubt += len(waiting)
        again = (intent.intent_id for intent in unseen if intent.intent_id not in waiting)
        self.outbox.mark(again, "pending", "tried before, not seen there")

    def _may_become_visible(self, intent: Intent, now: datetime) -> bool:
        """Whether the last try of a state, if nobody refused it, is too young for another one."""
        if (
            intent.status == "pending"
            or intent.tried_at is None
            or intent.attempts < 2
            or not self.target.can_read_back
        ):
            return False
        patience: timedelta = min(self.target.visibility_lag, _FIRST_PATIENCE * 2 ** (intent.attempts - 2))
        return now - intent.tried_at < patience

    def readdress(self, rows: Sequence[DesiredRow]) -> None:
        """Gives open events the customer's present record where the one they were made for has gone.

        An event that was tried may have moved there together with the customer, and is looked for that long.
        """
        events = {row.subject_id: row for row in rows}
        pending = [
            intent
            for intent in self.outbox.unfinished(RECOVERY_EVENT)
            if intent.status == "pending" and intent.subject_id in events
        ]
        now = self.now()
        present = self.target.vendor_ids([events[intent.subject_id] for intent in pending], now)
        moved = [i for i in pending if present.get(i.subject_id, i.vendor_id) != i.vendor_id]
        waiting = [i.intent_id for i in moved if i.attempts > 0 and not self._was_long_ago(i, now)]
        self.outbox.mark(waiting, "sent", "in doubt: the record it was sent to is gone")
        self.outbox.readdress({i.intent_id: present[i.subject_id] for i in moved if i.intent_id not in set(waiting)})

    def _was_long_ago(self, intent: Intent, now: datetime) -> bool:
        return intent.tried_at is None or now - intent.tried_at >= 2 * self.target.visibility_lag

    def deliver(self, kind: str, wanted: set[str], vanished: frozenset[str], counts: KindCounts) -> None:
        """Sends the open intents of a kind about the subjects `wanted`; what nobody wants any more is dropped."""
        open_intents = self.outbox.unfinished(kind)
        now = self.now()
        unwanted = [intent for intent in open_intents if intent.subject_id not in wanted]
        expired = [intent for intent in open_intents if intent.expires_at is not None and intent.expires_at <= now]
        late = {intent.intent_id for intent in expired}
        # An event in doubt that nobody wants any more is not sent again; it is looked for until it expires.
        in_doubt = [i for i in unwanted if i.kind == RECOVERY_EVENT and i.attempts > 0 and i.intent_id not in late]
        doubtful = {intent.intent_id for intent in in_doubt}
        dropped = [i for i in unwanted if i.intent_id not in doubtful and i.intent_id not in late]
        self.outbox.mark((i.intent_id for i in dropped), "superseded", "no longer wanted", now)
        self.outbox.mark(late, "expired", "too late to send", now)
        self.outbox.mark(doubtful, "sent", "not seen there, and no longer wanted")
        aside = {intent.intent_id for intent in unwanted} | late
        sendable = [i for i in open_intents if i.intent_id not in aside and i.status == "pending"]
        held = self._held(kind, sendable, vanished, now)
        counts.skipped += len(held) + len(expired)
        counts.in_doubt += len(in_doubt)
        urgent_first = sorted((i for i in sendable if i.intent_id not in held), key=_urgency, reverse=True)
        answered: list[Intent] = []
        count_left = len(urgent_first)
        for batch in self.target.batches(kind, urgent_first):
            if kind != PROFILE_PROPERTIES and count_left < len(urgent_first) and self.is_awaited():
                counts.skipped += count_left
                self.notes.append(f"left {count_left} {kind} to the next sync: a pass waits for this one")
                break
            count_left -= len(batch)
            answered += self._send(kind, batch, counts)
            if len(answered) >= _READ_BACK_AT:
                self._read_back(kind, answered, counts)
                answered = []
        self._read_back(kind, answered, counts)

    def _held(self, kind: str, intents: Sequence[Intent], vanished: frozenset[str], now: datetime) -> dict[str, str]:
        held: dict[str, str] = {}
        if intents:
            situation = replace(
                self.facts(now),
                count_held=self.outbox.count_acknowledged(kind),
                is_first=not self.outbox.has_been_complete(),
                offers_today=self.outbox.count_offers_since(now - _DAY) if kind == RECOVERY_EVENT else 0,
                held_payloads=self.outbox.payloads(kind, (intent.subject_id for intent in intents)),
                vanished=vanished,
                newly_paused_before=self.outbox.newly_paused_before(MEDIAN_RUNS),
                released=holds.released_reasons(self.store, self.target.name, kind),
                is_rolled_back=any(
                    hold.kind == kind and hold.reason == ROLLED_BACK
                    for hold in holds.open_holds(self.store, self.target.name)
                ),
            )
            rules = self.rules(now)
            held = held_by(rules, situation, intents, self.is_released)
            if kind == PROFILE_PROPERTIES and not situation.is_first:
                added = [i for i in newly_paused(intents, situation) if i.intent_id not in held]
                self.outbox.note_newly_paused(len(added), pause_limit(rules, situation))
        self._keep_back(kind, held)
        holds.note(self.store, self.target.name, kind, held, sync_run_id=self.sync_run_id, now=now)
        return held

    def _keep_back(self, kind: str, held: Mapping[str, str]) -> None:
        for reason in sorted(set(held.values())):
            self.outbox.mark((i for i, why in held.items() if why == reason), "pending", f"held: {reason}")
        self.notes.extend(told(kind, held))

    def _send(self, kind: str, batch: list[Intent], counts: KindCounts) -> list[Intent]:
        """Sends one batch; returns the intents whose effect is to be looked for."""
        now = self.now()
        late = {intent.intent_id for intent in batch if intent.expires_at is not None and intent.expires_at <= now}
        self.outbox.mark(late, "expired", "too late to send", now)
        in_time = [intent for intent in batch if intent.intent_id not in late]
        # What was true when the sync began may not be true when its last batch leaves.
        situation = replace(
            self.facts(now), held_payloads=self.outbox.payloads(kind, (intent.subject_id for intent in in_time))
        )
        held = timely(self.rules(now), situation, in_time)
        held |= self._without_consent([intent for intent in in_time if intent.intent_id not in held])
        self._keep_back(kind, held)
        counts.skipped += len(late) + len(held)
        ready = [intent for intent in in_time if intent.intent_id not in held]
        claimed = self.outbox.claim(ready, now, situation.as_of)
        if not claimed:
            return []
        checkpoints.reached("claimed")
        outcomes = self.target.send(kind, claimed, now)
        checkpoints.reached("sent")
        words: dict[Answer, dict[str, str]] = {answer: {} for answer in Answer}
        for outcome in outcomes:
            words[outcome.answer][outcome.intent_id] = outcome.words
        now = self.now()
        for answer, (status, otherwise) in _ANSWERED.items():
            said = {intent_id: text or otherwise for intent_id, text in words[answer].items()}
            if answer is Answer.UNKNOWN:
                said = {intent_id: f"in doubt: {text}" for intent_id, text in said.items()}
            self.outbox.answer(said, answer.value, status, now)
        untouched = words[Answer.DEFERRED] | words[Answer.GONE]
        self.outbox.unclaim([intent for intent in ready if intent.intent_id in untouched], untouched)
        checkpoints.reached("answer_recorded")
        refusals = Counter(words[Answer.REJECTED].values())
        self.notes.extend(f"rejected {count} {kind}: {said}" for said, count in refusals.most_common(3))
        counts.rejected += len(words[Answer.REJECTED])
        counts.skipped += len(untouched)
        answered = words[Answer.ACCEPTED].keys() | words[Answer.UNKNOWN].keys()
        return [intent for intent in claimed if intent.intent_id in answered]

    def _without_consent(self, intents: Sequence[Intent]) -> dict[str, str]:
        """The offers to people whose consent the platform does not hold now, whatever the pass knew of it."""
        held: dict[str, str] = {}
        offers = [intent for intent in intents if is_offer(intent)]
        for channel in sorted({self.channel_of(intent) for intent in offers}):
            asked = [intent for intent in offers if self.channel_of(intent) == channel]
            consenting = self.target.consenting(channel, [intent.vendor_id for intent in asked])
            if consenting is not None:
                held |= {i.intent_id: NO_CONSENT for i in asked if i.vendor_id not in consenting}
        return held

    def _read_back(self, kind: str, intents: list[Intent], counts: KindCounts) -> None:
        if not self.target.can_read_back:
            # Accepted is all that there will ever be to see.
            taken = self.outbox.accepted(intent.intent_id for intent in intents)
            accepted = [intent for intent in intents if intent.intent_id in taken]
            self._finish(accepted, counts)
            counts.in_doubt += len(intents) - len(accepted)
            return
        left = intents
        waits: tuple[float, ...] = _READ_BACK_WAITS_SECONDS
        if len(left) > _FEW:
            waits = (waits[0], *([sum(waits[1:])] if waits[1:] else []))
        for wait in waits:
            if not left:
                return
            if wait:
                self.sleep(wait)
            seen = self.target.look_up(kind, left)
            checkpoints.reached("read_back")
            self._finish([intent for intent in left if intent.intent_id in seen], counts)
            left = [intent for intent in left if intent.intent_id not in seen]
        counts.in_doubt += len(left)
        if left:
            self.notes.append(f"in doubt {len(left)} {kind}: accepted and not seen yet; the next sync looks again")

    def _finish(self, intents: list[Intent], counts: KindCounts) -> None:
        if not intents:
            return
        self.outbox.finish(intents, self.now())
        counts.done += len(intents)
        checkpoints.reached("finished_intents")


def _urgency(intent: Intent) -> tuple[bool, int, int]:
    """Pauses before releases, the highest tier and priority first; what was tried before last; else order is kept.

    What was tried may be there already and only not be visible yet: by its turn it may have been seen.
    """
    wanted = intent.payload
    rank = _PRIORITIES.index(wanted["priority"]) if wanted.get("priority") in _PRIORITIES else 0
    return is_paused(wanted), int(wanted.get("roomtone_tier") or rank), -intent.attempts
