"""Vendors' shapes as the contract's records, where the sandbox alone would not show the difference."""

from datetime import UTC, datetime
from typing import Any

import pytest

from roomtone.contract import check
from roomtone.errors import RoomtoneError
from roomtone.extract import zendesk_records
from roomtone.extract.klaviyo import _campaign, _profile, _Scopes, event

AS_OF = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TICKET: dict[str, Any] = {
    "id": 7,
    "requester_id": 35,
    "via": {"channel": "mobile_sdk"},
    "subject": "Where is it",
    "status": "solved",
    "priority": "high",
    "assignee_id": 902,
    "group_id": 2,
    "custom_fields": [{"id": 1, "value": "x"}, {"id": 9001, "value": "100247"}],
    "created_at": "2026-03-01T10:00:00Z",
    "updated_at": "2026-03-01T13:00:00Z",
}


def _audit(number: int, at: str, *children: dict[str, Any]) -> dict[str, Any]:
    time = f"2026-03-01T{at}Z"
    return {
        "id": number,
        "ticket_id": 7,
        "timestamp": int(datetime.fromisoformat(time).timestamp()),
        "created_at": time,
        "child_events": list(children),
    }


CREATED = _audit(1, "10:00:00", {"event_type": "Create", "subject": "Where is it", "status": "new", "priority": None})
ANSWERED = _audit(
    2,
    "11:00:00",
    {"event_type": "Comment", "id": 21, "body": "Sorry"},
    {"event_type": "Change", "assignee_id": 901},
    {"event_type": "Change", "status": "pending", "previous_value": "new"},
)
PASSED_ON = _audit(3, "11:30:00", {"event_type": "Change", "group_id": 2}, {"event_type": "Change", "assignee_id": 902})
NOTED = _audit(4, "12:00:00", {"event_type": "Comment", "id": 22, "body": "Look into it"})
RAISED = _audit(5, "13:00:00", {"event_type": "Change", "priority": "high", "previous_value": None})
SOLVED = _audit(6, "13:00:00", {"event_type": "Change", "status": "solved", "previous_value": "pending"})
HISTORY = [CREATED, ANSWERED, PASSED_ON, NOTED, RAISED, SOLVED]


def _told(history: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    names = ("updated_at", "status", "priority", "assignee_id", "group_id")
    rows = [
        check("tickets", "zendesk", r.payload, AS_OF).row for r in zendesk_records.versions(TICKET, history, "9001")
    ]
    assert all(row["id"] == "zendesk-7" and row["order_id"] == "shop-100247" for row in rows)
    return [(row["updated_at"].strftime("%H:%M"), *(row[name] for name in names[1:])) for row in rows]


def test_a_ticket_is_told_as_it_was_after_each_change() -> None:
    whole = [
        ("10:00", "new", None, None, None),
        ("11:00", "pending", None, "901", None),
        ("11:30", "pending", None, "902", "2"),
        ("13:00", "solved", "high", "902", "2"),
    ]
    assert _told(HISTORY) == whole
    assert _told(HISTORY[::-1]) == whole
    # Without its beginning what an event does not tell is taken from the ticket of today.
    assert _told([ANSWERED, RAISED, SOLVED]) == [
        ("11:00", "pending", None, "901", "2"),
        ("13:00", "solved", "high", "901", "2"),
    ]
    assert _told([NOTED]) == []


@pytest.mark.parametrize(
    ("channel", "expected"),
    [("web", "form"), ("email", "email"), ("whatsapp", "chat"), ("sms", "sms"), ("voice", "form"), (None, "form")],
)
def test_channels_have_a_place_in_the_contract(channel: str | None, expected: str) -> None:
    record = zendesk_records.ticket(TICKET | {"via": {"channel": channel}}, "9001")
    assert check("tickets", "zendesk", record.payload, AS_OF).row["channel"] == expected


def test_only_given_ratings_are_ratings() -> None:
    rating = {
        "id": 1,
        "ticket_id": 7,
        "created_at": "2026-03-01T13:00:00Z",
        "updated_at": "2026-03-01T15:00:00Z",
    }
    assert zendesk_records.rating(rating | {"score": "offered"}) is None
    for score, expected in (("good", 5), ("bad", 1), ("bad_with_comment", 1)):
        record = zendesk_records.rating(rating | {"score": score})
        assert record is not None
        row = check("satisfaction_ratings", "zendesk", record.payload, AS_OF).row
        assert (row["score"], row["created_at"].hour) == (expected, 15)
    odd = zendesk_records.rating(rating | {"score": "splendid"})
    assert odd is not None
    with pytest.raises(RoomtoneError, match=r"satisfaction_ratings\.score"):
        check("satisfaction_ratings", "zendesk", odd.payload, AS_OF)


def test_who_wrote_decides_whose_message_it_is() -> None:
    comment = {"id": 21, "author_id": 35, "body": "Hello", "public": True}
    record = zendesk_records.message(ANSWERED, comment, "customer")
    row = check("messages", "zendesk", record.payload, AS_OF).row
    assert (row["id"], row["ticket_id"], row["author"]) == ("zendesk-21", "zendesk-7", "customer")
    assert row["created_at"].hour == 11
    with pytest.raises(RoomtoneError, match=r"messages\.author"):
        check("messages", "zendesk", zendesk_records.message(ANSWERED, comment, None).payload, AS_OF)
    assert zendesk_records.is_automatic({"via": {"channel": "answer_bot_for_sdk"}})
    assert not zendesk_records.is_automatic({"via": "email"})


def _sale(*tags: str, updated: str = "2026-03-01T10:00:00+00:00") -> dict[str, Any]:
    related = [{"type": "tag", "id": tag} for tag in tags]
    return {
        "id": "01H",
        "attributes": {"name": "Sale", "updated_at": updated},
        "relationships": {"tags": {"data": related}},
    }


TAGS = {"a": "roomtone:sales", "b": "roomtone:sale", "c": "spring", "d": "roomtone:transactional"}


@pytest.mark.parametrize(
    ("tags", "scope"),
    [((), None), (("c",), None), (("b",), None), (("c", "a"), "sales"), (("d",), "transactional"), (("z",), None)],
)
def test_a_campaign_has_the_scope_of_its_tag(tags: tuple[str, ...], scope: str | None) -> None:
    record = _campaign(_sale(*tags), "campaign", "email", _Scopes({}, AS_OF).of(_sale(*tags), TAGS))
    assert check("campaigns", "klaviyo", record.payload, AS_OF).row["scope"] == scope


def test_a_tag_given_later_makes_a_newer_version_and_goes_on_doing_so() -> None:
    def told(scopes: _Scopes, row: dict[str, Any]) -> tuple[str | None, str]:
        record = _campaign(row, "campaign", "email", scopes.of(row, TAGS))
        found = check("campaigns", "klaviyo", record.payload, AS_OF).row
        return found["scope"], found["version_at"].isoformat()

    first = _Scopes({}, AS_OF)
    assert told(first, _sale()) == (None, "2026-03-01T10:00:00")
    second = _Scopes(first.seen, AS_OF.replace(hour=10))
    assert told(second, _sale("a")) == ("sales", "2026-03-02T10:00:00")
    third = _Scopes(second.seen, AS_OF.replace(hour=11))
    assert told(third, _sale("a")) == ("sales", "2026-03-02T10:00:00")
    assert told(third, _sale("a", updated="2026-03-02T12:00:00+00:00")) == ("sales", "2026-03-02T12:00:00")


def _unsubscribed(**properties: str) -> dict[str, Any]:
    return {
        "id": "e1",
        "attributes": {"event_properties": properties, "datetime": "2026-03-01T10:00:00+00:00"},
        "relationships": {"profile": {"data": {"type": "profile", "id": "p1"}}},
    }


def test_an_event_belongs_to_its_flow_its_campaign_or_to_none() -> None:
    for properties, campaign in (
        ({"$flow": "f", "$message": "m"}, "klaviyo-f"),
        ({"$message": "m"}, "klaviyo-m"),
        ({}, "klaviyo-none"),
    ):
        record = event(_unsubscribed(**properties), "unsubscribed")
        row = check("marketing_events", "klaviyo", record.payload, AS_OF).row
        assert (row["campaign_id"], row["customer_id"], row["type"]) == (campaign, "klaviyo-p1", "unsubscribed")


@pytest.mark.parametrize(
    ("subscriptions", "expected"),
    [
        (
            {"email": {"marketing": {"consent": "SUBSCRIBED"}}, "sms": {"marketing": {"consent": "UNSUBSCRIBED"}}},
            (True, False),
        ),
        ({"email": {"marketing": None}}, (False, False)),
        (None, (False, False)),
    ],
)
def test_consent_is_what_the_platform_says_and_otherwise_none(subscriptions: Any, expected: tuple[bool, bool]) -> None:
    attributes = {"email": "a@example.com", "created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z"}
    record = _profile({"id": "p1", "attributes": attributes | {"subscriptions": subscriptions}})
    row = check("customers", "klaviyo", record.payload, AS_OF).row
    assert (row["email_marketing_consent"], row["sms_marketing_consent"]) == expected
