"""Routing rules: how tier, urgency, value at risk and waiting become a priority, and which queue takes a ticket."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from roomtone.policies.rules import Rule, Sentence, Strict, Weight, refused

Name = Annotated[str, Field(strict=True, pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
WaitHours = Annotated[float, Field(strict=True, gt=0, le=720, allow_inf_nan=False)]


class Weights(Strict):
    """The most points that each part can add to a ticket's priority score."""

    tier: Weight
    urgency: Weight
    value: Weight
    waiting: Weight


class Caps(Strict):
    """Where more stops counting: lifetime value in the shop's currency, chance of leaving, hours of waiting.

    Lifetime value counts by the share of its cap that the customer's churn risk reaches, so that it is value at risk;
    without that cap all of it counts.
    """

    value: Annotated[float, Field(strict=True, gt=0, le=1e9, allow_inf_nan=False)]
    risk: Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)] | None = None
    waiting_hours: WaitHours


class ReplyTargets(Strict):
    """Hours to the first reply by tier 0 to 3."""

    calm: WaitHours
    mild: WaitHours
    negative: WaitHours
    severe: WaitHours

    @property
    def by_tier(self) -> tuple[float, float, float, float]:
        return self.calm, self.mild, self.negative, self.severe


class Queue(Strict):
    """One line of the queue list: a ticket goes to the first line that it meets. A condition that is absent is met."""

    queue: Name
    priority: Literal["low", "normal", "high", "urgent"]
    why: Sentence
    min_tier: Annotated[int, Field(strict=True, ge=0, le=3)] = 0
    min_urgency: Literal["normal", "high"] | None = None
    intents: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None

    @property
    def takes_all(self) -> bool:
        return self.min_tier == 0 and self.min_urgency is None and self.intents is None

    def covers(self, other: "Queue") -> bool:
        """Whether this line takes every ticket that `other` would take."""
        ranks = (None, "normal", "high")
        return (
            self.min_tier <= other.min_tier
            and ranks.index(self.min_urgency) <= ranks.index(other.min_urgency)
            and (self.intents is None or (other.intents is not None and set(other.intents) <= set(self.intents)))
        )


class RoutingRule(Rule):
    """The rule of routing.yml."""

    weights: Weights
    caps: Caps
    calm_max_wait_hours: WaitHours
    sla_hours: ReplyTargets
    queues: Annotated[tuple[Queue, ...], Field(min_length=1)]

    @field_validator("queues")
    @classmethod
    def _ends_with_all(cls, queues: tuple[Queue, ...]) -> tuple[Queue, ...]:
        *before, last = queues
        if not last.takes_all:
            raise refused(
                "", last.queue, "the last queue takes every ticket: leave its conditions out, so that none is lost"
            )
        early = next((queue for queue in before if queue.takes_all), None)
        if early:
            raise refused("", early.queue, "takes every ticket, so the queues after it get none: move it to the end")
        return queues

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "RoutingRule":
        hours = self.sla_hours.by_tier
        if list(hours) != sorted(hours, reverse=True):
            raise refused(
                "sla_hours",
                ", ".join(f"{each:g}" for each in hours),
                "a higher tier never waits longer than a lower one",
            )
        if self.weights.tier == 0:
            raise refused("weights.tier", 0, "the tier must count, or nobody is seen first for being upset")
        return self


def contradictions(rules: Sequence[RoutingRule]) -> Iterator[tuple[RoutingRule, str, str]]:
    """What makes the order of tickets ambiguous, as (rule, value, next step): a second rule, a queue never reached."""
    for rule in rules[1:]:
        yield rule, f"would order the tickets beside {rules[0].id}", "keep one routing rule"
    for rule in rules:
        for place, queue in enumerate(rule.queues, start=1):
            taker = next(
                (at for at, before in enumerate(rule.queues[: place - 1], start=1) if before.covers(queue)), None
            )
            if taker:
                first = f"queue {taker}, {rule.queues[taker - 1].queue}"
                yield (
                    rule,
                    f"queue {place}, {queue.queue}, gets no ticket: {first}, takes all that fit it",
                    "put the narrower queue first, or take one of the two out",
                )
