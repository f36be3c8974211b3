"""Blast radius: how much one pass would change at a destination, against the published limits. Pure.

A destination that has acknowledged no profile yet is on its first pass: everybody whom its history upset is paused at
once, so the share of newly paused customers does not bind there. Small brands are spared by floors: a share of forty
customers is a handful.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime

from roomtone.policies.guardrails import Guardrails
from roomtone.validate.report import Failure, TableResult

Pauses = Mapping[str, AbstractSet[str]]


@dataclass(frozen=True)
class Limits:
    """What one pass may do to one destination. A share binds only above its floor.

    `newly_paused_share` is of all customers, `removed_share` of the customers that the destination holds as paused.
    """

    newly_paused_share: float
    newly_paused_floor: int
    removed_share: float
    removed_floor: int
    offers_a_day: int

    @classmethod
    def of(cls, guardrails: Guardrails) -> "Limits":
        """The limits as published."""
        return cls(
            guardrails.newly_paused.max_share,
            guardrails.newly_paused.floor_customers,
            guardrails.vanished.max_share,
            guardrails.vanished.floor_customers,
            guardrails.offers.max_per_day,
        )


@dataclass(frozen=True)
class Held:
    """What one destination has acknowledged or is already being told.

    `pauses`: the paused scopes per customer whose own end still lies ahead. `unknown`: customers it was asked for and
    has not.
    """

    destination: str
    pauses: Pauses
    unknown: AbstractSet[str] = frozenset()
    is_first: bool = False


@dataclass(frozen=True)
class Plan:
    """What the pass wants: paused scopes per customer, which pauses ended for a reason, and which offers go out.

    `ended` holds (customer, scope) pairs whose suppression is over at `as_of`. `offers` are the trigger ids of
    marketing events due now, `offers_sent` those that left earlier on the same UTC day.
    """

    as_of: datetime
    count_customers: int
    pauses: Pauses
    ended: AbstractSet[tuple[str, str]] = frozenset()
    offers: AbstractSet[str] = frozenset()
    offers_sent: AbstractSet[str] = frozenset()


def newly_paused(plan: Plan, held: Held) -> set[str]:
    """Customers whom the destination knows, who are quiet for the first time or again."""
    return (
        {customer for customer, scopes in plan.pauses.items() if scopes}
        - held.unknown
        - {customer for customer, scopes in held.pauses.items() if scopes}
    )


def removed_unexplained(plan: Plan, held: Held) -> set[str]:
    """Customers of whom some running pause would be lifted although no suppression of that scope has ended."""
    return {
        customer
        for customer, scopes in held.pauses.items()
        if any(
            scope not in plan.pauses.get(customer, frozenset()) and (customer, scope) not in plan.ended
            for scope in scopes
        )
    }


def judged(limits: Limits, plan: Plan, held: Held, is_released: bool = False) -> TableResult:
    """The verdict on one destination; each breach is critical and names the figure, the limit and the next step.

    With `is_released` a person has looked at the pass and lets it go: what is breached is still told, as a warning.
    """
    failures = []
    added = len(newly_paused(plan, held))
    allowed = max(limits.newly_paused_floor, int(limits.newly_paused_share * plan.count_customers))
    if added > allowed and not held.is_first:
        failures.append(
            _breach(
                "customers newly paused in one pass",
                f"{added} of {plan.count_customers}, at most {allowed}",
                "A broken model must not mute a brand.",
                "compare `roomtone why` for a few of them; if they are right raise newly_paused in guardrails.yml,"
                " with a new version, and run again",
            )
        )
    removed = len(removed_unexplained(plan, held))
    count_held = sum(1 for scopes in held.pauses.values() if scopes)
    allowed = max(limits.removed_floor, int(limits.removed_share * count_held))
    if removed > allowed:
        failures.append(
            _breach(
                "customers released without a reason",
                f"{removed} of {count_held}, at most {allowed}",
                "A mart that a bad join emptied says 'release everybody'.",
                "compare `roomtone why` for a few of them; `roomtone rebuild` if the marts are wrong",
            )
        )
    offers = len(plan.offers | plan.offers_sent)
    if offers > limits.offers_a_day:
        failures.append(
            _breach(
                "offers a day",
                f"{offers} with the {len(plan.offers_sent)} sent today, at most {limits.offers_a_day}",
                "Offers cost money and cannot be recalled.",
                "look at marts.fct_recovery_triggers; if they are right raise offers in guardrails.yml,"
                " with a new version, and run again",
            )
        )
    if is_released:
        failures = [replace(failure, severity="warning") for failure in failures]
    return TableResult("guardrails", held.destination, plan.count_customers, 3, tuple(failures))


def _breach(name: str, observed: str, why: str, next_step: str) -> Failure:
    return Failure(name, (), "critical", observed, why, next_step)
