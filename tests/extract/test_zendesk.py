"""The Zendesk source where a helpdesk does what the sandbox never does: strangers, deletions, circles, other shapes."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from extract.desk import AS_OF, Desk
from extract.vendor import Vendor
from roomtone.errors import RoomtoneError
from roomtone.extract import StreamCount, extract
from roomtone.settings import load_settings

AT = "2026-03-01T10:00:00Z"
SECOND = 1_772_359_200
NO_EVENTS = {"ticket_events": [], "end_time": 1, "next_page": None, "end_of_stream": True}
NO_RATINGS = {"satisfaction_ratings": [], "next_page": None}
AUDITS = "/desk/api/v2/ticket_audits.json"


def _ticket(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "requester_id": 35,
        "via": {"channel": "email"},
        "status": "open",
        "created_at": AT,
        "updated_at": AT,
        "generated_timestamp": SECOND,
    } | changes


def _user(number: int, role: str) -> dict[str, Any]:
    return {"id": number, "role": role, "name": "Somebody", "created_at": AT, "updated_at": AT}


def _tickets(*tickets: dict[str, Any], users: tuple[dict[str, Any], ...] = (), **changes: Any) -> dict[str, Any]:
    return {"tickets": list(tickets), "users": list(users), "after_cursor": "c1", "end_of_stream": True} | changes


def _said(number: int, author: int, ticket: int = 7, second: int = SECOND) -> dict[str, Any]:
    comment = {"id": number + 1000, "event_type": "Comment", "author_id": author, "body": "Hello", "public": True}
    change = {"id": number + 2000, "event_type": "Change", "status": "open", "previous_value": "new"}
    return {
        "id": number,
        "ticket_id": ticket,
        "timestamp": second,
        "created_at": AT,
        "updater_id": author,
        "child_events": [comment, change],
    }


def _events(*events: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return NO_EVENTS | {"ticket_events": list(events), "end_time": SECOND} | changes


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    running = Vendor()
    running.aside[AUDITS] = {"audits": []}
    yield running
    running.close()


@pytest.fixture
def helpdesk(vendor: Vendor, tmp_path: Path) -> Desk:
    environ = {
        "ROOMTONE_HOME": str(tmp_path),
        "ROOMTONE_ZENDESK_URL": f"{vendor.url}/desk",
        "ROOMTONE_ZENDESK_TOKEN": "secret-token",
        "ROOMTONE_ZENDESK_BOT_USER_IDS": "900, 901",
    }
    return Desk(load_settings(environ), tmp_path)


def _answers(vendor: Vendor, *bodies: Any) -> None:
    vendor.paths.clear()
    vendor.script = [body if isinstance(body, tuple) else (200, body, {}) for body in bodies]


def test_authors_are_looked_up_once_and_the_unknown_are_quarantined(vendor: Vendor, helpdesk: Desk) -> None:
    spoken = [_said(1, 35), _said(2, 36), _said(3, 990), _said(4, 404), _said(5, 404), _said(6, 901), _said(7, -1)]
    _answers(
        vendor,
        _tickets(_ticket(7), users=(_user(35, "end-user"),)),
        _events(*spoken),
        {"users": [_user(36, "end-user"), _user(990, "admin")]},
        NO_RATINGS,
    )
    report = extract(helpdesk.settings, "zendesk", AS_OF)
    assert vendor.paths[2] == "/desk/api/v2/users/show_many.json?ids=36%2C990%2C404"
    assert report.streams["messages"] == StreamCount(read=7, landed=5, quarantined=2)
    assert report.streams["customers"] == StreamCount(read=2, landed=2)
    authors = {row["id"]: row["author"] for row in helpdesk.rows("messages", "zendesk")}
    assert authors == {
        "zendesk-1001": "customer",
        "zendesk-1002": "customer",
        "zendesk-1003": "agent",
        "zendesk-1006": "bot",
        "zendesk-1007": "bot",
    }
    # Everybody is known by now, over runs too.
    later = [_said(number + 10, author, second=SECOND + 1) for number, author in enumerate((35, 36, 990))]
    _answers(vendor, _tickets(_ticket(7)), _events(*later, end_time=SECOND + 1), NO_RATINGS)
    extract(helpdesk.settings, "zendesk", AS_OF)
    assert len(vendor.paths) == 3
    assert len(helpdesk.rows("messages", "zendesk")) == 8


def test_a_ticket_that_only_its_events_name_is_fetched_and_a_deleted_one_is_not_missed(
    vendor: Vendor, helpdesk: Desk
) -> None:
    _answers(
        vendor,
        _tickets(users=(_user(35, "end-user"),)),
        _events(_said(1, 35, ticket=7), _said(2, 35, ticket=8)),
        {"tickets": [_ticket(7)]},
        NO_RATINGS,
    )
    extract(helpdesk.settings, "zendesk", AS_OF)
    assert vendor.paths[2] == "/desk/api/v2/tickets/show_many.json?ids=7%2C8"
    assert {row["id"] for row in helpdesk.rows("tickets", "zendesk")} == {"zendesk-7"}
    assert {row["ticket_id"] for row in helpdesk.rows("messages", "zendesk")} == {"zendesk-7", "zendesk-8"}


def test_the_cursor_is_kept_at_the_end_of_the_stream_and_a_missing_one_is_not(vendor: Vendor, helpdesk: Desk) -> None:
    for cursor, asked in ((None, "start_time=1&"), ("c1", "start_time=1&"), ("c1", "cursor=c1&")):
        _answers(vendor, _tickets(after_cursor=cursor), NO_EVENTS, NO_RATINGS)
        extract(helpdesk.settings, "zendesk", AS_OF)
        assert vendor.paths[0].startswith(f"/desk/api/v2/incremental/tickets/cursor.json?{asked}")


def test_a_cursor_that_stands_still_is_told_and_what_came_before_stays(vendor: Vendor, helpdesk: Desk) -> None:
    page = _tickets(_ticket(7), users=(_user(35, "end-user"),), end_of_stream=False)
    _answers(vendor, page, page, page)
    with pytest.raises(RoomtoneError, match="same page of tickets again and again"):
        extract(helpdesk.settings, "zendesk", AS_OF)
    assert len(vendor.paths) == 2
    assert len(helpdesk.rows("tickets", "zendesk")) == 1

    still = _events(_said(1, 35), end_of_stream=False)
    _answers(vendor, _tickets(_ticket(7)), still, still)
    with pytest.raises(RoomtoneError, match="same page of ticket events again and again"):
        extract(helpdesk.settings, "zendesk", AS_OF)

    link = f"{vendor.url}/desk/api/v2/satisfaction_ratings.json?page=2"
    ratings = NO_RATINGS | {"next_page": link}
    _answers(vendor, _tickets(), NO_EVENTS, ratings, ratings, ratings)
    with pytest.raises(RoomtoneError, match="same page of satisfaction ratings again and again"):
        extract(helpdesk.settings, "zendesk", AS_OF)


def test_a_link_to_another_server_is_not_followed(vendor: Vendor, helpdesk: Desk) -> None:
    _answers(vendor, _tickets(), NO_EVENTS, NO_RATINGS | {"next_page": "https://evil.example/steal"})
    with pytest.raises(RoomtoneError, match=r"links to another server \(evil\.example\)"):
        extract(helpdesk.settings, "zendesk", AS_OF)


def test_another_shape_is_told(vendor: Vendor, helpdesk: Desk) -> None:
    _answers(vendor, {"tickets": "none"})
    with pytest.raises(RoomtoneError, match="sends tickets in another shape"):
        extract(helpdesk.settings, "zendesk", AS_OF)


def test_a_bad_ticket_is_quarantined_with_the_rest_landed(vendor: Vendor, helpdesk: Desk) -> None:
    page = _tickets(_ticket(7), _ticket(8, status="waiting"), _ticket(9, requester_id=None))
    _answers(vendor, page, NO_EVENTS, NO_RATINGS)
    report = extract(helpdesk.settings, "zendesk", AS_OF)
    assert report.streams["tickets"] == StreamCount(read=3, landed=1, quarantined=2)
    assert {entry["location"] for entry in helpdesk.quarantine()} == {"tickets/8", "tickets/9"}


def _audit(number: int, author: int, second: str, ticket: int = 7) -> dict[str, Any]:
    comment = {"id": number + 1000, "type": "Comment", "author_id": author, "body": "Hello", "public": True}
    change = {"id": number + 2000, "type": "Change", "field_name": "status", "value": "open"}
    return {"id": number, "ticket_id": ticket, "created_at": second, "author_id": author, "events": [comment, change]}


def test_what_the_exports_hold_back_is_heard_from_the_audits_and_counts_once(vendor: Vendor, helpdesk: Desk) -> None:
    _answers(vendor, _tickets(_ticket(7), users=(_user(35, "end-user"),)), _events(_said(1, 35)), NO_RATINGS)
    extract(helpdesk.settings, "zendesk", AS_OF)
    # In the next minute: the one who wrote before, a newcomer, one of the team, and one whom nobody knows.
    later = "2026-03-01T10:00:40Z"
    vendor.aside |= {
        AUDITS: {"audits": [_audit(n, author, later, 8) for n, author in ((2, 35), (3, 36), (4, 990), (5, 404))]},
        "/desk/api/v2/users/show_many.json": {"users": [_user(36, "end-user"), _user(990, "admin")]},
        "/desk/api/v2/tickets/show_many.json": {"tickets": [_ticket(8, requester_id=36, updated_at=later)]},
    }
    _answers(vendor, _tickets(), NO_EVENTS, NO_RATINGS)
    report = extract(helpdesk.settings, "zendesk", AS_OF)
    assert report.streams["messages"] == StreamCount(read=3, landed=3)
    assert {row["id"]: row["author"] for row in helpdesk.rows("messages", "zendesk")} == {
        "zendesk-1001": "customer",
        "zendesk-1002": "customer",
        "zendesk-1003": "customer",
        "zendesk-1004": "agent",
    }
    assert {row["id"] for row in helpdesk.rows("tickets", "zendesk")} == {"zendesk-7", "zendesk-8"}
    assert {row["id"] for row in helpdesk.rows("customers", "zendesk")} == {"zendesk-35", "zendesk-36"}
    assert [path for path in vendor.asked_aside if "/users/" in path] == [
        "/desk/api/v2/users/show_many.json?ids=36%2C990%2C404"
    ], "whoever wrote is not asked for again as a requester"
    # Now the exports show the same, and the one whom the lookup did not know.
    shown = [_said(n, author, 8, SECOND + 40) | {"created_at": later} for n, author in ((2, 35), (3, 36), (4, 990))]
    _answers(
        vendor,
        _tickets(_ticket(8, requester_id=36, updated_at=later)),
        _events(*shown, _said(5, 404, 8, SECOND + 40) | {"created_at": later}, end_time=SECOND + 40),
        NO_RATINGS,
    )
    report = extract(helpdesk.settings, "zendesk", AS_OF)
    assert report.streams["messages"] == StreamCount(read=7, duplicate=6, quarantined=1)
    assert len(helpdesk.rows("messages", "zendesk")) == 4


def test_audits_that_cannot_be_read_leave_it_to_the_exports(vendor: Vendor, helpdesk: Desk) -> None:
    _answers(vendor, _tickets(_ticket(7), users=(_user(35, "end-user"),)), _events(_said(1, 35)), NO_RATINGS)
    extract(helpdesk.settings, "zendesk", AS_OF)
    unreadable = ({"error": "Forbidden"}, {"audits": "none"}, {"audits": [None, {"events": 1}]}, [])
    for number, answer in enumerate(unreadable, start=2):
        vendor.aside[AUDITS] = answer
        second = SECOND + number
        _answers(vendor, _tickets(), _events(_said(number, 35, second=second), end_time=second), NO_RATINGS)
        report = extract(helpdesk.settings, "zendesk", AS_OF)
        assert report.streams["messages"] == StreamCount(read=1, landed=1)


def test_the_exports_of_runs_that_follow_each_other_keep_one_limit(vendor: Vendor, tmp_path: Path) -> None:
    """Ten exports a minute: two by each run, and the sixth run in a minute is one too many."""
    environ = {
        "ROOMTONE_HOME": str(tmp_path),
        "ROOMTONE_ZENDESK_URL": f"{vendor.url}/desk",
        "ROOMTONE_ZENDESK_TOKEN": "secret-token",
        "ROOMTONE_ZENDESK_BUDGET_SECONDS": "1",
    }
    settings = load_settings(environ)
    a_run = (_tickets(_ticket(7)), _events(), NO_RATINGS)
    for second in range(0, 50, 10):
        _answers(vendor, *a_run)
        assert extract(settings, "zendesk", AS_OF + timedelta(seconds=second)).unfinished == ""
    _answers(vendor, *a_run)
    assert "rate limit" in extract(settings, "zendesk", AS_OF + timedelta(seconds=50)).unfinished
    assert [path for path in vendor.paths if "incremental" in path] == []
    assert extract(settings, "zendesk", AS_OF + timedelta(seconds=62)).unfinished == ""
