"""The bodies of webhooks as the contract's records, in the shape in which the poll of the same vendor reads them."""

import html
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from roomtone.contract import STREAMS
from roomtone.extract import klaviyo as klaviyo_source
from roomtone.extract import zendesk_records
from roomtone.extract.received import Record

Payload = Mapping[str, Any]

_ZENDESK_TYPE = "zen:event-type:"
_ZENDESK_TICKET = "zen:ticket:"
_ZENDESK_ACTORS = {"end_user": "customer", "agent": "agent", "trigger": "bot", "system": "bot"}
_KLAVIYO_TOPIC = "event:klaviyo."
# Klaviyo names a topic after its metric: `Opened Email` is `event:klaviyo.opened_email`.
_KLAVIYO_TYPES = {name.lower().replace(" ", "_"): kind for name, kind in klaviyo_source.EVENT_TYPES.items()}
_INTERCOM_CHANNELS = {"email": "email", "sms": "sms", "phone_call": "sms"}
_INTERCOM_STATUSES = {"open": "open", "snoozed": "pending", "closed": "solved"}
_INTERCOM_AUTHORS = {"user": "customer", "lead": "customer", "contact": "customer", "bot": "bot"}
# Parts of a conversation that somebody wrote; the others are assignments, closings and the like.
_INTERCOM_WRITTEN = frozenset({"comment", "open", "close", "assignment", "note"})
_TAGS = re.compile(r"<[^>]*>")
_BREAKS = re.compile(r"<(?:br|/p|/div|/li)[^>]*>", re.IGNORECASE)


class UnreadableError(Exception):
    """A body that has no records: what is wrong with it, and what to send."""


def zendesk(payload: Payload, options: Mapping[str, str]) -> Iterator[Record]:
    """The message of an event about a ticket; any other event of a ticket has no record of its own (it is looked up).

    Event types: developer.zendesk.com, ticket events and messaging events.
    """
    kind = str(payload.get("type", ""))
    if not kind.startswith(_ZENDESK_TYPE):
        raise UnreadableError("has no event type; subscribe the webhook to ticket events")
    ticket_id, about = zendesk_ticket_id(payload), _mapping(payload.get("event"))
    if ticket_id is None:
        return
    event = {"ticket_id": ticket_id, "created_at": _whole_second(payload.get("time"))}
    bots = {name.strip() for name in options.get("bot_user_ids", "").split(",")}
    match kind.removeprefix(_ZENDESK_TYPE):
        case "ticket.comment_added":
            comment = _mapping(about.get("comment"))
            author = _mapping(comment.get("author"))
            key = str(author.get("id", ""))
            role = "bot" if key in bots or key.startswith("-") else "agent" if author.get("is_staff") else "customer"
            said = {**comment, "public": comment.get("is_public")}
            yield _from("zendesk", zendesk_records.message(event, said, role if key else None))
        case "messaging_ticket.message_added":
            said = {**_mapping(about.get("message")), "public": True}
            role_of_actor = _ZENDESK_ACTORS.get(str(_mapping(about.get("actor")).get("type")))
            yield _from("zendesk", zendesk_records.message(event, said, role_of_actor))


def zendesk_ticket_id(payload: Payload) -> str | None:
    """The ticket that a Zendesk event is about; None for an event about something else."""
    subject = str(payload.get("subject", ""))
    key = subject.removeprefix(_ZENDESK_TICKET) if subject.startswith(_ZENDESK_TICKET) else ""
    return key if key.isascii() and key.isdigit() else None


def klaviyo(payload: Payload, options: Mapping[str, str]) -> Iterator[Record]:
    """What became of mailings: `data` holds events, each with its topic and what Get Event answers."""
    del options
    rows = payload.get("data")
    if not isinstance(rows, list):
        raise UnreadableError("has no list `data`; send Klaviyo's own body")
    for row in rows:
        entry = _mapping(row)
        topic = str(entry.get("topic", ""))
        kind = _KLAVIYO_TYPES.get(topic.removeprefix(_KLAVIYO_TOPIC)) if topic.startswith(_KLAVIYO_TOPIC) else None
        event = _mapping(_mapping(entry.get("payload")).get("data"))
        if kind is not None:
            yield _from("klaviyo", klaviyo_source.event(dict(event), kind))


def intercom(payload: Payload, options: Mapping[str, str]) -> Iterator[Record]:
    """A conversation as it is now: its person, its ticket and its messages.

    Topics and the shape of a conversation: Intercom's API reference, version 2.16.
    """
    del options
    if not str(payload.get("topic", "")).startswith("conversation."):
        if payload.get("topic") in {"ping", None}:
            return
        raise UnreadableError("is not about a conversation; subscribe to conversation topics")
    talk = _mapping(_mapping(payload.get("data")).get("item"))
    begun, changed = _epoch(talk.get("created_at")), _epoch(talk.get("updated_at"))
    first = _mapping(talk.get("source"))
    person = _person(talk, first)
    ticket_id = _intercom_key(talk.get("id"))
    customer = {
        "id": _intercom_key(person.get("id")),
        "email": person.get("email"),
        "name": person.get("name"),
        "email_marketing_consent": False,
        "sms_marketing_consent": False,
        "created_at": begun,
        "updated_at": begun,
        "vendor": dict(person),
    }
    yield Record("customers", customer, f"customers/{person.get('id')}", "intercom")
    ticket = {
        "id": ticket_id,
        "customer_id": customer["id"],
        "channel": _INTERCOM_CHANNELS.get(str(first.get("type")), "chat"),
        "subject": _plain(first.get("subject")) or None,
        "status": _INTERCOM_STATUSES.get(str(talk.get("state")), "open"),
        "assignee_id": str(talk["admin_assignee_id"]) if talk.get("admin_assignee_id") else None,
        "group_id": str(talk["team_assignee_id"]) if talk.get("team_assignee_id") else None,
        "created_at": begun,
        "updated_at": changed,
    }
    yield Record("tickets", ticket, f"tickets/{talk.get('id')}", "intercom")
    yield _intercom_message(first, ticket_id, begun, is_public=True)
    parts = _mapping(talk.get("conversation_parts")).get("conversation_parts")
    for part in parts if isinstance(parts, list) else ():
        row = _mapping(part)
        if row.get("part_type") in _INTERCOM_WRITTEN and row.get("body"):
            written_at = _epoch(row.get("created_at"))
            yield _intercom_message(row, ticket_id, written_at, is_public=row.get("part_type") != "note")


def generic(payload: Payload, options: Mapping[str, str]) -> Iterator[Record]:
    """Records of the contract: `type` names the stream, `data` is one record or a list of them."""
    del options
    stream, data = payload.get("type"), payload.get("data")
    if stream not in STREAMS:
        raise UnreadableError(f"its type is not a stream; use one of {', '.join(STREAMS)}")
    if not isinstance(data, dict | list):
        raise UnreadableError("its data is no record; send one record or a list of records")
    for number, row in enumerate(data if isinstance(data, list) else [data]):
        yield Record(str(stream), row, f"{stream}/{number}")


def _person(talk: Payload, first: Payload) -> Payload:
    """The customer of a conversation: its author, or the first contact of one that the brand began."""
    author = _mapping(first.get("author"))
    if _INTERCOM_AUTHORS.get(str(author.get("type"))) == "customer":
        return author
    contacts = _mapping(talk.get("contacts")).get("contacts")
    return _mapping(contacts[0]) if isinstance(contacts, list) and contacts else {}


def _intercom_message(row: Payload, ticket_id: str | None, written_at: object, *, is_public: bool) -> Record:
    author = str(_mapping(row.get("author")).get("type"))
    fields = {
        "id": _intercom_key(row.get("id")),
        "ticket_id": ticket_id,
        "author": _INTERCOM_AUTHORS.get(author, "agent"),
        "body": _plain(row.get("body")),
        "is_public": is_public,
        "created_at": written_at,
        "updated_at": written_at,
        "vendor": dict(row),
    }
    return Record("messages", fields, f"messages/{row.get('id')}", "intercom")


def _from(source: str, record: Record) -> Record:
    return record._replace(source=source)


def _mapping(value: object) -> Payload:
    return value if isinstance(value, Mapping) else {}


def _intercom_key(value: object) -> str | None:
    return f"intercom-{value}" if value else None


def _plain(body: object) -> object:
    """HTML as the text that a person reads; anything but text is left to the record's check."""
    if not isinstance(body, str):
        return body
    return html.unescape(_TAGS.sub("", _BREAKS.sub("\n", body))).strip()


def _epoch(value: object) -> object:
    """Seconds since the epoch as RFC 3339; anything else is left to the record's check."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    try:
        return datetime.fromtimestamp(value, UTC).isoformat()
    except (OverflowError, OSError, ValueError):
        return value


def _whole_second(text: object) -> object:
    """A time to the second, as the vendor's API writes it; anything else is left to the record's check."""
    try:
        instant = datetime.fromisoformat(str(text))
    except ValueError:
        return text
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if instant.tzinfo else text
