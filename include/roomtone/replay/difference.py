"""What two replays of the same history differ in, counted within a window of time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from roomtone.contract import SCOPES, TIERS

# A difference in hours below this is the rounding of a sum.
_NOTHING = 1e-6


@dataclass(frozen=True)
class Pauses:
    """Causes of one tier that last within the window.

    `added` and `removed` have no counterpart (same rule, same ticket or parcel, overlapping) in the other replay;
    `changed` have one that starts, ends or pauses differently. `customers` are those whom any of these three befell.
    """

    current: int = 0
    candidate: int = 0
    added: int = 0
    removed: int = 0
    changed: int = 0
    customers: int = 0


@dataclass(frozen=True)
class Hours:
    """Customer-hours of one scope within the window: paused now, paused then, newly paused, no longer paused."""

    current: float = 0.0
    candidate: float = 0.0
    added: float = 0.0
    removed: float = 0.0


@dataclass(frozen=True)
class Sends:
    """Promotional sends that really left within the window.

    `stopped` would have met a pause that they did not meet; `released` met one that would not be there.
    """

    total: int = 0
    stopped: int = 0
    stopped_customers: int = 0
    released: int = 0
    released_customers: int = 0


@dataclass(frozen=True)
class Owed:
    """Recovery triggers of one kind that fall due within the window and may be sent; `cost` in the shop's currency.

    The cost is None where a rule with an offer has no `offer_value`.
    """

    current: int = 0
    candidate: int = 0
    added: int = 0
    removed: int = 0
    customers: int = 0
    current_cost: float | None = 0.0
    candidate_cost: float | None = 0.0


@dataclass(frozen=True)
class Difference:
    """All of it. `customers` are all there are; `breaches` name each guardrail that the candidates would run into."""

    candidates: str
    model_version: str | None
    from_at: datetime | None
    to_at: datetime
    customers: int
    pauses: Mapping[int, Pauses]
    hours: Mapping[str, Hours]
    sends: Sends
    owed: Mapping[str, Owed]
    breaches: tuple[str, ...]

    @property
    def is_none(self) -> bool:
        """Whether the two replays decide the same."""
        return (
            not any(each.added or each.removed or each.changed for each in self.pauses.values())
            and not any(each.added > _NOTHING or each.removed > _NOTHING for each in self.hours.values())
            and not any(each.added or each.removed for each in self.owed.values())
        )

    def as_text(self) -> str:
        """A page for people, the figures of the published policies before those of the candidates."""
        since = f"{self.from_at:%Y-%m-%d %H:%M}" if self.from_at else "the beginning"
        lines = [
            f"{self.candidates} over {self.customers} customers, from {since} to {self.to_at:%Y-%m-%d %H:%M} UTC",
            *([f"every message scored by {self.model_version}"] if self.model_version else []),
        ]
        if self.is_none:
            return "\n".join([*lines, "no difference", *(f"guardrail: {breach}" for breach in self.breaches)])
        lines += ["", f"{'pauses':<24}{'now':>9}{'then':>9}{'added':>9}{'removed':>9}{'changed':>9}{'customers':>11}"]
        for tier, each in self.pauses.items():
            counts = (each.current, each.candidate, each.added, each.removed, each.changed)
            lines.append(
                f"{f'tier {tier} {TIERS[tier]}':<24}" + "".join(f"{n:>9,}" for n in counts) + f"{each.customers:>11,}"
            )
        lines += ["", f"{'customer-hours by scope':<24}{'now':>12}{'then':>12}{'added':>12}{'removed':>12}"]
        for scope in SCOPES:
            hours = self.hours.get(scope, Hours())
            amounts = (hours.current, hours.candidate, hours.added, hours.removed)
            lines.append(f"{scope:<24}" + "".join(f"{amount:>12,.1f}" for amount in amounts))
        sends = self.sends
        lines += [
            "",
            f"of {sends.total:,} promotional sends that left",
            f"  {sends.stopped:,} would have been stopped ({sends.stopped_customers:,} customers)",
            f"  {sends.released:,} left in a pause that would not be there ({sends.released_customers:,} customers)",
            "",
            f"{'owed':<24}{'now':>9}{'then':>9}{'added':>9}{'removed':>9}{'customers':>11}{'cost now':>12}{'then':>12}",
        ]
        for kind, each_owed in self.owed.items():
            numbers = (each_owed.current, each_owed.candidate, each_owed.added, each_owed.removed)
            costs = (each_owed.current_cost, each_owed.candidate_cost)
            lines.append(
                f"{kind:<24}"
                + "".join(f"{n:>9,}" for n in numbers)
                + f"{each_owed.customers:>11,}"
                + "".join(f"{'unknown' if cost is None else f'{cost:,.2f}':>12}" for cost in costs)
            )
        return "\n".join([*lines, *(f"\nguardrail: {breach}" for breach in self.breaches)])
