"""Guardrails: what one run may do at most. Sync asks them at send time, so they bind whatever the other rules say."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from roomtone.policies.rules import Count, Rule, Share


class MassChange(Rule):
    """Holds what would befall more than `max_share` of the customers in one run, and more than `floor_customers`.

    `newly_paused`: of all customers, those that were not paused and would be. `vanished`: of the profiles that a
    destination holds, those that the marts no longer know. With `median_multiple` a run may also do so many times what
    the median of the last runs did: a brand where many become upset each day is used to more.
    """

    guard: Literal["newly_paused", "vanished"]
    max_share: Share
    floor_customers: Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
    median_multiple: Annotated[float, Field(strict=True, ge=1, le=100, allow_inf_nan=False)] | None = None


class OfferLimit(Rule):
    """At most so many offers (marketing triggers of any kind) in 24 hours, over all customers."""

    guard: Literal["offers"]
    max_per_day: Count


class Freshness(Rule):
    """Recovery triggers and early ends of pauses only from data at most this old at send time."""

    guard: Literal["freshness"]
    max_age_minutes: Annotated[float, Field(strict=True, gt=0, le=1440, allow_inf_nan=False)]


class KillSwitch(Rule):
    """While it is on, nothing leaves for any destination."""

    guard: Literal["kill_switch"]
    is_on: Annotated[bool, Field(strict=True)]


Guardrail = Annotated[MassChange | OfferLimit | Freshness | KillSwitch, Field(discriminator="guard")]
GUARDS = ("newly_paused", "vanished", "offers", "freshness", "kill_switch")


@dataclass(frozen=True)
class Guardrails:
    """All five guards; there is exactly one of each, so none can get lost by an edit."""

    newly_paused: MassChange
    vanished: MassChange
    offers: OfferLimit
    freshness: Freshness
    kill_switch: KillSwitch

    @classmethod
    def of(cls, rules: Iterable[Guardrail]) -> "Guardrails":
        """The guardrails by their guard; `rules` holds each of `GUARDS` once."""
        by_guard: dict[str, Any] = {rule.guard: rule for rule in rules}
        return cls(**by_guard)
