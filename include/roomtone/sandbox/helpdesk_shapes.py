"""Zendesk's JSON shapes of the helpdesk's records."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from roomtone.sandbox.clock import whole_seconds
from roomtone.sandbox.helpdesk import AGENTS, BOT_ID, GROUPS, ORDER_FIELD_ID
from roomtone.sandbox.records import Comment, Customer, Rating, Ticket

# What Zendesk calls the ways in which a message arrives.
VIA = {"email": "email", "chat": "chat", "form": "web", "in_app": "mobile_sdk", "sms": "sms"}
MADE = "2024-01-08T09:00:00Z"

ORDER_FIELD = {
    "id": ORDER_FIELD_ID,
    "type": "text",
    "title": "Order number",
    "key": "order_number",
    "active": True,
    "created_at": MADE,
    "updated_at": MADE,
}


def ticket(found: Ticket, base_url: str) -> dict[str, Any]:
    """A ticket. Unset values are null, as the vendor sends them, also where its specification forgets to say so."""
    return {
        "id": found.id,
        "url": f"{base_url}/api/v2/tickets/{found.id}.json",
        "external_id": None,
        "via": {"channel": VIA[found.channel], "source": {"from": {}, "to": {}, "rel": None}},
        "created_at": whole_seconds(found.created_at),
        "updated_at": whole_seconds(found.updated_at),
        "type": None,
        "subject": found.subject,
        "raw_subject": found.subject,
        "description": found.description,
        "priority": found.priority,
        "status": found.status,
        "recipient": None,
        "requester_id": found.customer.helpdesk_id,
        "submitter_id": found.customer.helpdesk_id,
        "assignee_id": found.assignee_id,
        "organization_id": None,
        "group_id": found.group_id,
        "collaborator_ids": [],
        "follower_ids": [],
        "email_cc_ids": [],
        "has_incidents": False,
        "is_public": True,
        "due_at": None,
        "tags": list(found.tags),
        "custom_fields": [{"id": ORDER_FIELD_ID, "value": str(found.order_id) if found.order_id else None}],
        "satisfaction_rating": found.rating or {"score": "unoffered"},
        "sharing_agreement_ids": [],
        "followup_ids": [],
        "brand_id": 501,
        "allow_channelback": False,
        "allow_attachments": True,
        "from_messaging_channel": found.channel in {"chat", "in_app"},
    }


def user(customer: Customer, base_url: str) -> dict[str, Any]:
    """An end user; `external_id` is the shop's customer id for those whom the helpdesk knows by it."""
    return _person(
        customer.helpdesk_id,
        customer.name,
        customer.helpdesk_email,
        "end-user",
        base_url,
        external_id=customer.shop_id if customer.is_known_at_helpdesk else None,
        phone=customer.phone,
        zone=customer.timezone,
        created_at=whole_seconds(customer.created_at),
    )


def agent(number: int, name: str, base_url: str) -> dict[str, Any]:
    """Somebody of the brand's own team."""
    email = f"{name.split(maxsplit=1)[0].lower()}@roomtone-and-co.example"
    return _person(number, name, email, "agent", base_url, created_at=MADE)


def _person(
    number: int,
    name: str,
    email: str,
    role: str,
    base_url: str,
    *,
    created_at: str,
    external_id: str | None = None,
    phone: str | None = None,
    zone: str = "Europe/Amsterdam",
) -> dict[str, Any]:
    return {
        "id": number,
        "url": f"{base_url}/api/v2/users/{number}.json",
        "name": name,
        "email": email,
        "created_at": created_at,
        "updated_at": created_at,
        "time_zone": zone.split("/")[1],
        "iana_time_zone": zone,
        "phone": phone,
        "shared_phone_number": None,
        "photo": None,
        "locale": "en-GB",
        "locale_id": 1176,
        "organization_id": None,
        "role": role,
        "verified": True,
        "external_id": external_id,
        "tags": [],
        "active": True,
        "shared": False,
        "suspended": False,
        "user_fields": {},
    }


def users_of(tickets: Iterable[Ticket], base_url: str) -> list[dict[str, Any]]:
    """The people of the tickets of a page, each once: requesters and assignees."""
    found: dict[int, dict[str, Any]] = {}
    for one in tickets:
        found.setdefault(one.customer.helpdesk_id, user(one.customer, base_url))
        if one.assignee_id in AGENTS:
            found.setdefault(one.assignee_id, agent(one.assignee_id, AGENTS[one.assignee_id], base_url))
    return list(found.values())


def group(number: int, name: str, base_url: str) -> dict[str, Any]:
    return {
        "id": number,
        "url": f"{base_url}/api/v2/groups/{number}.json",
        "name": name,
        "description": "",
        "default": number == min(GROUPS),
        "deleted": False,
        "is_public": True,
        "created_at": MADE,
        "updated_at": MADE,
    }


def rating(found: Rating, base_url: str) -> dict[str, Any]:
    """A rating; `score` is `offered` until the customer answers, then `good` or `bad`."""
    return {
        "id": found.id,
        "url": f"{base_url}/api/v2/satisfaction_ratings/{found.id}.json",
        "assignee_id": found.ticket.assignee_id,
        "group_id": found.ticket.group_id,
        "requester_id": found.ticket.customer.helpdesk_id,
        "ticket_id": found.ticket.id,
        "score": found.score,
        "comment": found.comment,
        "created_at": whole_seconds(found.created_at),
        "updated_at": whole_seconds(found.updated_at),
    }


def comment(found: Comment) -> dict[str, Any]:
    return {
        "id": found.id,
        "type": "Comment",
        "author_id": found.author_id,
        "body": found.body,
        "html_body": _html(found.body),
        "plain_body": found.body,
        "public": found.is_public,
        "attachments": [],
        "audit_id": found.audit_id,
        "via": {"channel": VIA[found.channel], "source": {"from": {}, "to": {}, "rel": None}},
        "created_at": whole_seconds(found.at),
        "metadata": {},
    }


def ticket_event(event: dict[str, Any], has_comments: bool) -> dict[str, Any]:
    """An audit with its child events; without the sideload a comment shows only that it was there."""
    children = []
    for child in event["children"]:
        if child["event_type"] == "Comment":
            said: Comment = child["comment"]
            row = {"id": said.id, "event_type": "Comment", "via": VIA[said.channel], "via_reference_id": None}
            if has_comments:
                row |= comment(said)
            else:
                row |= {"comment_present": True, "comment_public": said.is_public}
        else:
            row = dict(child) | {"via": VIA[event["channel"]], "via_reference_id": None}
        children.append(row)
    return {
        "id": event["id"],
        "ticket_id": event["ticket_id"],
        "timestamp": int(event["at"].timestamp()),
        "created_at": whole_seconds(event["at"]),
        "updater_id": event["updater_id"],
        "via": "Chat" if event["updater_id"] == BOT_ID else VIA[event["channel"]],
        "system": {"client": "sandbox", "location": "", "latitude": None, "longitude": None},
        "metadata": {},
        "event_type": "Audit",
        "child_events": children,
    }


def audit_of_event(event: dict[str, Any]) -> dict[str, Any]:
    """An audit as the list of audits shows it: one event for each changed field, and comments with their words."""
    events: list[dict[str, Any]] = []
    for child in event["children"]:
        kind = child["event_type"]
        if kind == "Comment":
            said = comment(child["comment"])
            events.append({name: value for name, value in said.items() if name not in {"created_at", "metadata"}})
            continue
        for name in child.keys() - {"id", "event_type", "previous_value"}:
            change = {"id": child["id"], "type": kind, "field_name": name, "value": child[name]}
            events.append(change | {key: child[key] for key in ("previous_value",) if key in child})
    return {
        "id": event["id"],
        "ticket_id": event["ticket_id"],
        "created_at": whole_seconds(event["at"]),
        "author_id": event["updater_id"],
        "metadata": {"system": {}, "custom": {}},
        "events": events,
        "via": {"channel": VIA[event["channel"]], "source": {"from": {}, "to": {}, "rel": None}},
    }


def audit(found: Ticket, changed: dict[str, Any], at: datetime) -> dict[str, Any]:
    """The audit that answers an update."""
    events = []
    for number, (name, (_, new)) in enumerate(changed.items(), start=1):
        value = ",".join(new) if isinstance(new, list) else new
        events.append({"id": number, "type": "Change", "field_name": name, "value": value})
    return {
        "id": found.id * 1000 + len(found.comments),
        "ticket_id": found.id,
        "author_id": 990,
        "created_at": whole_seconds(at),
        "metadata": {"system": {}, "custom": {}},
        "events": events,
        "via": {"channel": "api", "source": {"from": {}, "to": {}, "rel": None}},
    }


def _html(body: str) -> str:
    escaped = body.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "<div>" + escaped.replace("\n", "<br>") + "</div>"
