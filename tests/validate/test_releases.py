"""A pause that is lifted must be explained, as a pure function of what is wanted and what a destination holds."""

import pytest

from roomtone.policies.guardrails import MassChange
from roomtone.policies.schema import load_policies
from roomtone.settings import load_settings
from roomtone.validate.releases import Held, Wanted, judged, unexplained


@pytest.fixture(scope="module")
def limit() -> MassChange:
    """The shipped limit: a fifth of the held customers, and five in a small shop."""
    return load_policies(load_settings({}).policies_dir).guardrails.vanished


def people(count: int, scopes: tuple[str, ...] = ("sales",)) -> dict[str, frozenset[str]]:
    return {f"customer-{number}": frozenset(scopes) for number in range(count)}


def ended(count: int, scope: str = "sales") -> frozenset[tuple[str, str]]:
    return frozenset((customer, scope) for customer in people(count))


def test_an_emptied_mart_releases_nobody(limit: MassChange) -> None:
    (failure,) = judged(limit, Wanted({}), Held("klaviyo", people(20))).failures
    assert (failure.name, failure.severity) == ("customers released without a reason", "critical")
    assert failure.observed == "20 of 20, at most 5"


@pytest.mark.parametrize(
    ("count", "lifted", "is_held"), [(20, 5, False), (20, 6, True), (1000, 200, False), (1000, 201, True)]
)
def test_the_limit_is_a_share_above_a_floor(limit: MassChange, count: int, lifted: int, is_held: bool) -> None:
    kept = dict(list(people(count).items())[lifted:])
    assert judged(limit, Wanted(kept), Held("klaviyo", people(count))).is_valid != is_held


def test_a_pause_that_ended_is_explained_scope_by_scope(limit: MassChange) -> None:
    held = Held("klaviyo", people(20))
    assert judged(limit, Wanted({}, ended(20)), held).failures == ()
    assert len(unexplained(Wanted({}, ended(20, "sms")), held)) == 20


def test_more_scopes_than_before_lift_nothing() -> None:
    assert unexplained(Wanted(people(3, ("sales", "sms"))), Held("klaviyo", people(3))) == set()
