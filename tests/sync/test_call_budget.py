"""What one sync leaves to the next about the vendor's limits, and what it says of the machine's clock."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from conftest import Sandbox
from roomtone.stores.heartbeats import alerts_since
from roomtone.stores.ledger import calls_before
from roomtone.stores.operational import OperationalStore
from roomtone.sync import sync

from .conftest import Mart, Witness


@pytest.fixture
def store(mart: Mart) -> Iterator[OperationalStore]:
    opened = OperationalStore(mart.settings)
    yield opened
    opened.close()


def test_the_next_sync_counts_the_calls_of_this_one_towards_the_limit(
    brand: Sandbox, mart: Mart, witness: Witness, store: OperationalStore, all_tickets: Iterator[dict[str, Any]]
) -> None:
    ticket, made = next(all_tickets), []
    for priority in ("low", "urgent"):
        mart.route(ticket["id"], priority, "escalations", 2)
        witness.forward()
        assert sync(mart.settings, mart.commit(brand.now()), "zendesk").total.done == 1
        made.append(len(witness.entries("request")))
    [ages] = calls_before(store, "sync zendesk", brand.now()).values()
    assert len(ages) == sum(made) > 2


@pytest.mark.parametrize(("seconds", "told"), [(3600, "60 minutes ahead of"), (-3600, "60 minutes behind"), (0, "")])
def test_a_clock_that_differs_from_the_vendor_s_is_told_once(
    brand: Sandbox,
    mart: Mart,
    store: OperationalStore,
    all_tickets: Iterator[dict[str, Any]],
    *,
    seconds: float,
    told: str,
) -> None:
    wrong = replace(mart.settings, clock_url=f"{brand.url}/machine-clock")
    ticket, before = next(all_tickets), datetime.now(UTC)
    brand.client.post("/machine-clock", json={"ahead_seconds": seconds}).raise_for_status()
    try:
        for priority in ("low", "urgent"):
            mart.route(ticket["id"], priority, "escalations", 2)
            sync(wrong, mart.commit(brand.now()), "zendesk")
    finally:
        brand.client.post("/machine-clock", json={"ahead_seconds": 0}).raise_for_status()
    found = [f"{alert.kind} {alert.subject}" for alert in alerts_since(store, before)]
    assert found == ([f"clock {told} zendesk on {datetime.now(UTC):%Y-%m-%d}"] if told else [])


def test_the_brand_s_vendors_say_the_time_by_which_they_live(brand: Sandbox) -> None:
    answer = brand.client.get("/klaviyo/api/accounts", headers={"Authorization": "Klaviyo-API-Key wrong"})
    assert abs((parsedate_to_datetime(answer.headers["date"]) - brand.now()).total_seconds()) < 60
