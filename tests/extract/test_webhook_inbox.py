"""From the inbox into the raw store: once however often it came, in the shapes of the poll, nothing lost, all named."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import wait
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from extract.desk import AS_OF, Desk, message
from extract.vendor import Vendor
from roomtone import pipeline
from roomtone.extract import ExtractReport, extract
from roomtone.extract.inbox import WebhookSource
from roomtone.score.scoring import score_pass
from roomtone.settings import Settings, load_settings
from roomtone.stores import inbox
from roomtone.stores.inbox import Delivery, InboxWriter
from roomtone.stores.operational import OperationalStore
from roomtone.stores.operational import inbox as inbox_table
from roomtone.transform import transform
from roomtone.validate import validate

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
AT = "2026-03-02T08:59:30Z"

ZENDESK_TICKET = {
    "id": 7,
    "requester_id": 35,
    "via": {"channel": "email"},
    "status": "open",
    "subject": "Lost",
    "custom_fields": [{"id": 9001, "value": "5001"}],
    "created_at": AT,
    "updated_at": AT,
}
ZENDESK_USER = {
    "id": 35,
    "role": "end-user",
    "name": "Maya",
    "email": "m@example.com",
    "created_at": AT,
    "updated_at": AT,
}


def zendesk_event(number: int = 1, **author: Any) -> dict[str, Any]:
    said = {"id": str(1000 + number), "body": "Where is it?", "is_public": True}
    said["author"] = {"id": "35", "is_staff": False, "name": "Maya"} | author
    return {
        "type": "zen:event-type:ticket.comment_added",
        "account_id": 1,
        "id": f"event-{number}",
        "time": "2026-03-02T08:59:30.672717030Z",
        "zendesk_event_version": "2022-11-06",
        "subject": "zen:ticket:7",
        "detail": {"id": "7", "requester_id": "35", "status": "OPEN"},
        "event": {"comment": said},
    }


class Box:
    """An inbox and what became of it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = OperationalStore(settings)
        self.desk = Desk(settings, settings.home)
        self._count = 0

    def put(self, sender: str, *bodies: dict[str, Any] | bytes, delivery_id: str | None = None) -> None:
        writer = InboxWriter(self.store)
        for body in bodies:
            self._count += 1
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            content = f"{self._count}.".encode() + raw
            writer.append(Delivery(sender, delivery_id or f"d{self._count}", content, raw, NOW)).result(5)
        writer.close()

    def drain(self) -> ExtractReport:
        return extract(self.settings, "webhook", AS_OF)

    def rows(self, stream: str) -> list[dict[str, Any]]:
        return self.desk.rows(stream, "webhook")

    def table(self) -> list[Any]:
        with self.store.begin() as connection:
            return list(connection.execute(sa.select(inbox_table).order_by(inbox_table.c.inbox_id)))


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    running = Vendor()
    yield running
    running.close()


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(load_settings({"ROOMTONE_HOME": str(tmp_path / "home"), "ROOMTONE_SOURCES": "webhook"}))
    yield made
    made.store.close()


def test_a_hundred_replays_are_one_row(box: Box) -> None:
    writer = InboxWriter(box.store)
    body = json.dumps({"type": "messages", "data": message(1)}).encode()
    genuine = [Delivery("generic", "msg_1", b"signed", body, NOW + timedelta(seconds=n)) for n in range(100)]
    # The id of a sender that does not sign it may be anything: what was signed tells that it is the same.
    renamed = [Delivery("zendesk", f"id-{n}", b"signed", body, NOW) for n in range(100)]
    repeated = [Delivery("zendesk", "id-0", f"signed {n}".encode(), body, NOW) for n in range(100)]
    wait([writer.append(delivery) for delivery in (*genuine, *renamed, *repeated)], timeout=30)
    writer.close()
    assert [row.sender for row in box.table()] == ["generic", "zendesk"]


def test_many_senders_share_few_commits(box: Box) -> None:
    commits = []
    writer = InboxWriter(box.store, lambda: commits.append(1))
    deliveries = [Delivery("generic", f"d{n}", f"c{n}".encode(), b"{}", NOW) for n in range(400)]

    def send(part: list[Delivery]) -> None:
        for delivery in part:
            writer.append(delivery).result(30)

    senders = [threading.Thread(target=send, args=(deliveries[n::50],)) for n in range(50)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    writer.close()
    assert len(box.table()) == 400
    assert len(commits) < 200, "each sender waited for a commit of its own"


def test_a_store_that_cannot_be_written_fails_each_sender_and_the_writer_lives_on(box: Box) -> None:
    writer = InboxWriter(box.store)
    with box.store.begin() as connection:
        connection.execute(sa.text("alter table inbox rename to elsewhere"))
    with pytest.raises(sa.exc.OperationalError):
        writer.append(Delivery("generic", "1", b"1", b"{}", NOW)).result(10)
    with box.store.begin() as connection:
        connection.execute(sa.text("alter table elsewhere rename to inbox"))
    writer.append(Delivery("generic", "2", b"2", b"{}", NOW)).result(10)
    writer.close()
    assert [row.delivery_id for row in box.table()] == ["2"]


def test_generic_records_land_once_and_their_bodies_leave_the_inbox(box: Box) -> None:
    box.put("generic", {"type": "messages", "data": message(1)}, {"type": "messages", "data": [message(1), message(2)]})
    report = box.drain()
    assert (report.total.read, report.total.landed, report.total.duplicate) == (3, 2, 1)
    assert {row["id"] for row in box.rows("messages")} == {"m1", "m2"}
    assert all(row.landed_at is not None and row.body == b"" for row in box.table())
    again = box.drain()
    assert (again.load_id, again.total.read) == (None, 0)


def test_what_cannot_be_read_is_kept_with_its_reason(box: Box) -> None:
    box.put("generic", b"{", b"[1]", {"type": "letters", "data": {}}, {"type": "messages", "data": 5}, b"", b"\xff\xfe")
    box.put("generic", {"type": "messages", "data": message(1, author="nobody")}, b"[" * 100_000)
    box.put("zendesk", {"ticket": 5})
    box.put("klaviyo", {"data": {}})
    box.put("intercom", {"topic": "user.created", "data": {}})
    box.put("generic", {"type": "messages", "data": message(2)})
    report = box.drain()
    assert report.total.landed == 1
    reasons = {row["location"].split("/")[1]: row["reason"] for row in box.desk.quarantine()}
    assert {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"} <= reasons.keys()
    assert reasons["1"] == "webhook of generic: is not JSON; send a JSON object in UTF-8"
    assert reasons["2"] == "webhook of generic: is not a JSON object; send one object a request"
    assert reasons["3"].startswith("webhook of generic: its type is not a stream; use one of customers, tickets")
    assert reasons["4"] == "webhook of generic: its data is no record; send one record or a list of records"
    assert reasons["7"].startswith("messages.author: 'nobody'")
    assert reasons["8"] == "webhook of generic: is nested too deeply; send flat records"
    assert reasons["9"] == "webhook of zendesk: has no event type; subscribe the webhook to ticket events"
    assert reasons["10"] == "webhook of klaviyo: has no list `data`; send Klaviyo's own body"
    assert reasons["11"].startswith("webhook of intercom: is not about a conversation")
    assert inbox.state(box.store).count_waiting == 0


def test_zendesk_s_events_become_what_the_poll_reads(tmp_path: Path, vendor: Vendor) -> None:
    """The same ids, the same hashes: whichever way a version comes, it is one version."""
    settings = load_settings(
        {
            "ROOMTONE_HOME": str(tmp_path / "home"),
            "ROOMTONE_ZENDESK_URL": vendor.url,
            "ROOMTONE_ZENDESK_TOKEN": "t",
            "ROOMTONE_ZENDESK_ORDER_FIELD_ID": "9001",
            "ROOMTONE_ZENDESK_BOT_USER_IDS": "900",
        }
    )
    said = {"id": 1001, "event_type": "Comment", "author_id": 35, "body": "Where is it?", "public": True}
    event = {
        "id": 1, "ticket_id": 7, "timestamp": 1772441970, "created_at": AT, "updater_id": 35, "child_events": [said],
    }  # fmt: skip
    vendor.pages = {
        "/api/v2/tickets/show_many.json": {"tickets": [ZENDESK_TICKET]},
        "/api/v2/users/show_many.json": {"users": [ZENDESK_USER, ZENDESK_USER | {"id": 901, "role": "agent"}]},
        "/api/v2/incremental/tickets/cursor.json": {
            "tickets": [ZENDESK_TICKET], "users": [ZENDESK_USER], "after_cursor": "c", "end_of_stream": True,
        },
        "/api/v2/incremental/ticket_events.json": {
            "ticket_events": [event], "end_time": 1772441970, "next_page": None, "end_of_stream": True,
        },
        "/api/v2/satisfaction_ratings.json": {"satisfaction_ratings": [], "next_page": None},
    }  # fmt: skip
    box = Box(settings)
    status_changed = zendesk_event(4) | {"type": "zen:event-type:ticket.status_changed", "event": {"current": "OPEN"}}
    of_a_user = {"type": "zen:event-type:user.created", "subject": "zen:user:5", "detail": {"id": "5"}}
    box.put("zendesk", zendesk_event(1), status_changed, of_a_user)
    box.drain()
    extract(settings, "zendesk", AS_OF)
    for stream, key in (("messages", "zendesk-1001"), ("tickets", "zendesk-7"), ("customers", "zendesk-35")):
        pushed, polled = box.rows(stream), box.desk.rows(stream, "zendesk")
        assert [row["id"] for row in pushed] == [row["id"] for row in polled] == [key]
        assert pushed[0]["record_hash"] == polled[0]["record_hash"], stream
        assert pushed[0]["source"] == "zendesk"
    assert box.rows("tickets")[0]["order_id"] == "shop-5001"
    # A bot and an agent are told from the customer.
    box.put("zendesk", zendesk_event(2, id="900", is_staff=True), zendesk_event(3, id="901", is_staff=True))
    box.drain()
    assert {row["id"]: row["author"] for row in box.rows("messages")} == {
        "zendesk-1001": "customer", "zendesk-1002": "bot", "zendesk-1003": "agent",
    }  # fmt: skip


def test_messages_land_while_the_vendor_is_down(tmp_path: Path) -> None:
    settings = load_settings(
        {
            "ROOMTONE_HOME": str(tmp_path / "home"),
            "ROOMTONE_ZENDESK_URL": "http://127.0.0.1:9",
            "ROOMTONE_ZENDESK_TOKEN": "t",
        }
    )
    box = Box(settings)
    box.put("zendesk", zendesk_event(1))
    assert box.drain().total.landed == 1
    assert box.rows("messages")[0]["body"] == "Where is it?"


def test_what_a_webhook_brought_is_scored_and_validated_by_the_next_pass(tmp_path: Path) -> None:
    """Its records keep the source of their vendor, its loads do not."""
    settings = load_settings(
        {
            "ROOMTONE_HOME": str(tmp_path / "home"),
            "ROOMTONE_ZENDESK_URL": "http://127.0.0.1:9",
            "ROOMTONE_ZENDESK_TOKEN": "t",
        }
    )
    box = Box(settings)
    for number in (1, 2):
        box.put("zendesk", zendesk_event(number))
        assert box.drain().total.landed == 1
        current = pipeline.begin(settings, AS_OF + timedelta(minutes=number))
        assert score_pass(settings, current).count_scored == 1
        transform(settings, current)
        report = validate(settings, current)
        assert report.is_valid
        looked_at = {table.table: table.count_rows for table in report.tables}
        assert (looked_at["raw.messages"], looked_at["raw.message_scores"]) == (1, 1)
        assert not any("fewer records" in line or "without a score" in line for line in report.warnings)


def test_intercom_and_klaviyo_bodies(box: Box) -> None:
    admin, bot = {"type": "admin", "id": "5"}, {"type": "bot", "id": "b"}
    conversation = {
        "type": "conversation",
        "id": "99",
        "created_at": 1772441000,
        "updated_at": 1772441970,
        "state": "open",
        "admin_assignee_id": 5,
        "source": {
            "type": "conversation",
            "id": "s1",
            "subject": "",
            "body": "<p>My parcel&nbsp;is <b>lost</b></p><p>Help!</p>",
            "author": {"type": "user", "id": "u1", "name": "Maya", "email": "m@example.com"},
        },
        "conversation_parts": {
            "conversation_parts": [
                {"id": "p1", "part_type": "comment", "body": "<p>Sorry</p>", "author": admin, "created_at": 1772441500},
                {"id": "p2", "part_type": "assignment", "body": None, "author": bot, "created_at": 1772441600},
                {"id": "p3", "part_type": "note", "body": "vip", "author": admin, "created_at": 1772441700},
            ]
        },
    }  # fmt: skip
    box.put(
        "intercom", {"type": "notification_event", "topic": "conversation.user.replied", "data": {"item": conversation}}
    )
    box.put("intercom", {"type": "notification_event", "topic": "ping", "data": {}})
    event = {
        "type": "event",
        "id": "e1",
        "attributes": {"datetime": "2026-03-02T08:00:00+00:00", "event_properties": {"$message": "C1"}},
        "relationships": {"profile": {"data": {"type": "profile", "id": "P1"}}},
    }
    topics = ("event:klaviyo.marked_email_as_spam", "event:klaviyo.placed_order")
    box.put("klaviyo", {"data": [{"topic": topic, "payload": {"data": event}} for topic in topics]})
    report = box.drain()
    assert report.total.quarantined == 0
    messages = {row["id"]: row for row in box.rows("messages")}
    assert {key: (row["author"], row["is_public"]) for key, row in messages.items()} == {
        "intercom-s1": ("customer", True), "intercom-p1": ("agent", True), "intercom-p3": ("agent", False),
    }  # fmt: skip
    assert messages["intercom-s1"]["body"] == "My parcel\u00a0is lost\nHelp!"
    [ticket] = box.rows("tickets")
    assert (ticket["status"], ticket["customer_id"], ticket["assignee_id"]) == ("open", "intercom-u1", "5")
    [spam] = box.rows("marketing_events")
    assert (spam["type"], spam["customer_id"], spam["campaign_id"]) == ("marked_spam", "klaviyo-P1", "klaviyo-C1")


def test_a_kill_between_landing_and_marking_lands_nothing_twice(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.put("generic", {"type": "messages", "data": message(1)})
    with monkeypatch.context() as patch:
        patch.setattr(WebhookSource, "mark_landed", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            box.drain()
    assert inbox.state(box.store).count_waiting == 1
    assert box.drain().total.duplicate == 1
    assert inbox.state(box.store).count_waiting == 0
    assert len(box.rows("messages")) == 1


def test_one_call_stands_for_all_that_comes_until_it_is_answered(box: Box) -> None:
    assert not inbox.call_once(box.store, NOW), "nothing waits"
    box.put("generic", {"type": "messages", "data": message(1)})
    assert inbox.call_once(box.store, NOW)
    box.put("generic", {"type": "messages", "data": message(2)})
    assert not inbox.call_once(box.store, NOW + timedelta(seconds=1)), "the pass that was called takes this one too"
    taken = inbox.waiting_ids(box.store, 100)
    inbox.answer_call(box.store, taken)
    assert not inbox.call_once(box.store, NOW + timedelta(seconds=2)), "all that waits is being taken"
    box.put("generic", {"type": "messages", "data": message(3)})
    assert inbox.call_once(box.store, NOW + timedelta(seconds=2)), "this one came after"
    box.put("generic", {"type": "messages", "data": message(4)})
    assert not inbox.call_once(box.store, NOW + timedelta(seconds=20))
    assert inbox.call_once(box.store, NOW + timedelta(seconds=60)), "a call that nobody answers is made again"
    inbox.mark_landed(box.store, inbox.waiting_ids(box.store, 100), NOW)
    assert not inbox.call_once(box.store, NOW + timedelta(seconds=200))


def test_rows_that_landed_long_ago_are_forgotten(box: Box) -> None:
    box.put("generic", {"type": "messages", "data": message(1)}, {"type": "messages", "data": message(2)})
    first, second = inbox.waiting_ids(box.store, 100)
    inbox.mark_landed(box.store, [first], NOW - timedelta(days=15))
    inbox.mark_landed(box.store, [second], NOW)
    assert [row.inbox_id for row in box.table()] == [second]
