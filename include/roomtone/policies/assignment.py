"""Who takes which ticket, so that the hard conversations do not all land on the same few people."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

EMOTIONAL_LOAD = (1.0, 1.5, 3.0, 5.0)
"""What a live ticket of tier 0 to 3 weighs on the agent who has it, a calm one being 1."""


@dataclass(frozen=True)
class Waiting:
    """A live ticket that nobody has, with its tier and its priority score."""

    ticket_id: str
    tier: int
    priority_score: float


@dataclass(frozen=True)
class Assignment:
    """`agents` by ticket, in the order in which the tickets should be taken; `loads` by agent as they are then."""

    agents: Mapping[str, str]
    loads: Mapping[str, float]

    @property
    def max_to_mean(self) -> float:
        """How much the most loaded agent carries beside the average one; 1.0 is even."""
        total = sum(self.loads.values())
        return max(self.loads.values()) * len(self.loads) / total if total else 1.0


def assign(waiting: Iterable[Waiting], loads: Mapping[str, float]) -> Assignment:
    """Give each waiting ticket, the heaviest first, to the agent who carries least; `loads` are what they carry now.

    Longest processing time first (Graham 1969): no agent ends more than one ticket's weight above the mean, unless they
    were above it before. Deterministic: ties go by ticket and agent name. Raises ValueError without an agent.
    """
    if not loads:
        raise ValueError("no agent to give a ticket to")
    carried = dict(loads)
    chosen: dict[str, str] = {}
    tickets = list(waiting)
    for ticket in sorted(tickets, key=lambda each: (-EMOTIONAL_LOAD[each.tier], -each.priority_score, each.ticket_id)):
        agent = min(carried, key=lambda name: (carried[name], name))
        carried[agent] += EMOTIONAL_LOAD[ticket.tier]
        chosen[ticket.ticket_id] = agent
    order = sorted(tickets, key=lambda each: (-each.priority_score, each.ticket_id))
    return Assignment({ticket.ticket_id: chosen[ticket.ticket_id] for ticket in order}, carried)
