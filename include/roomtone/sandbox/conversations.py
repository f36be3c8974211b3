"""How a conversation goes: a first message, answers, further messages, an end, a rating."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from roomtone.sandbox.agents import agent_reply, bot_greeting, internal_note, rating_comment
from roomtone.sandbox.helpdesk import AGENTS, BOT_ID, Helpdesk
from roomtone.sandbox.records import Customer, Sentiment, Situation, Ticket, Urgency
from roomtone.sandbox.schedule import Schedule
from roomtone.sandbox.texts import compose

# Zendesk's usual automation closes a solved ticket after four days.
CLOSES_AFTER = timedelta(days=4)
# A person stays sore for about a day after the matter is settled.
SORE_FOR = timedelta(hours=24)
SYSTEM_ID = -1


@dataclass(frozen=True)
class Temper:
    sentiment: Sentiment
    urgency: Urgency
    heat: int


class Conversation:
    """One ticket from its first message to its end. Every next step is drawn when the step before has happened."""

    def __init__(
        self, helpdesk: Helpdesk, schedule: Schedule, customer: Customer, situation: Situation, rng: Random
    ) -> None:
        self._desk = helpdesk
        self._schedule = schedule
        self._customer = customer
        self._situation = situation
        self._rng = rng
        self._ticket: Ticket
        self._agent = rng.choice(sorted(AGENTS))
        self._is_fast = situation.channel in {"chat", "in_app", "sms"}
        self._rounds = rng.choices((1, 2, 3, 4), (0.46, 0.32, 0.16, 0.06))[0]

    def begin(self, at: datetime) -> None:
        written = compose(self._rng, self._situation)
        self._ticket = self._desk.open_ticket(
            self._customer, self._situation.channel, written, self._situation.order_id, at
        )
        self._feel(self._situation, at)
        if self._is_fast and self._rng.random() < 0.7:
            self._in(at, 4, 9, self._greet)
        if self._situation.sentiment == "negative" and self._rng.random() < 0.22:
            self._in(at, *((600, 2400) if self._is_fast else (5 * 3600, 30 * 3600)), self._ask_again)
        self._answer_later(at)

    def _feel(self, situation: Situation, at: datetime) -> None:
        if situation.sentiment == "negative":
            self._customer.heat = max(situation.heat, self._customer.heat_at(at))
            self._customer.heat_until = at + timedelta(days=14)

    def _in(self, at: datetime, low: float, high: float, action: object) -> None:
        assert callable(action)
        self._schedule.add(at + timedelta(seconds=int(self._rng.uniform(low, high))), action)

    def _greet(self, at: datetime) -> None:
        self._desk.agent_writes(self._ticket, BOT_ID, bot_greeting(self._rng), at, is_public=True)

    def _ask_again(self, at: datetime) -> None:
        if self._ticket.status in {"new", "open"}:
            again = replace(self._situation, is_follow_up=True, heat=min(3, self._situation.heat + 1))
            self._desk.customer_writes(self._ticket, compose(self._rng, again), at)
            self._feel(again, at)

    def _answer_later(self, at: datetime) -> None:
        median = 240 if self._is_fast else 4.2 * 3600
        delay = min(median * self._rng.lognormvariate(0, 1.0), 50 * 3600)
        self._schedule.add(at + timedelta(seconds=int(delay) + 20), self._answer)

    def _answer(self, at: datetime) -> None:
        if self._ticket.status == "closed":
            return
        self._rounds -= 1
        is_last = self._rounds <= 0
        if self._rng.random() < 0.18:
            note = internal_note(self._rng)
            self._desk.agent_writes(self._ticket, self._agent, note, at - timedelta(seconds=15), is_public=False)
        text = agent_reply(self._rng, self._situation, AGENTS[self._agent], is_last=is_last)
        status = "solved" if is_last else self._rng.choice(("pending", "pending", "hold", "open"))
        self._desk.agent_writes(self._ticket, self._agent, text, at, is_public=True, status=status)
        if is_last:
            self._settle(at)
        else:
            self._in(at, *((60, 900) if self._is_fast else (1800, 26 * 3600)), self._go_on)

    def _go_on(self, at: datetime) -> None:
        """The customer's next message: still upset, matter of fact, or relieved."""
        if self._ticket.status == "closed":
            return
        was = self._situation
        weights = {"negative": (0.5, 0.35, 0.15), "neutral": (0.1, 0.55, 0.35), "positive": (0.0, 0.3, 0.7)}
        mood: Sentiment = self._rng.choices(("negative", "neutral", "positive"), weights[was.sentiment])[0]  # type: ignore[assignment]
        heat = max(1, was.heat + self._rng.choice((-1, 0, 1))) if mood == "negative" else 0
        urgency: Urgency = was.urgency if mood == "negative" else "normal" if mood == "neutral" else "low"
        self._situation = replace(was, sentiment=mood, heat=min(3, heat), urgency=urgency, is_follow_up=True)
        self._desk.customer_writes(self._ticket, compose(self._rng, self._situation), at)
        self._feel(self._situation, at)
        self._answer_later(at)

    def _settle(self, at: datetime) -> None:
        if self._customer.heat_until is not None and self._customer.heat_until > at:
            self._customer.heat_until = at + SORE_FOR
        if self._rng.random() < 0.28:
            self._in(at, 300, 20 * 3600, self._say_thanks)
        elif self._situation.sentiment == "negative" and self._rng.random() < 0.1:
            self._in(at, 3600, 60 * 3600, self._reopen)
        if self._rng.random() < 0.5:
            self._in(at, 23 * 3600, 25 * 3600, self._offer_rating)
        self._schedule.add(at + CLOSES_AFTER, self._close)

    def _say_thanks(self, at: datetime) -> None:
        if self._ticket.status != "solved":
            return
        thanks = replace(self._situation, sentiment="positive", heat=0, urgency="low", is_follow_up=True)
        self._desk.customer_writes(self._ticket, compose(self._rng, thanks), at)
        self._in(at, 300, 7200, lambda due: self._desk.set_status(self._ticket, "solved", due, self._agent))

    def _reopen(self, at: datetime) -> None:
        if self._ticket.status != "solved":
            return
        self._situation = replace(
            self._situation, sentiment="negative", heat=min(3, self._situation.heat + 1), is_follow_up=True
        )
        self._desk.customer_writes(self._ticket, compose(self._rng, self._situation), at)
        self._feel(self._situation, at)
        self._rounds = 1
        self._answer_later(at)

    def _offer_rating(self, at: datetime) -> None:
        rating = self._desk.offer_rating(self._ticket, at)
        if self._rng.random() < 0.45:
            is_good = self._rng.random() < (0.35 if self._situation.heat else 0.93)
            comment = rating_comment(self._rng, is_good)
            self._in(
                at, 600, 30 * 3600, lambda due: self._desk.rate(rating, "good" if is_good else "bad", comment, due)
            )

    def _close(self, at: datetime) -> None:
        """Closes a ticket that has rested for the whole time; one that was touched since gets its turn later."""
        if self._ticket.status == "solved":
            rested = at - self._ticket.updated_at
            if rested >= CLOSES_AFTER - timedelta(minutes=1):
                self._desk.set_status(self._ticket, "closed", at, SYSTEM_ID)
            else:
                self._schedule.add(at + CLOSES_AFTER - rested, self._close)
