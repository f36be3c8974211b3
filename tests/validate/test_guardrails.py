"""The blast radius of a pass, as a pure function of what is wanted and what destinations hold."""

from datetime import UTC, datetime

import pytest

from roomtone.validate.guardrails import Held, Limits, Plan, judged, newly_paused, removed_unexplained

AS_OF = datetime(2026, 3, 2, 12, tzinfo=UTC)
LIMITS = Limits(newly_paused_share=0.005, newly_paused_floor=50, removed_share=0.20, removed_floor=5, offers_a_day=100)


def people(count: int, scopes: tuple[str, ...] = ("sales",), first: int = 0) -> dict[str, frozenset[str]]:
    return {f"customer-{number}": frozenset(scopes) for number in range(first, first + count)}


def names(limits: Limits, plan: Plan, held: Held) -> list[str]:
    return [failure.name for failure in judged(limits, plan, held).failures]


@pytest.mark.parametrize(
    ("count", "base", "is_held"), [(50, 100, False), (51, 100, True), (500, 100_000, False), (501, 100_000, True)]
)
def test_a_mass_pause_is_held_above_share_and_floor(count: int, base: int, is_held: bool) -> None:
    held = Held("klaviyo", people(1, first=900_000))
    result = judged(LIMITS, Plan(AS_OF, base, people(count)), held)
    assert result.is_valid != is_held
    if is_held:
        (failure,) = result.failures
        assert f"{count} of {base}, at most {count - 1}" == failure.observed
        assert "guardrails.yml" in failure.next_step


def test_the_first_pass_of_a_brand_pauses_whoever_its_history_upset() -> None:
    assert names(LIMITS, Plan(AS_OF, 1000, people(900)), Held("klaviyo", {}, is_first=True)) == []
    assert names(LIMITS, Plan(AS_OF, 1000, people(900)), Held("klaviyo", {})) == ["customers newly paused in one pass"]


def test_more_scopes_for_a_paused_customer_and_customers_the_platform_lacks_are_no_new_pause() -> None:
    plan = Plan(AS_OF, 1000, people(3, ("sales", "sms")))
    held = Held("klaviyo", people(1), unknown=frozenset({"customer-1"}))
    assert newly_paused(plan, held) == {"customer-2"}


def test_an_emptied_mart_releases_nobody() -> None:
    held = Held("klaviyo", people(20))
    result = judged(LIMITS, Plan(AS_OF, 1000, {}), held)
    (failure,) = result.failures
    assert (failure.name, failure.severity) == ("customers released without a reason", "critical")
    assert failure.observed == "20 of 20, at most 5"


def test_a_pause_that_ended_is_explained() -> None:
    held = Held("klaviyo", people(20))
    ended = frozenset((f"customer-{number}", "sales") for number in range(20))
    assert names(LIMITS, Plan(AS_OF, 1000, {}, ended), held) == []
    other_scope = frozenset((customer, "sms") for customer, _ in ended)
    assert len(removed_unexplained(Plan(AS_OF, 1000, {}, other_scope), held)) == 20


def test_offers_of_today_count_once_each() -> None:
    sent, due = frozenset(f"t-{n}" for n in range(60)), frozenset(f"t-{n}" for n in range(40, 100))
    held = Held("klaviyo", {})
    assert names(LIMITS, Plan(AS_OF, 10, {}, offers=due, offers_sent=sent), held) == []
    assert names(LIMITS, Plan(AS_OF, 10, {}, offers=due | {"t-100"}, offers_sent=sent), held) == ["offers a day"]


def test_a_released_pass_still_tells() -> None:
    result = judged(LIMITS, Plan(AS_OF, 1000, people(900)), Held("klaviyo", {}), is_released=True)
    assert result.is_valid
    assert [failure.severity for failure in result.failures] == ["warning"]
