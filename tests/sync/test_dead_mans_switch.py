"""The pipeline is off for 31 days: the platform by itself ends every pause on the date that was sent with it."""

from datetime import timedelta

from conftest import Sandbox
from roomtone.contract import SCOPES
from roomtone.sandbox.marketing import is_paused
from roomtone.sync import sync

from .conftest import KLAVIYO, Mart, Person


def test_every_pause_has_ended_at_the_platform_after_31_days(start_sandbox, tmp_path) -> None:
    brand: Sandbox = start_sandbox(customers=25)
    mart = Mart(brand.settings(tmp_path / "home"))
    now = brand.now()
    page = brand.client.get("/klaviyo/api/profiles?page[size]=20", headers=KLAVIYO).json()
    people = [Person(f"c{n}", row["attributes"]["email"], row["id"]) for n, row in enumerate(page["data"])]
    for number, person in enumerate(people):
        # From the shortest to the longest end that a policy may give.
        mart.pause(person, now + timedelta(days=1 + number % 30))
    assert sync(mart.settings, mart.commit(now), "klaviyo").total.done == len(people)
    assert paused(brand, people) == len(people) * len(SCOPES)

    brand.advance_to(now + timedelta(days=15))
    half = paused(brand, people)
    assert 0 < half < len(people) * len(SCOPES)

    brand.advance_to(now + timedelta(days=31))
    assert paused(brand, people) == 0
    # Not one call was made meanwhile, and it is the platform that lets campaigns reach them again.
    sends = [e for e in brand.log("campaign_send") if e["profile_id"] in {p.profile_id for p in people}]
    assert [e for e in sends if e["reason"] == "paused"]
    assert [
        e for e in sends if e["reason"] == "paused" and e["at"] > (now + timedelta(days=30, hours=1)).isoformat()
    ] == []


def paused(brand: Sandbox, people: list[Person]) -> int:
    """How many (profile, scope) pairs the platform's own filter leaves out at this moment."""
    shown = {
        row["id"]: row["attributes"]["properties"]
        for row in brand.client.get("/klaviyo/api/profiles?page[size]=100", headers=KLAVIYO).json()["data"]
    }
    return sum(is_paused(shown[p.profile_id], scope, brand.now()) for p in people for scope in SCOPES)
