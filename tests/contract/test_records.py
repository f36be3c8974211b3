"""The input records of the contract: what fits, what is refused, and with which words."""

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from roomtone.contract import SCOPES, STREAMS, check
from roomtone.errors import RoomtoneError

RECEIVED_AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
AT = "2026-03-02T08:00:00Z"

RECORDS = {
    "customers": {
        "id": "c1",
        "email_marketing_consent": True,
        "sms_marketing_consent": "unsubscribed",
        "created_at": AT,
        "updated_at": AT,
    },
    "tickets": {
        "id": "t1",
        "customer_id": "c1",
        "channel": "in_app",
        "status": "hold",
        "created_at": AT,
        "updated_at": AT,
    },
    "messages": {
        "id": "m1",
        "ticket_id": "t1",
        "author": "customer",
        "body": "",
        "is_public": True,
        "created_at": AT,
        "updated_at": AT,
    },
    "satisfaction_ratings": {"id": "r1", "ticket_id": "t1", "score": 5, "created_at": AT},
    "orders": {
        "id": "o1",
        "customer_id": "c1",
        "placed_at": AT,
        "total": 19.99,
        "currency": "EUR",
        "status": "paid",
        "updated_at": AT,
    },
    "shipments": {"id": "s1", "order_id": "o1", "last_scan_at": AT, "updated_at": AT},
    "campaigns": {
        "id": "k1",
        "name": "Spring",
        "kind": "flow",
        "channel": "push",
        "scope": "transactional",
        "updated_at": AT,
    },
    "marketing_events": {
        "id": "e1",
        "customer_id": "c1",
        "campaign_id": "k1",
        "type": "marked_spam",
        "occurred_at": AT,
    },
}


@pytest.mark.parametrize("stream", STREAMS)
def test_a_complete_record_lands_with_its_version_and_source(stream: str) -> None:
    row = check(stream, "files", RECORDS[stream] | {"unknown": {"kept": 1}}, RECEIVED_AT).row
    assert list(row) == STREAMS[stream].landed_schema.names
    assert row["source"] == "files"
    assert row["version_at"] == datetime(2026, 3, 2, 8)  # noqa: DTZ001 - landed timestamps are UTC without zone
    assert '"kept": 1' in row["payload"]
    assert pa.Table.from_pylist([row], schema=STREAMS[stream].landed_schema).num_rows == 1


@pytest.mark.parametrize("stream", STREAMS)
def test_each_required_field_is_named_when_it_is_missing(stream: str) -> None:
    for name, field in STREAMS[stream].record.model_fields.items():
        if field.is_required():
            record = {key: value for key, value in RECORDS[stream].items() if key != name}
            with pytest.raises(RoomtoneError, match=f"{stream}.{name}: is missing; send the field"):
                check(stream, "files", record, RECEIVED_AT)


@pytest.mark.parametrize(
    ("stream", "change", "words"),
    [
        ("messages", {"id": 4}, "messages.id: 4; Input should be a valid string"),
        ("messages", {"id": ""}, "messages.id: ''"),
        ("messages", {"author": "robot"}, "'customer', 'agent' or 'bot'"),
        ("messages", {"is_public": "yes"}, "messages.is_public: 'yes'; Input should be a valid boolean"),
        ("messages", {"body": 12}, "messages.body: a int; Input should be a valid string"),
        ("messages", {"body": "\ud800"}, "messages.body: a str; holds a lone surrogate"),
        ("messages", {"created_at": "2026-03-02T08:00:00"}, "has no UTC offset"),
        ("messages", {"created_at": "2026-03-02"}, "is not an RFC 3339 timestamp"),
        ("messages", {"created_at": 1772438400}, "1772438400 is not an RFC 3339 timestamp"),
        ("messages", {"created_at": "2026-02-30T08:00:00Z"}, "is not an RFC 3339 timestamp"),
        ("messages", {"created_at": "0001-01-01T00:00:00+14:00"}, "is outside the calendar"),
        ("tickets", {"status": "waiting"}, "tickets.status: 'waiting'"),
        ("tickets", {"channel": "pigeon"}, "tickets.channel: 'pigeon'"),
        ("satisfaction_ratings", {"score": 6}, "less than or equal to 5"),
        ("satisfaction_ratings", {"score": 4.5}, "valid integer"),
        ("orders", {"total": "many"}, "orders.total: 'many'"),
        ("orders", {"total": -1}, "greater than or equal to 0"),
        ("campaigns", {"scope": "blackout"}, "campaigns.scope: 'blackout'"),
        ("customers", {"email_marketing_consent": "maybe"}, "customers.email_marketing_consent: 'maybe'"),
        ("marketing_events", {"type": "vanished"}, "marketing_events.type: 'vanished'"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(stream: str, change: dict, words: str) -> None:
    with pytest.raises(RoomtoneError) as refused:
        check(stream, "files", RECORDS[stream] | change, RECEIVED_AT)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_reason_never_repeats_what_the_customer_wrote() -> None:
    with pytest.raises(RoomtoneError) as refused:
        check("messages", "files", RECORDS["messages"] | {"body": ["my card is 4111 1111"]}, RECEIVED_AT)
    assert "4111" not in str(refused.value)


def test_only_the_contract_s_fields_make_a_version() -> None:
    first = check("messages", "files", RECORDS["messages"], RECEIVED_AT)
    same = check("messages", "files", RECORDS["messages"] | {"trace": "abc"}, RECEIVED_AT)
    other_offset = check(
        "messages", "files", RECORDS["messages"] | {"updated_at": "2026-03-02T09:00:00+01:00"}, RECEIVED_AT
    )
    edited = check("messages", "files", RECORDS["messages"] | {"body": "edited"}, RECEIVED_AT)
    assert first.key == same.key == other_offset.key
    assert edited.key != first.key


def test_money_keeps_its_cents() -> None:
    assert check("orders", "files", RECORDS["orders"], RECEIVED_AT).row["total"] == Decimal("19.99")


def test_transactional_is_never_a_scope() -> None:
    assert "transactional" not in SCOPES
