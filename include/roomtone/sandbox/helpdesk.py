"""State of the helpdesk: tickets, their conversations, the export order, ratings."""

from bisect import insort
from collections.abc import Iterable
from datetime import datetime
from itertools import count
from typing import Any, Protocol

from roomtone.sandbox.records import Channel, Comment, Customer, Rating, Ticket, Written
from roomtone.sandbox.witness import Witness

GROUPS = {1: "Support", 2: "Escalations", 3: "Calm"}
BOT_ID = 900
AGENTS = {901: "Priya Raman", 902: "Jonas Weber", 903: "Lucía Ortega", 904: "Sam Whitfield", 905: "Aoife Byrne"}
API_USER_ID = 990
STAFF = AGENTS | {BOT_ID: "Roomtone assistant", API_USER_ID: "Automation"}
ORDER_FIELD_ID = 9001

# Zendesk refuses changes to a closed ticket; a solved one can still be reopened.
LIVE = frozenset({"new", "open", "pending", "hold"})


class Listener(Protocol):
    """Somebody who is told of what happens to tickets when it happens."""

    def comment_added(self, ticket: Ticket, comment: Comment, at: datetime) -> None: ...

    def status_changed(self, ticket: Ticket, previous: str | None, at: datetime) -> None: ...


class Helpdesk:
    """Tickets by id. Everything that changes a ticket moves its place in the export."""

    def __init__(self, witness: Witness) -> None:
        self.tickets: dict[int, Ticket] = {}
        self.ratings: list[Rating] = []
        self.users: dict[int, Customer] = {}
        self.comments: dict[int, Comment] = {}
        # (second, event id) keys of all ticket events, and what each says.
        self.event_order: list[tuple[int, int]] = []
        self.events: dict[int, dict[str, Any]] = {}
        self.listeners: list[Listener] = []
        self._witness = witness
        self._ticket_ids = count(35_001)
        self._event_ids = count(700_001)
        self._child_ids = count(810_001)
        self._rating_ids = count(62_001)

    def open_ticket(
        self, customer: Customer, channel: Channel, written: Written, order_id: int | None, at: datetime
    ) -> Ticket:
        """A new ticket with its first message, in group Support."""
        ticket = Ticket(
            id=next(self._ticket_ids),
            customer=customer,
            channel=channel,
            subject=written.subject or "Conversation with " + customer.name,
            created_at=at,
            updated_at=at,
            generated_at=int(at.timestamp()),
            order_id=order_id,
            description=written.text,
            tags=[f"channel_{channel}"],
        )
        self.tickets[ticket.id] = ticket
        self.users.setdefault(customer.helpdesk_id, customer)
        event = self._event(ticket, customer.helpdesk_id, at)
        self._child(event, "Create", subject=ticket.subject, status="new", priority=None)
        self._say(ticket, event, written, at)
        self._witness.record(at, "ticket_status", {"ticket_id": ticket.id, "status": "new"})
        for listener in self.listeners:
            listener.status_changed(ticket, None, at)
        return ticket

    def customer_writes(self, ticket: Ticket, written: Written, at: datetime) -> None:
        """A further message of the requester. A waiting ticket becomes open again."""
        self._touch(ticket, at)
        event = self._event(ticket, ticket.customer.helpdesk_id, at)
        self._say(ticket, event, written, at)
        if ticket.status in {"pending", "hold", "solved"}:
            self._status(ticket, event, "open", at)

    def agent_writes(
        self, ticket: Ticket, agent_id: int, text: str, at: datetime, *, is_public: bool, status: str | None = None
    ) -> None:
        """A reply or an internal note of an agent or the bot, optionally with a new status."""
        self._touch(ticket, at)
        event = self._event(ticket, agent_id, at)
        comment = self._comment(ticket, event, agent_id, text, at, is_public=is_public)
        self._child(event, "Comment", comment=comment)
        if agent_id in AGENTS and ticket.assignee_id is None:
            ticket.assignee_id = agent_id
            self._child(event, "Change", assignee_id=agent_id)
        if status is not None:
            self._status(ticket, event, status, at)

    def set_status(self, ticket: Ticket, status: str, at: datetime, updater_id: int) -> None:
        self._touch(ticket, at)
        self._status(ticket, self._event(ticket, updater_id, at), status, at)

    def system_touch(self, ticket: Ticket, at: datetime) -> None:
        """A change of the system: it moves the export order and nothing that a person sees."""
        ticket.generated_at = max(ticket.generated_at, int(at.timestamp()))

    def offer_rating(self, ticket: Ticket, at: datetime) -> Rating:
        rating = Rating(next(self._rating_ids), ticket, "offered", "", at, at)
        self.ratings.append(rating)
        ticket.rating = {"score": "offered"}
        return rating

    def rate(self, rating: Rating, score: str, comment: str, at: datetime) -> None:
        """A person's answer, `good` or `bad`, to the offer."""
        rating.score, rating.comment, rating.updated_at = score, comment, at
        rating.ticket.rating = {"id": rating.id, "score": score, "comment": comment}
        self._touch(rating.ticket, at)

    def apply_update(self, ticket: Ticket, wanted: dict[str, Any], at: datetime, author_id: int) -> dict[str, Any]:
        """Applies the writable fields of an update and returns `{field: [old, new]}` for what really changed."""
        changed: dict[str, Any] = {}
        for name in ("priority", "group_id", "assignee_id", "subject", "status"):
            if name in wanted and wanted[name] != getattr(ticket, name):
                changed[name] = [getattr(ticket, name), wanted[name]]
        tags = _tags_after(ticket.tags, wanted)
        if tags != ticket.tags:
            changed["tags"] = [list(ticket.tags), tags]
        comment = wanted.get("comment")
        if changed or comment:
            self._touch(ticket, at)
            event = self._event(ticket, author_id, at)
            for name, (_, new) in changed.items():
                if name == "status":
                    self._status(ticket, event, new, at)
                else:
                    setattr(ticket, name, new)
                    self._child(event, "Change", **{name: new})
            if comment:
                is_public = bool(comment.get("public", True))
                said = self._comment(ticket, event, author_id, str(comment.get("body", "")), at, is_public=is_public)
                self._child(event, "Comment", comment=said)
        return changed

    def export_after(self, second: int, ticket_id: int, until: int) -> Iterable[Ticket]:
        """Tickets whose place in the export lies after (second, id) and at or before `until`, in export order."""
        behind = (second, ticket_id)
        found = [t for t in self.tickets.values() if behind < (t.generated_at, t.id) and t.generated_at <= until]
        return sorted(found, key=lambda t: (t.generated_at, t.id))

    def _touch(self, ticket: Ticket, at: datetime) -> None:
        ticket.updated_at = max(ticket.updated_at, at)
        ticket.generated_at = max(ticket.generated_at, int(at.timestamp()))

    def _status(self, ticket: Ticket, event: dict[str, Any], status: str, at: datetime) -> None:
        if status == ticket.status:
            return
        previous, ticket.status = ticket.status, status
        self._child(event, "Change", status=status, previous_value=previous)
        self._witness.record(at, "ticket_status", {"ticket_id": ticket.id, "status": status, "previous": previous})
        for listener in self.listeners:
            listener.status_changed(ticket, previous, at)

    def _say(self, ticket: Ticket, event: dict[str, Any], written: Written, at: datetime) -> None:
        author_id = ticket.customer.helpdesk_id
        comment = self._comment(ticket, event, author_id, written.text, at)
        comment.truth = written.truth
        self._child(event, "Comment", comment=comment)
        self._witness.record(
            at,
            "message_written",
            {
                "ticket_id": ticket.id,
                "message_id": comment.id,
                "customer": ticket.customer.shop_id,
                "channel": ticket.channel,
            },
        )

    def _comment(
        self,
        ticket: Ticket,
        event: dict[str, Any],
        author_id: int,
        body: str,
        at: datetime,
        *,
        is_public: bool = True,
    ) -> Comment:
        comment = Comment(next(self._child_ids), event["id"], author_id, body, is_public, at, ticket.channel)
        ticket.comments.append(comment)
        self.comments[comment.id] = comment
        for listener in self.listeners:
            listener.comment_added(ticket, comment, at)
        return comment

    def _event(self, ticket: Ticket, updater_id: int, at: datetime) -> dict[str, Any]:
        event_id = next(self._event_ids)
        event: dict[str, Any] = {
            "id": event_id,
            "ticket_id": ticket.id,
            "at": at,
            "updater_id": updater_id,
            "channel": ticket.channel,
            "children": [],
        }
        self.events[event_id] = event
        insort(self.event_order, (int(at.timestamp()), event_id))
        return event

    def _child(self, event: dict[str, Any], kind: str, **facts: Any) -> None:
        event["children"].append({"id": next(self._child_ids), "event_type": kind, **facts})


def _tags_after(current: list[str], wanted: dict[str, Any]) -> list[str]:
    """Tags after an update: `tags` replaces, `additional_tags` adds, `remove_tags` removes; order is kept."""
    tags = list(current)
    if wanted.get("tags") is not None:
        tags = sorted(set(wanted["tags"]))
    tags += [tag for tag in wanted.get("additional_tags") or [] if tag not in tags]
    removed = set(wanted.get("remove_tags") or [])
    return [tag for tag in tags if tag not in removed]
