"""Mailings: who is left out and why, to the second, and what a mailing does to whom it reaches."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from roomtone.sandbox.marketing import is_paused
from roomtone.sandbox.records import Campaign


def _campaign(brand: Any, scope: str | None, channel: Any = "email") -> Campaign:
    at = brand.world.at
    made = Campaign(f"test-{scope}-{channel}", "campaign", f"test {scope}", channel, scope, "subject", at, at, at)
    return brand.world.marketing.add_campaign(made)


def _outcome(brand: Any, campaign: Campaign, at: datetime) -> tuple[str, str | None]:
    """What the log says of Maya and this campaign when it is sent at an instant."""
    brand.world.advance(at)
    brand.world.marketing.send_campaign(campaign, at)
    found = [e for e in brand.log("campaign_send") if e["campaign_id"] == campaign.id and e["customer"] == "1001"]
    return found[-1]["outcome"], found[-1]["reason"]


def _pause(brand: Any, **properties: Any) -> None:
    maya = brand.world.marketing.profile_of[1]
    brand.world.marketing.update_properties(maya, properties, brand.world.at)


def test_the_pause_ends_to_the_second(brand: Any) -> None:
    until = brand.world.at + timedelta(hours=5)
    _pause(brand, roomtone_pause_sales=True, roomtone_pause_until=until.isoformat())
    campaign = _campaign(brand, "sales")
    assert _outcome(brand, campaign, until - timedelta(seconds=1)) == ("skipped", "paused")
    assert _outcome(brand, campaign, until) == ("sent", None)


def test_the_boolean_ends_it_at_once(brand: Any) -> None:
    until = (brand.world.at + timedelta(days=5)).isoformat()
    _pause(brand, roomtone_pause_sales=True, roomtone_pause_until=until)
    campaign = _campaign(brand, "sales")
    assert _outcome(brand, campaign, brand.world.at + timedelta(seconds=1)) == ("skipped", "paused")
    _pause(brand, roomtone_pause_sales=False)
    assert _outcome(brand, campaign, brand.world.at + timedelta(seconds=1)) == ("sent", None)


def test_a_pause_holds_for_its_scope_only(brand: Any) -> None:
    until = (brand.world.at + timedelta(days=5)).isoformat()
    _pause(brand, roomtone_pause_sales=True, roomtone_pause_until=until)
    at = brand.world.at + timedelta(minutes=1)
    for scope in ("upsell", "discount", None, "transactional"):
        assert _outcome(brand, _campaign(brand, scope), at) == ("sent", None), scope


@pytest.mark.parametrize("until", [None, "", "soon", "2026-03-05", "2026-03-05T09:00:00"])
def test_without_a_readable_end_there_is_no_pause(brand: Any, until: object) -> None:
    """The dead man's switch: a pause carries its own end or does not hold."""
    properties = {"roomtone_pause_sales": True, "roomtone_pause_until": until}
    assert not is_paused(properties, "sales", brand.world.at)


@pytest.mark.parametrize("value", ["true", 1, "yes", None])
def test_only_a_real_true_pauses(brand: Any, value: object) -> None:
    until = (brand.world.at + timedelta(days=1)).isoformat()
    assert not is_paused({"roomtone_pause_sales": value, "roomtone_pause_until": until}, "sales", brand.world.at)


def test_without_consent_nothing_promotional_is_sent(brand: Any) -> None:
    brand.world.marketing.withdraw(brand.world.marketing.profile_of[1], "email", brand.world.at)
    at = brand.world.at + timedelta(minutes=1)
    assert _outcome(brand, _campaign(brand, "sales"), at) == ("skipped", "no_consent")
    assert _outcome(brand, _campaign(brand, "transactional"), at) == ("sent", None)
    assert brand.world.shop.customers[1].email_consent is False, "the shop hears of it"


def test_a_campaign_reaches_everybody_else_and_makes_events(brand: Any) -> None:
    until = (brand.world.at + timedelta(days=5)).isoformat()
    _pause(brand, roomtone_pause_sales=True, roomtone_pause_until=until)
    campaign, before = _campaign(brand, "sales"), set(brand.world.marketing.events)
    _outcome(brand, campaign, brand.world.at + timedelta(minutes=1))
    brand.wait(days=1)
    sends = [e for e in brand.log("campaign_send") if e["campaign_id"] == campaign.id]
    assert len(sends) == len({e["profile_id"] for e in sends}), "one line for each profile"
    new = [e for key, e in brand.world.marketing.events.items() if key not in before]
    of_campaign = [e for e in new if e.properties.get("$message") == campaign.id]
    received = {e.profile_id for e in of_campaign if e.metric == "Received Email"}
    bounced = {e.profile_id for e in of_campaign if e.metric == "Bounced Email"}
    assert received | bounced <= {e["profile_id"] for e in sends if e["outcome"] == "sent"}
    assert len(received) > 0.9 * sum(e["outcome"] == "sent" for e in sends)
    assert {e.profile_id for e in of_campaign if e.metric == "Opened Email"} <= received


def test_an_upset_customer_who_gets_a_promotion_leaves_more_often(make_brand: Any) -> None:
    """Over many mailings to the same people, once all calm and once all upset."""
    left = {}
    for heat in (0, 3):
        brand = make_brand(customers=120)
        for customer in brand.world.shop.customers.values():
            customer.heat, customer.heat_until = heat, brand.world.at + timedelta(days=30)
        before = sum(p.is_email_subscribed for p in brand.world.marketing.profiles.values())
        brand.world.marketing.send_campaign(_campaign(brand, "sales"), brand.world.at)
        brand.wait(days=1, hours=12)
        left[heat] = before - sum(p.is_email_subscribed for p in brand.world.marketing.profiles.values())
    assert left[3] >= 5 * max(left[0], 1)


def test_the_counterfactual_tells_both_sides(brand: Any) -> None:
    story = brand.world.story
    brand.world.advance(story.t0 + timedelta(minutes=2))
    until = (story.t0 + timedelta(days=14)).isoformat()
    _pause(brand, roomtone_pause_sales=True, roomtone_pause_until=until)
    forecast = story.counterfactual()
    brand.world.advance(story.t0 + timedelta(minutes=5))
    told = story.counterfactual()
    assert (forecast["is_sent"], told["is_sent"]) == (False, True)
    assert told["left_out"] == ["1001"]
    without, with_pauses = told["without_pauses"], told["with_pauses"]
    assert without["recipients"] == with_pauses["recipients"] + 1
    assert without["expected_unsubscribes"] - with_pauses["expected_unsubscribes"] == pytest.approx(0.09, abs=0.002)
    assert told["is_simulated"] is True
