"""Reading the platform back: drift is repaired once, what a hand changed after that is reported and left."""

from collections.abc import Callable
from datetime import timedelta

from conftest import Sandbox
from roomtone.sync import sync
from roomtone.sync.destinations.base import PromotionalSend
from roomtone.sync.reconcile import BY_HAND, DRIFT, Held, judge, lacking, reconcile
from roomtone.sync.status import status

from .conftest import KLAVIYO, Mart, Person, Witness
from .test_differences import properties


def edit(brand: Sandbox, person: Person, **wanted: object) -> None:
    """Somebody changes a profile in the platform's own pages."""
    body = {"profile_id": person.profile_id, "properties": wanted}
    brand.client.post("/hand-edit", json=body).raise_for_status()


def test_a_difference_is_drift_at_first_and_a_hand_s_after_a_repair() -> None:
    held = Held("c", "P", "f", {"a": True, "b": None, "c": 2})
    assert judge(held, {"a": True, "c": 2, "theirs": 1}, frozenset()) == []
    found = judge(held, {"a": False, "b": 0, "c": 2}, frozenset({"b"}))
    assert [(d.name, d.found, d.verdict) for d in found] == [("a", False, DRIFT), ("b", 0, BY_HAND)]


def test_a_send_lacks_a_scope_or_the_exclusion_of_its_scope() -> None:
    def send(scope: str | None, *excluded: str) -> PromotionalSend:
        return PromotionalSend("s", "campaign", "name", "email", scope, frozenset(excluded))

    assert lacking(send("transactional")) == ""
    assert lacking(send(None, "roomtone_pause_sales")) == "a scope"
    assert lacking(send("sales", "roomtone_pause_upsell")) == "roomtone_pause_sales"
    assert lacking(send("sales", "roomtone_pause_sales")) == ""
    assert lacking(PromotionalSend("s", "flow", "name", "sms", "sms", None)) == ""


def test_drift_is_repaired_and_hands_are_left_alone(
    brand: Sandbox, mart: Mart, people: Callable[[int], list[Person]], witness: Witness
) -> None:
    now = brand.now()
    first, second = people(2)
    for person in (first, second):
        mart.pause(person, now + timedelta(days=14))
    sync(mart.settings, mart.commit(now), "klaviyo")
    clean = reconcile(mart.settings, "klaviyo")
    assert (clean.compared, clean.equal, clean.repaired) == (2, 2, 0)

    edit(brand, first, roomtone_pause_sales=False, favourite_colour="blue")
    witness.forward()
    repaired = reconcile(mart.settings, "klaviyo")
    assert (repaired.equal, repaired.repaired, repaired.by_hand) == (1, 1, 0)
    assert properties(brand, first)["roomtone_pause_sales"] is True
    assert [entry["profile_id"] for entry in witness.entries("profile_updated")] == [first.profile_id]

    edit(brand, first, roomtone_pause_sales=False)
    witness.forward()
    left = reconcile(mart.settings, "klaviyo")
    assert (left.repaired, left.by_hand) == (0, 1)
    assert witness.writes() == []
    assert properties(brand, first)["roomtone_pause_sales"] is False
    assert status(mart.settings).changed_by_hand == {"klaviyo": 1}
    theirs = brand.client.get(f"/klaviyo/api/profiles/{first.profile_id}", headers=KLAVIYO).json()
    assert theirs["data"]["attributes"]["properties"]["favourite_colour"] == "blue"


def test_live_sends_without_the_exclusion_are_listed(brand: Sandbox, mart: Mart) -> None:
    mart.commit(brand.now())
    report = reconcile(mart.settings, "klaviyo")
    unscoped = {c["id"] for c in live_sends(brand) if not c["relationships"]["tags"]["data"]}
    assert unscoped
    assert {note.split()[1] for note in report.notes} == unscoped
    assert all(note.endswith("lacks a scope") for note in report.notes)
    assert len(status(mart.settings).unscoped) == len(unscoped)


def live_sends(brand: Sandbox) -> list[dict]:
    found = []
    for channel in ("email", "sms"):
        query = f"filter=equals(messages.channel,'{channel}')"
        page = brand.client.get(f"/klaviyo/api/campaigns?{query}", headers=KLAVIYO).json()
        found += [c for c in page["data"] if c["attributes"]["status"] != "Sent"]
    flows = brand.client.get("/klaviyo/api/flows", headers=KLAVIYO).json()["data"]
    return found + [flow for flow in flows if flow["attributes"]["status"] == "live"]
