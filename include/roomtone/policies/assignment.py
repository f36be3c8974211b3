"""Who takes which ticket, so that the hard conversations do not all land on the same few people."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings
from roomtone.stores import published

_UNASSIGNED = """
select ticket_id, current_tier, priority_score from fct_tickets
where is_live and assignee_id is null and (? or queue = ?)
"""
_LOADS = "select agent_id, emotional_load from rpt_agent_load"

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
    """Who is to take what: `agents` by ticket, in the order in which to take them; `loads` as the agents' are then."""

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


def suggest(settings: Settings, agents: Sequence[str] = (), queue: str | None = None) -> Assignment:
    """Who should take each live ticket that nobody has, of one queue or of all, by the published marts.

    `agents` are those on duty; without any, all who have a live ticket. Raises RoomtoneError where there is nobody.
    """
    loads = {row["agent_id"]: row["emotional_load"] for row in published.query(settings, _LOADS)}
    on_duty = {name: loads.get(name, 0.0) for name in agents} if agents else loads
    if not on_duty:
        raise RoomtoneError("agents", "nobody has a live ticket", "name who is on duty: --agent ANA --agent BEN")
    rows = published.query(settings, _UNASSIGNED, [queue is None, queue])
    return assign([Waiting(row["ticket_id"], row["current_tier"], row["priority_score"]) for row in rows], on_duty)
