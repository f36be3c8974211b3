"""Routing: priority, group and tags of live tickets, and nothing that is the agents'."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from conftest import Sandbox
from roomtone.sync import sync

from .conftest import Mart, Witness

HEADERS = {"Authorization": "Bearer sandbox-zendesk"}


def ticket_now(brand: Sandbox, ticket_id: int) -> dict[str, Any]:
    answer = brand.client.get(f"/zendesk/api/v2/tickets/{ticket_id}.json", headers=HEADERS)
    return answer.json()["ticket"]


def agent_changes(brand: Sandbox, ticket_id: int, **fields: Any) -> None:
    url = f"{brand.url}/zendesk/api/v2/tickets/{ticket_id}"
    httpx.put(url, headers=HEADERS, json={"ticket": fields}).raise_for_status()


def any_tickets(brand: Sandbox, count: int) -> list[int]:
    """Ids of the newest tickets that may be changed and have no tag of roomtone."""
    page = brand.client.get("/zendesk/api/v2/ticket_audits.json", headers=HEADERS).json()
    ids = ",".join(dict.fromkeys(str(audit["ticket_id"]) for audit in page["audits"]))
    found = brand.client.get("/zendesk/api/v2/tickets/show_many.json", params={"ids": ids}, headers=HEADERS).json()
    free = [ticket for ticket in found["tickets"] if "roomtone_" not in str(ticket["tags"])]
    return [ticket["id"] for ticket in free if ticket["status"] != "closed"][:count]


@pytest.fixture
def ticket(all_tickets: Iterator[dict[str, Any]]) -> dict[str, Any]:
    return next(all_tickets)


def test_a_ticket_gets_priority_group_and_tag_and_keeps_all_else(
    brand: Sandbox, mart: Mart, ticket: dict[str, Any], witness: Witness
) -> None:
    mart.route(ticket["id"], "urgent", "escalations", 2)
    report = sync(mart.settings, mart.commit(brand.now()), "zendesk")
    assert (report.total.planned, report.total.done) == (1, 1)
    after = ticket_now(brand, ticket["id"])
    assert (after["priority"], after["group_id"]) == ("urgent", 2)
    assert set(after["tags"]) == {*ticket["tags"], "roomtone_tier_2"}
    untouched = ("status", "assignee_id", "requester_id", "subject", "description", "custom_fields")
    assert {name: after[name] for name in untouched} == {name: ticket[name] for name in untouched}
    [entry] = witness.entries("ticket_updated")
    assert set(entry["changed"]) <= {"priority", "group_id", "tags"}
    assert witness.entries("message_written", "ticket_status") == []


def test_a_stale_tag_of_ours_goes_and_an_agent_s_tag_stays(
    brand: Sandbox, mart: Mart, ticket: dict[str, Any], witness: Witness
) -> None:
    mart.route(ticket["id"], "urgent", "escalations", 2)
    sync(mart.settings, mart.commit(brand.now()), "zendesk")
    agent_changes(brand, ticket["id"], tags=[*ticket_now(brand, ticket["id"])["tags"], "vip"])
    mart.route(ticket["id"], "normal", "support", 0)
    sync(mart.settings, mart.commit(brand.now()), "zendesk")
    after = ticket_now(brand, ticket["id"])
    assert set(after["tags"]) == {*ticket["tags"], "vip", "roomtone_tier_0"}
    assert (after["priority"], after["group_id"]) == ("normal", 1)


def test_the_same_again_asks_nothing(brand: Sandbox, mart: Mart, ticket: dict[str, Any], witness: Witness) -> None:
    mart.route(ticket["id"], "high", "calm", 1)
    sync(mart.settings, mart.commit(brand.now()), "zendesk")
    witness.forward()
    sync(mart.settings, mart.commit(brand.now()), "zendesk")
    assert witness.entries("request") == []


def test_rows_of_other_sources_are_not_for_the_helpdesk(brand: Sandbox, mart: Mart, witness: Witness) -> None:
    mart.route(1, "urgent", "escalations", 2, source="files")
    report = sync(mart.settings, mart.commit(brand.now()), "zendesk")
    assert report.total.desired == 0
    assert witness.entries("request") == []


def test_a_ticket_that_is_gone_is_told_and_holds_up_nobody(
    brand: Sandbox, mart: Mart, ticket: dict[str, Any], witness: Witness
) -> None:
    mart.route(99_999_999, "urgent", "escalations", 2)
    mart.route(ticket["id"], "urgent", "escalations", 2)
    report = sync(mart.settings, mart.commit(brand.now()), "zendesk")
    assert (report.total.done, report.total.rejected) == (1, 1)
    assert report.notes == ("rejected 1 ticket_routing: 404 RecordNotFound: Not found",)


def test_a_queue_without_a_group_leaves_the_ticket_where_it_is(
    brand: Sandbox, mart: Mart, ticket: dict[str, Any], witness: Witness
) -> None:
    mart.route(ticket["id"], "low", "no_such_queue", 0)
    assert sync(mart.settings, mart.commit(brand.now()), "zendesk").total.done == 1
    after = ticket_now(brand, ticket["id"])
    assert (after["group_id"], after["priority"]) == (ticket["group_id"], "low")


def test_an_agent_who_saves_in_between_loses_nothing(
    brand: Sandbox, mart: Mart, ticket: dict[str, Any], witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    from roomtone.sync import transport

    def save_after_the_first_read(request: httpx.Request, response: httpx.Response) -> None:
        if request.method == "GET" and str(ticket["id"]) in str(request.url):
            transport.exchange_hooks.clear()
            # The vendor's stamps are of whole seconds, so the agent's change must fall into a later one.
            brand.advance(2)
            agent_changes(brand, ticket["id"], tags=[*ticket["tags"], "phoned"])

    transport.exchange_hooks.append(save_after_the_first_read)
    mart.route(ticket["id"], "urgent", "escalations", 3)
    try:
        assert sync(mart.settings, mart.commit(brand.now()), "zendesk").total.done == 1
    finally:
        transport.exchange_hooks.clear()
    assert {"phoned", "roomtone_tier_3"} <= set(ticket_now(brand, ticket["id"])["tags"])
    assert [entry["status"] for entry in witness.writes() if entry["method"] == "PUT"] == [200, 409, 200]


def test_routing_yields_to_a_pass_that_waits_and_the_most_urgent_goes_first(
    brand: Sandbox, mart: Mart, witness: Witness
) -> None:
    ids = any_tickets(brand, 14)
    for number, ticket_id in enumerate(ids):
        priority, queue, tier = ("urgent", "escalations", 2) if number >= 12 else ("low", "calm", 0)
        mart.route(ticket_id, priority, queue, tier)
    current = mart.commit(brand.now())
    first = sync(mart.settings, current, "zendesk", is_awaited=lambda: True)
    assert (first.total.planned, first.total.done, first.total.skipped) == (14, 5, 9)
    assert first.notes == ("left 9 ticket_routing to the next sync: a pass waits for this one",)
    assert [ticket_now(brand, ticket_id)["priority"] for ticket_id in ids[12:]] == ["urgent", "urgent"]
    second = sync(mart.settings, current, "zendesk")
    assert (second.total.planned, second.total.done) == (0, 9)
    assert {ticket_now(brand, ticket_id)["priority"] for ticket_id in ids[:12]} == {"low"}


def test_tickets_are_read_together(brand: Sandbox, mart: Mart, witness: Witness) -> None:
    ids = any_tickets(brand, 3)
    for ticket_id in ids:
        mart.route(ticket_id, "urgent", "escalations", 2)
    witness.forward()
    assert sync(mart.settings, mart.commit(brand.now()), "zendesk").total.done == len(ids) == 3
    paths = [entry["path"] for entry in witness.entries("request") if "/tickets/" in entry["path"]]
    assert sum("show_many" in path for path in paths) == 2
    assert len(paths) == 2 + len(ids)
