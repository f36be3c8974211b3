"""Suppression rules: what starts a cause, how severe it is, what it keeps quiet, and what ends it."""

from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from roomtone.contract import SCOPES, Scope
from roomtone.policies.rules import Days, Hours, Rule, Share, Strict, refused

MAX_DAYS = 30
"""No cause lasts longer than this after its latest evidence, whatever a rule says."""


class MessageStart(Strict):
    """A customer message of a live ticket with this sentiment, at this calibrated confidence or above."""

    related_keys: ClassVar[tuple[str, ...]] = ("fact", "days", "count")

    sentiment: Literal["negative", "neutral"]
    min_confidence: Share


class ShipmentStart(Strict):
    """A shipment without a scan for `days`, or `days` past its promised date, and not delivered."""

    related_keys: ClassVar[tuple[str, ...]] = ("count", "sentiment", "min_confidence")

    fact: Literal["shipment_stalled", "shipment_late"]
    days: Days


class RepeatStart(Strict):
    """At least `count` contacts of one customer within `days`.

    A contact is a message that is no thanks and comes an hour or more after the customer's last one, on any ticket.
    """

    related_keys: ClassVar[tuple[str, ...]] = ("sentiment", "min_confidence")

    fact: Literal["repeat_contact"]
    count: Annotated[int, Field(strict=True, ge=2, le=100)]
    days: Days


class EventStart(Strict):
    """Something that happened: a threat in a message, a spam complaint, a refund."""

    related_keys: ClassVar[tuple[str, ...]] = ("days", "count", "sentiment", "min_confidence")

    fact: Literal["threat", "marked_spam", "refund"]


FactStart = ShipmentStart | RepeatStart | EventStart
_SHAPES = {"shipment_stalled": "shipment", "shipment_late": "shipment", "repeat_contact": "repeat"} | dict.fromkeys(
    ("threat", "marked_spam", "refund"), "event"
)
# Facts that hang on a ticket: only there can a later message bring relief.
_TICKET_FACTS = frozenset({"threat", "repeat_contact"})


def _shape_of_start(start: Any) -> str:
    if isinstance(start, MessageStart):
        return "message"
    if isinstance(start, FactStart):
        return _SHAPES[start.fact]
    if isinstance(start, dict) and "fact" in start:
        return _SHAPES.get(str(start["fact"]), "event")
    return "message"


Start = Annotated[
    Annotated[MessageStart, Tag("message")]
    | Annotated[ShipmentStart, Tag("shipment")]
    | Annotated[RepeatStart, Tag("repeat")]
    | Annotated[EventStart, Tag("event")],
    Discriminator(_shape_of_start),
]


class Relief(Strict):
    """A later message like this ends the cause `after_hours` later, unless one that meets `start` comes first."""

    sentiment: Literal["positive", "neutral"]
    min_confidence: Share
    after_hours: Hours


class End(Strict):
    """`cool_off_hours` after what started the cause is over, and at the latest `max_days` after its latest evidence."""

    cool_off_hours: Hours
    max_days: Annotated[float, Field(strict=True, gt=0, le=MAX_DAYS, allow_inf_nan=False)]


class SuppressionRule(Rule):
    """One rule of suppression.yml."""

    enabled: Annotated[bool, Field(strict=True)] = True
    start: Start
    tier: Annotated[int, Field(strict=True, ge=1, le=3)]
    pause: Annotated[tuple[Scope, ...], Field(min_length=1)]
    relief: Relief | None = None
    end: End

    @field_validator("pause")
    @classmethod
    def _in_contract_order(cls, pause: tuple[Scope, ...]) -> tuple[Scope, ...]:
        twice = next((scope for scope in pause if pause.count(scope) > 1), None)
        if twice:
            raise refused("", twice, "name each scope once")
        return tuple(sorted(pause, key=SCOPES.index))

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "SuppressionRule":
        if self.tier == 3 and isinstance(self.start, MessageStart):
            raise refused("tier", 3, "a score alone never reaches tier 3: start it with a fact, or set tier: 2")
        if self.tier == 1 and set(self.pause) == set(SCOPES):
            raise refused(
                "pause",
                "all seven scopes",
                "a mild complaint never causes a full blackout: leave some out, or set tier: 2",
            )
        if self.end.cool_off_hours > self.end.max_days * 24:
            raise refused(
                "end.cool_off_hours",
                f"{self.end.cool_off_hours:g}",
                f"is longer than max_days ({self.end.max_days:g}): lower it, or raise max_days",
            )
        if self.relief is not None:
            self._check_relief(self.relief)
        return self

    def _check_relief(self, relief: Relief) -> None:
        if isinstance(self.start, MessageStart):
            if relief.sentiment == self.start.sentiment:
                raise refused(
                    "relief.sentiment",
                    relief.sentiment,
                    "the same message would start and relieve: choose another sentiment",
                )
        elif self.start.fact not in _TICKET_FACTS:
            raise refused(
                "relief", self.start.fact, "this fact has no ticket whose messages could relieve it: leave relief out"
            )
        if relief.after_hours > self.end.max_days * 24:
            raise refused(
                "relief.after_hours",
                f"{relief.after_hours:g}",
                f"is longer than max_days ({self.end.max_days:g}): lower it",
            )


def contradictions(rules: Sequence[SuppressionRule]) -> Iterator[tuple[SuppressionRule, str, str]]:
    """Each enabled rule that contradicts another one, as (rule, value, next step); none when they agree.

    Two rules contradict each other when they start alike, or when the stronger evidence leads to the lower tier.
    """
    for first, second in _comparable(rules):
        asks, asks_more = _strength(first)[1], _strength(second)[1]
        if asks == asks_more:
            if rules.index(first) < rules.index(second):
                yield (
                    second,
                    f"starts exactly as {first.id} does",
                    "keep one of the two, or give them different numbers",
                )
        elif _asks_for_more(first, second) and second.tier < first.tier:
            yield (
                second,
                f"asks for more than {first.id} and leads to tier {second.tier} instead of {first.tier}",
                "let stronger evidence lead to the same tier or a higher one",
            )


def idle(rules: Sequence[SuppressionRule]) -> Iterator[tuple[SuppressionRule, str]]:
    """Each enabled rule that another one makes needless, as (rule, line): whatever it pauses is paused already."""
    for wide, narrow in _comparable(rules):
        ends_no_later = (
            narrow.end.cool_off_hours <= wide.end.cool_off_hours and narrow.end.max_days <= wide.end.max_days
        )
        is_covered = set(narrow.pause) <= set(wide.pause) and wide.relief is None and narrow.tier == wide.tier
        if _asks_for_more(wide, narrow) and is_covered and ends_no_later:
            yield narrow, f"pauses nothing that {wide.id} does not pause already; let it pause more, or take it out"


def _comparable(rules: Sequence[SuppressionRule]) -> Iterator[tuple[SuppressionRule, SuppressionRule]]:
    """Pairs of enabled rules that look at the same thing, in both orders."""
    enabled = [rule for rule in rules if rule.is_enabled]
    return ((one, other) for one, other in permutations(enabled, 2) if _strength(one)[0] == _strength(other)[0])


def _asks_for_more(less: SuppressionRule, more: SuppressionRule) -> bool:
    """Whether all that starts `more` starts `less` as well."""
    return all(least <= most for least, most in zip(_strength(less)[1], _strength(more)[1], strict=True))


def _strength(rule: SuppressionRule) -> tuple[str, tuple[float, ...]]:
    """(what a rule looks at, how much of it the rule asks for, number by number)."""
    start = rule.start
    if isinstance(start, MessageStart):
        return start.sentiment, (start.min_confidence,)
    if isinstance(start, ShipmentStart):
        return start.fact, (start.days,)
    if isinstance(start, RepeatStart):
        # The same count within fewer days asks for more.
        return start.fact, (start.count, -start.days)
    return start.fact, ()
