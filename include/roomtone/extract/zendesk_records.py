"""Zendesk's shapes as the contract's records.

Ids get the prefix `zendesk-`; the vendor's own record is kept under `vendor`.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from roomtone.extract.received import Record

# How Zendesk names the ways in which a conversation begins; any other is a conversation by form.
_CHANNELS = {
    "email": "email",
    "chat": "chat",
    "native_messaging": "chat",
    "whatsapp": "chat",
    "facebook": "chat",
    "twitter": "chat",
    "instagram_dm": "chat",
    "web": "form",
    "api": "form",
    "mobile": "in_app",
    "mobile_sdk": "in_app",
    "sms": "sms",
}
# The fields of a ticket whose changes make a version of it.
_FIELDS = ("status", "priority", "assignee_id", "group_id", "subject")
_SCORES = {"good": 5, "bad": 1}


def customer(user: dict[str, Any]) -> Record:
    """An end user. A helpdesk knows of no consent, so there is none from here."""
    return _record(
        "customers",
        user,
        {
            "email": user.get("email"),
            "phone": user.get("phone"),
            "name": user.get("name"),
            "timezone": user.get("iana_time_zone"),
            "email_marketing_consent": False,
            "sms_marketing_consent": False,
            "created_at": user.get("created_at"),
            "updated_at": user.get("updated_at"),
        },
    )


def ticket(found: dict[str, Any], order_field: str) -> Record:
    """A ticket as it is now."""
    return _record("tickets", found, _ticket_fields(found, order_field))


def versions(found: dict[str, Any], history: list[dict[str, Any]], order_field: str) -> Iterator[Record]:
    """What a ticket was after each event of `history` that changed it; `found` is what it is now.

    Values are folded forward over the events. A field's value before its first change is the event's `previous_value`,
    or nothing if the ticket was created among these events, or else what it is now. Of several events in one second the
    last one counts.
    """
    ordered = sorted(history, key=lambda event: (event.get("timestamp") or 0, event.get("id") or 0))
    changing = [(event, changes) for event in ordered if (changes := changes_of(event))]
    if not changing:
        return
    state = {name: found.get(name) for name in _FIELDS}
    is_created_here = any(child.get("event_type") == "Create" for event, _ in changing for child in _children(event))
    for name in _FIELDS:
        first = next((child for event, _ in changing for child in _children(event) if _sets(child, name)), None)
        if first is not None and first.get("event_type") == "Change" and "previous_value" in first:
            state[name] = first["previous_value"]
        elif first is not None and is_created_here:
            state[name] = None
    by_second: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for event, changes in changing:
        state = state | changes
        by_second[str(event.get("created_at"))] = (event, state)
    for second, (event, then) in by_second.items():
        fields = _ticket_fields(found | then, order_field) | {"updated_at": second}
        yield _record("tickets", event | {"id": found.get("id")}, fields)


def changes_of(event: dict[str, Any]) -> dict[str, Any]:
    """The ticket fields that an event set, and to what."""
    return {name: child[name] for child in _children(event) for name in _FIELDS if _sets(child, name)}


def comments_of(event: dict[str, Any]) -> list[dict[str, Any]]:
    """The comments among the child events of an event."""
    return [child for child in _children(event) if child.get("event_type") == "Comment"]


def comments_of_audit(audit: dict[str, Any]) -> list[dict[str, Any]]:
    """The comments among the events of an audit, as the list of audits shows it."""
    events = audit.get("events")
    rows = [event for event in events if isinstance(event, dict)] if isinstance(events, list) else []
    return [event for event in rows if event.get("type") == "Comment"]


def message(event: dict[str, Any], comment: dict[str, Any], author: str | None) -> Record:
    """A comment. `author` is None when nobody knows who wrote it: the check then refuses the record."""
    written_at = comment.get("created_at") or event.get("created_at")
    return _record(
        "messages",
        comment,
        {
            "ticket_id": _key(event.get("ticket_id")),
            "author": author,
            "body": comment.get("body"),
            "is_public": comment.get("public"),
            "created_at": written_at,
            "updated_at": written_at,
        },
    )


def rating(found: dict[str, Any]) -> Record | None:
    """A given rating, `good` as 5 and `bad` as 1, dated by its last change; None for one that was only offered."""
    score = found.get("score")
    if score in {"offered", "unoffered"}:
        return None
    # Scores may carry whether there is a comment: `good_with_comment`.
    value = _SCORES.get(str(score).partition("_")[0])
    fields = {"ticket_id": _key(found.get("ticket_id")), "score": value or score, "created_at": found.get("updated_at")}
    return _record("satisfaction_ratings", found, fields)


def is_automatic(comment: dict[str, Any]) -> bool:
    """Whether the vendor says that its own bot wrote a comment."""
    via = comment.get("via")
    channel = via.get("channel") if isinstance(via, dict) else via
    return isinstance(channel, str) and channel.startswith("answer_bot")


def epoch_second(text: object) -> int:
    """Seconds since the epoch of an RFC 3339 timestamp; 0 for anything else."""
    try:
        return int(datetime.fromisoformat(str(text)).timestamp())
    except ValueError:
        return 0


def _ticket_fields(found: dict[str, Any], order_field: str) -> dict[str, Any]:
    via = found.get("via")
    channel = via.get("channel") if isinstance(via, dict) else None
    return {
        "customer_id": _key(found.get("requester_id")),
        "channel": _CHANNELS.get(str(channel), "form"),
        "subject": found.get("subject"),
        "status": found.get("status"),
        "priority": found.get("priority"),
        "assignee_id": _text(found.get("assignee_id")),
        "group_id": _text(found.get("group_id")),
        "order_id": _order(found, order_field),
        "created_at": found.get("created_at"),
        "updated_at": found.get("updated_at"),
    }


def _order(found: dict[str, Any], order_field: str) -> str | None:
    for field in found.get("custom_fields") or []:
        if isinstance(field, dict) and order_field and str(field.get("id")) == order_field and field.get("value"):
            return f"shop-{field['value']}"
    return None


def _children(event: dict[str, Any]) -> list[dict[str, Any]]:
    children = event.get("child_events")
    return [child for child in children if isinstance(child, dict)] if isinstance(children, list) else []


def _sets(child: dict[str, Any], name: str) -> bool:
    return child.get("event_type") in {"Create", "Change"} and name in child


def _record(stream: str, vendor: dict[str, Any], fields: dict[str, Any]) -> Record:
    return Record(stream, {"id": _key(vendor.get("id")), **fields, "vendor": vendor}, f"{stream}/{vendor.get('id')}")


def _key(number: object) -> str | None:
    return None if number is None else f"zendesk-{number}"


def _text(value: object) -> str | None:
    return None if value is None else str(value)
