"""The world: the same plan gives the same world, however its time is cut."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from roomtone.sandbox.chance import draw
from roomtone.sandbox.clock import SandboxClock
from roomtone.sandbox.hazards import hazard
from roomtone.sandbox.truth import truth

Brands = Callable[..., Any]


def test_same_seed_same_world_and_other_seed_other_world(make_brand: Brands) -> None:
    first, again, other = make_brand(seed=7).world, make_brand(seed=7).world, make_brand(seed=8).world
    assert first.fingerprint() == again.fingerprint()
    assert first.fingerprint() != other.fingerprint()


def test_draws_depend_on_the_seed_and_the_key_alone() -> None:
    assert draw(7, "open", 1) == draw(7, "open", 1)
    assert len({draw(7, "open", 1), draw(8, "open", 1), draw(7, "open", 2), draw(7, "click", 1)}) == 4
    drawn = [draw(7, "even", number) for number in range(2000)]
    assert 0.47 < sum(drawn) / len(drawn) < 0.53
    assert 0 <= min(drawn) < 0.01
    assert 0.99 < max(drawn) < 1


def test_a_jump_and_small_steps_lead_to_the_same_world(make_brand: Brands) -> None:
    jumped, walked = make_brand().world, make_brand().world
    end = jumped.at + timedelta(days=3)
    jumped.advance(end)
    while walked.at < end:
        walked.advance(min(end, walked.at + timedelta(minutes=37)))
    assert jumped.fingerprint() == walked.fingerprint()
    strip = [{k: v for k, v in e.items() if k != "seq"} for e in jumped.witness.after(0)["entries"]]
    assert strip == [{k: v for k, v in e.items() if k != "seq"} for e in walked.witness.after(0)["entries"]]


def test_a_pause_changes_nothing_but_its_own_sends(make_brand: Brands) -> None:
    """The draws are keyed: what happens to everybody else is the same with and without a pause."""
    plain, paused = make_brand().world, make_brand().world
    until = (paused.at + timedelta(days=2)).isoformat()
    maya = paused.marketing.profile_of[1]
    paused.marketing.update_properties(maya, {"roomtone_pause_sales": True, "roomtone_pause_until": until}, paused.at)
    for world in (plain, paused):
        world.advance(world.at + timedelta(days=1))

    def of_others(world: Any) -> set[tuple[str, str]]:
        return {(e.id, e.metric) for e in world.marketing.events.values() if e.profile_id != maya.id}

    assert of_others(plain) == of_others(paused)
    assert [t.id for t in plain.helpdesk.tickets.values()] == [t.id for t in paused.helpdesk.tickets.values()]


def test_history_is_as_long_and_as_busy_as_promised(make_brand: Brands) -> None:
    world = make_brand(customers=400).world
    tickets = list(world.helpdesk.tickets.values())
    assert min(t.created_at for t in tickets) < world.at - timedelta(days=20)
    assert len(tickets) > 200
    assert {t.status for t in tickets} >= {"open", "pending", "solved", "closed"}
    assert {t.channel for t in tickets} == {"email", "chat", "form", "in_app", "sms"}
    moods = [row["sentiment"] for row in truth(world)["messages"]]
    assert all(moods.count(mood) > 50 for mood in ("negative", "neutral", "positive"))
    known = [c.is_known_at_helpdesk for c in world.shop.customers.values()]
    assert 0.80 <= sum(known) / len(known) <= 0.90
    assert not world.witness.after(0)["entries"], "the log begins at the start, not in the history"


def test_truth_names_every_customer_message_once(make_brand: Brands) -> None:
    world = make_brand().world
    said = {c.id for t in world.helpdesk.tickets.values() for c in t.comments if c.author_id == t.customer.helpdesk_id}
    planted = [row["message_id"] for row in truth(world)["messages"]]
    assert len(planted) == len(set(planted))
    assert set(planted) == said


def test_an_upset_customer_leaves_far_more_often() -> None:
    unsubscribes, complaints = zip(*(hazard(heat) for heat in range(4)), strict=True)
    assert list(unsubscribes) == sorted(unsubscribes)
    assert list(complaints) == sorted(complaints)
    assert unsubscribes[2] > 10 * unsubscribes[0]


def test_parcels_arrive_stall_or_vanish(make_brand: Brands) -> None:
    world = make_brand(customers=400).world
    parcels = list(world.shop.shipments.values())
    assert sum(s.delivered_at is not None for s in parcels) > len(parcels) / 2
    stalled = [
        s for s in parcels if s.last_scan_at and not s.delivered_at and world.at - s.last_scan_at > timedelta(days=5)
    ]
    assert stalled
    assert all(s.delivered_at >= s.shipped_at for s in parcels if s.delivered_at)


def test_the_clock_never_goes_back(make_brand: Brands) -> None:
    clock = SandboxClock(make_brand().world.plan.start)
    start = clock.now()
    clock.put_forward(start + timedelta(hours=1))
    assert clock.now() >= start + timedelta(hours=1)
    with pytest.raises(ValueError, match="never goes back"):
        clock.put_forward(start)
