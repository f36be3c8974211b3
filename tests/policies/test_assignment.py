"""The emotional load of live tickets is spread: nobody ends more than one ticket above the average."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomtone.policies.assignment import EMOTIONAL_LOAD, Waiting, assign

WAITING = st.lists(st.tuples(st.integers(0, 3), st.floats(0, 100)), max_size=60).map(
    lambda rows: [Waiting(f"t{number}", tier, score) for number, (tier, score) in enumerate(rows)]
)
LOADS = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 30), min_size=1)


@given(WAITING, LOADS)
def test_nobody_new_ends_more_than_one_ticket_above_the_mean(waiting: list[Waiting], loads: dict[str, float]) -> None:
    given_out = assign(waiting, loads)
    assert set(given_out.agents) == {ticket.ticket_id for ticket in waiting}
    assert sum(given_out.loads.values()) == pytest.approx(
        sum(loads.values()) + sum(EMOTIONAL_LOAD[ticket.tier] for ticket in waiting)
    )
    mean = sum(given_out.loads.values()) / len(loads)
    for agent, load in given_out.loads.items():
        if load > loads[agent]:
            assert load <= mean + max(EMOTIONAL_LOAD) + 1e-9


@given(WAITING, LOADS)
def test_the_order_of_arrival_does_not_matter(waiting: list[Waiting], loads: dict[str, float]) -> None:
    assert assign(waiting, loads) == assign(waiting[::-1], dict(reversed(loads.items())))


def test_a_bad_morning_is_shared_evenly() -> None:
    """Of forty tickets eight are severe; dealt out in order of arrival, one of five agents gets them all."""
    waiting = [Waiting(f"t{number:02d}", 3 if number % 5 == 0 else 0, 50) for number in range(40)]
    agents = [f"agent-{number}" for number in range(5)]
    dealt = dict.fromkeys(agents, 0.0)
    for number, ticket in enumerate(waiting):
        dealt[agents[number % 5]] += EMOTIONAL_LOAD[ticket.tier]
    shared = assign(waiting, dict.fromkeys(agents, 0.0))
    assert max(dealt.values()) / (sum(dealt.values()) / 5) > 2.5
    assert shared.max_to_mean <= 1.05


def test_who_comes_first_is_taken_first_and_nobody_gives_to_nobody() -> None:
    waiting = [Waiting("calm", 0, 90), Waiting("upset", 2, 60)]
    assert list(assign(waiting, {"ana": 0, "ben": 0}).agents) == ["calm", "upset"]
    with pytest.raises(ValueError, match="no agent"):
        assign(waiting, {})
