"""The helpdesk's API: exports lose and repeat nothing, the last minute is hidden, updates are safe."""

import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

EXPORT = "/api/v2/incremental/tickets/cursor.json"
EVENTS = "/api/v2/incremental/ticket_events.json"


def _all_tickets(brand: Any, size: int, **first: Any) -> tuple[list[dict[str, Any]], str | None]:
    """Follows the cursor to the end of the stream; waits a minute where the limit would bite."""
    rows, params = [], {"per_page": size, **first}
    while True:
        reply = brand.ask("zendesk", "GET", EXPORT, **params)
        if reply.status == 429:
            brand.wait(seconds=int(reply.headers["Retry-After"]))
            continue
        assert reply.status == 200, reply.body
        rows += reply.body["tickets"]
        if reply.body["end_of_stream"]:
            return rows, reply.body["after_cursor"]
        params = {"per_page": size, "cursor": reply.body["after_cursor"]}


def test_a_walk_through_small_pages_meets_every_ticket_once(brand: Any) -> None:
    tickets = brand.world.helpdesk.tickets
    # Ties: a third of all tickets moved by the system within one second.
    same = brand.world.at - timedelta(hours=1)
    for ticket in list(tickets.values())[::3]:
        brand.world.helpdesk.system_touch(ticket, same)
    shown = {t.id for t in tickets.values() if t.generated_at <= brand.world.at.timestamp() - 60}
    reply = brand.ask("zendesk", "GET", EXPORT, start_time=1)
    assert {t["id"] for t in reply.body["tickets"]} == shown
    rows, _ = _all_tickets(brand, 7, start_time=1)
    seen = Counter(row["id"] for row in rows)
    assert set(seen) >= shown
    # Some changed while the walk waited for the limit; those may come twice, with a later place.
    places = [(row["generated_timestamp"], row["id"]) for row in rows]
    assert places == sorted(set(places))


def test_the_cursor_goes_on_for_ever(brand: Any) -> None:
    _, cursor = _all_tickets(brand, 100, start_time=1)
    again = brand.ask("zendesk", "GET", EXPORT, cursor=cursor).body
    assert (again["tickets"], again["end_of_stream"], again["after_cursor"]) == ([], True, cursor)
    ticket = next(t for t in brand.world.helpdesk.tickets.values() if t.status == "closed")
    before = ticket.updated_at
    brand.world.helpdesk.system_touch(ticket, brand.world.at)
    brand.wait(seconds=61)
    found = [t for t in brand.ask("zendesk", "GET", EXPORT, cursor=cursor).body["tickets"] if t["id"] == ticket.id]
    assert len(found) == 1, "a system update brings a ticket back"
    assert found[0]["updated_at"] == before.strftime("%Y-%m-%dT%H:%M:%SZ"), "and does not move updated_at"


def test_nothing_younger_than_a_minute_is_shown(brand: Any) -> None:
    t0 = brand.world.story.t0
    brand.world.advance(t0 + timedelta(seconds=59))
    maya = brand.world.story.told()["people"]["maya"]["ticket_id"]

    def shown() -> tuple[bool, bool]:
        start = int(t0.timestamp()) - 100
        tickets = brand.ask("zendesk", "GET", EXPORT, start_time=start).body["tickets"]
        events = brand.ask("zendesk", "GET", EVENTS, start_time=start, include="comment_events").body["ticket_events"]
        return maya in {t["id"] for t in tickets}, maya in {e["ticket_id"] for e in events}

    assert shown() == (False, False)
    brand.wait(seconds=1)
    assert shown() == (True, True)


def test_a_start_time_of_the_last_minute_is_refused(brand: Any) -> None:
    now = int(brand.world.at.timestamp())
    for path in (EXPORT, EVENTS):
        assert brand.ask("zendesk", "GET", path, start_time=now - 59).status == 422
        assert brand.ask("zendesk", "GET", path, start_time=now - 60).status == 200
        assert brand.ask("zendesk", "GET", path).status == 400


def test_the_event_export_holds_every_public_and_internal_comment(brand: Any) -> None:
    brand.wait(seconds=61)
    start, found, pages = 1, Counter[int](), 0
    while True:
        body = brand.ask("zendesk", "GET", EVENTS, start_time=start, include="comment_events").body
        pages += 1
        for event in body["ticket_events"]:
            found.update(c["id"] for c in event["child_events"] if c["event_type"] == "Comment")
        if body["end_of_stream"]:
            break
        assert body["end_time"] > start
        assert body["next_page"].endswith(f"start_time={body['end_time']}&include=comment_events")
        start = body["end_time"]
    horizon = brand.world.at - timedelta(seconds=60)
    expected = {c.id for c in brand.world.helpdesk.comments.values() if int(c.at.timestamp()) <= horizon.timestamp()}
    assert set(found) == expected
    assert any(not c.is_public for c in brand.world.helpdesk.comments.values())


def test_a_second_fuller_than_a_page_is_shown_whole(brand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader goes on from `end_time`: a page that ended inside a second would be asked for again and again."""
    monkeypatch.setattr("roomtone.sandbox.helpdesk_api.EXPORT_PAGE", 5)
    ticket = next(t for t in brand.world.helpdesk.tickets.values() if t.status != "closed")
    start = int(brand.world.at.timestamp())
    for number in range(12):
        brand.world.helpdesk.agent_writes(ticket, 901, f"Step {number}.", brand.world.at, is_public=False)
    brand.wait(seconds=70)
    body = brand.ask("zendesk", "GET", EVENTS, start_time=start, include="comment_events").body
    said = [c["body"] for e in body["ticket_events"] for c in e["child_events"] if c["event_type"] == "Comment"]
    assert {f"Step {number}." for number in range(12)} <= set(said)


def test_without_the_sideload_a_comment_has_no_words(brand: Any) -> None:
    body = brand.ask("zendesk", "GET", EVENTS, start_time=1).body
    comments = [c for e in body["ticket_events"] for c in e["child_events"] if c["event_type"] == "Comment"]
    assert comments
    assert all("body" not in c and c["comment_present"] for c in comments)


def test_the_list_of_audits_shows_what_the_exports_hold_back(brand: Any) -> None:
    t0 = brand.world.story.t0
    brand.world.advance(t0 + timedelta(seconds=2))
    maya = brand.world.story.told()["people"]["maya"]["ticket_id"]
    page = brand.ask("zendesk", "GET", "/api/v2/ticket_audits.json", limit=100).body
    assert page["audits"][0]["ticket_id"] == maya
    assert [event["type"] for event in page["audits"][0]["events"]].count("Comment") == 1
    stamps = [audit["created_at"] for audit in page["audits"]]
    assert stamps == sorted(stamps, reverse=True)
    older = brand.ask("zendesk", "GET", "/api/v2/ticket_audits.json", limit=100, cursor=page["after_cursor"]).body
    assert not {audit["id"] for audit in older["audits"]} & {audit["id"] for audit in page["audits"]}
    assert older["audits"][0]["created_at"] <= stamps[-1]


def test_ten_exports_a_minute_and_then_wait(brand: Any) -> None:
    for number in range(10):
        path = EXPORT if number % 2 else EVENTS
        assert brand.ask("zendesk", "GET", path, start_time=1).status == 200
    refused = brand.ask("zendesk", "GET", EXPORT, start_time=1)
    assert refused.status == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert brand.ask("zendesk", "GET", "/api/v2/groups.json").status == 200, "other calls have a limit of their own"
    brand.wait(seconds=int(refused.headers["Retry-After"]))
    assert brand.ask("zendesk", "GET", EXPORT, start_time=1).status == 200


def test_an_update_changes_priority_group_and_tags_and_is_logged(brand: Any) -> None:
    ticket = next(t for t in brand.world.helpdesk.tickets.values() if t.status == "open")
    path = f"/api/v2/tickets/{ticket.id}.json"
    wanted = {"ticket": {"priority": "urgent", "group_id": 2, "additional_tags": ["roomtone_negative"]}}
    body = brand.ask("zendesk", "PUT", path, wanted).body
    assert (body["ticket"]["priority"], body["ticket"]["group_id"]) == ("urgent", 2)
    assert body["ticket"]["tags"] == [f"channel_{ticket.channel}", "roomtone_negative"]
    assert {e["field_name"] for e in body["audit"]["events"]} == {"priority", "group_id", "tags"}
    place = ticket.generated_at
    brand.wait(seconds=5)
    assert brand.ask("zendesk", "PUT", path, wanted).status == 200
    assert ticket.generated_at == place, "an update that changes nothing leaves the export alone"
    assert [bool(e["changed"]) for e in brand.log("ticket_updated")] == [True, False]
    removed = brand.ask("zendesk", "PUT", path, {"ticket": {"remove_tags": ["roomtone_negative"]}}).body
    assert removed["ticket"]["tags"] == [f"channel_{ticket.channel}"]


def test_a_safe_update_with_an_old_stamp_collides(brand: Any) -> None:
    ticket = next(t for t in brand.world.helpdesk.tickets.values() if t.status == "open")
    path = f"/api/v2/tickets/{ticket.id}.json"
    stamp = brand.ask("zendesk", "GET", path).body["ticket"]["updated_at"]
    brand.wait(seconds=2)
    brand.world.helpdesk.agent_writes(ticket, 901, "One moment.", brand.world.at, is_public=True)
    wanted = {"priority": "high", "safe_update": True, "updated_stamp": stamp}
    assert brand.ask("zendesk", "PUT", path, {"ticket": wanted}).status == 409
    fresh = brand.ask("zendesk", "GET", path).body["ticket"]["updated_at"]
    assert brand.ask("zendesk", "PUT", path, {"ticket": wanted | {"updated_stamp": fresh}}).status == 200


@pytest.mark.parametrize(
    ("ticket", "status"),
    [({"priority": "shouting"}, 422), ({"group_id": 77}, 422), ({"tags": "one"}, 422), ({"status": "lost"}, 422)],
)
def test_a_bad_update_is_refused_whole(brand: Any, ticket: dict[str, Any], status: int) -> None:
    found = next(t for t in brand.world.helpdesk.tickets.values() if t.status == "open")
    reply = brand.ask("zendesk", "PUT", f"/api/v2/tickets/{found.id}.json", {"ticket": {"priority": "low", **ticket}})
    assert reply.status == status
    assert found.priority is None


def test_closed_unknown_and_unauthorised(brand: Any) -> None:
    closed = next(t for t in brand.world.helpdesk.tickets.values() if t.status == "closed")
    update = {"ticket": {"priority": "low"}}
    assert brand.ask("zendesk", "PUT", f"/api/v2/tickets/{closed.id}.json", update).status == 422
    assert brand.ask("zendesk", "PUT", "/api/v2/tickets/1.json", update).status == 404
    assert brand.ask("zendesk", "GET", "/api/v2/groups.json", headers={}).status == 401
    assert brand.ask("zendesk", "DELETE", f"/api/v2/tickets/{closed.id}.json").status == 405


def test_users_groups_and_ratings(brand: Any) -> None:
    groups = brand.ask("zendesk", "GET", "/api/v2/groups.json").body["groups"]
    assert [(g["id"], g["name"]) for g in groups] == [(1, "Support"), (2, "Escalations"), (3, "Calm")]
    maya = brand.ask("zendesk", "GET", "/api/v2/users.json", external_id="1002").body["users"]
    assert [user["email"] for user in maya] == ["tom.lindqvist@example.com"]
    ratings, page = [], 1
    while True:
        body = brand.ask(
            "zendesk", "GET", "/api/v2/satisfaction_ratings.json", start_time=1, per_page=20, page=page
        ).body
        ratings += body["satisfaction_ratings"]
        if body["next_page"] is None:
            break
        page += 1
    assert len({r["id"] for r in ratings}) == len(ratings) == len(brand.world.helpdesk.ratings)
    assert {r["score"] for r in ratings} == {"offered", "good", "bad"}


def test_words_of_customers_do_not_reach_the_log(brand: Any) -> None:
    brand.wait(hours=30)
    logged = json.dumps(brand.world.witness.after(0)["entries"], ensure_ascii=False)
    assert not [c.id for c in brand.world.helpdesk.comments.values() if len(c.body) > 20 and c.body in logged]
