"""Every pause that a pass would lift must be explained by a suppression that ended. Pure.

A mart that a bad join emptied says "release everybody", and such a pass looks right in every other way. What one sync
may *add*, new pauses and offers, is bounded where it is sent (`sync.guardrails`), because only those intents are held.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from roomtone.policies.guardrails import MassChange
from roomtone.validate.report import Failure, TableResult

Pauses = Mapping[str, AbstractSet[str]]


@dataclass(frozen=True)
class Held:
    """The paused scopes per customer that one destination has acknowledged, or is being told, and that still run."""

    destination: str
    pauses: Pauses


@dataclass(frozen=True)
class Wanted:
    """The paused scopes per customer that the pass wants; `ended`: (customer, scope) whose suppression is over."""

    pauses: Pauses
    ended: AbstractSet[tuple[str, str]] = frozenset()


def unexplained(wanted: Wanted, held: Held) -> set[str]:
    """Customers of whom some running pause would be lifted although no suppression of that scope has ended."""
    return {
        customer
        for customer, scopes in held.pauses.items()
        if any(
            scope not in wanted.pauses.get(customer, frozenset()) and (customer, scope) not in wanted.ended
            for scope in scopes
        )
    }


def judged(limit: MassChange, wanted: Wanted, held: Held) -> TableResult:
    """The verdict on one destination. The limit's floor spares small brands: a fifth of ten customers is two."""
    removed = len(unexplained(wanted, held))
    count_held = sum(1 for scopes in held.pauses.values() if scopes)
    allowed = max(limit.floor_customers, int(limit.max_share * count_held))
    failures: tuple[Failure, ...] = ()
    if removed > allowed:
        failures = (
            Failure(
                "customers released without a reason",
                (),
                "critical",
                f"{removed} of {count_held}, at most {allowed}",
                "A mart that a bad join emptied says 'release everybody'.",
                "compare `roomtone why` for a few of them; `roomtone rebuild` if the marts are wrong",
            ),
        )
    return TableResult("releases", held.destination, count_held, 1, failures)
