"""The helpdesk's webhooks: signed events of tickets, at least once, sometimes twice, now and then out of order."""

import asyncio
import base64
import hmac
import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

import httpx

from roomtone.sandbox.clock import rfc3339, whole_seconds
from roomtone.sandbox.helpdesk import AGENTS, BOT_ID
from roomtone.sandbox.helpdesk_shapes import VIA
from roomtone.sandbox.records import Comment, Ticket
from roomtone.sandbox.witness import Witness

_AT_ONCE = 20
_TRIES = 8
_TIMEOUT_SECONDS = 12.0
_DETAIL = ("assignee_id", "group_id", "priority", "status", "subject", "description")


@dataclass(frozen=True)
class Subscription:
    """Where events go and how badly the network treats them: shares of deliveries that come twice, and late."""

    url: str
    secret: str = field(repr=False)
    twice_share: float = 0.0
    late_share: float = 0.0


@dataclass
class _Delivery:
    key: str
    body: bytes
    due_at: float
    attempts: int = 0


class WebhookSender:
    """Makes the events of tickets and delivers them while the brand is served; silent without a subscription."""

    def __init__(self, seed: int, witness: Witness) -> None:
        self._rng = Random(f"webhooks/{seed}")
        self._witness = witness
        self._subscription: Subscription | None = None
        self._waiting: deque[_Delivery] = deque()
        self._count = 0
        self.counts: dict[str, int] = {"events": 0, "delivered": 0, "refused": 0, "given_up": 0}

    def subscribe(self, subscription: Subscription | None) -> None:
        self._subscription = subscription

    @property
    def count_waiting(self) -> int:
        return len(self._waiting)

    def comment_added(self, ticket: Ticket, comment: Comment, at: datetime) -> None:
        """Somebody wrote."""
        author = {"id": str(comment.author_id), "is_staff": comment.author_id in {*AGENTS, BOT_ID}, "name": ""}
        said = {"id": str(comment.id), "body": comment.body, "is_public": comment.is_public, "author": author}
        self._tell("ticket.comment_added", ticket, {"comment": said}, at)

    def status_changed(self, ticket: Ticket, previous: str | None, at: datetime) -> None:
        """A ticket is opened, solved, closed."""
        kind = "ticket.created" if previous is None else "ticket.status_changed"
        event = {} if previous is None else {"current": ticket.status.upper(), "previous": previous.upper()}
        self._tell(kind, ticket, event, at)

    def _tell(self, kind: str, ticket: Ticket, event: Mapping[str, Any], at: datetime) -> None:
        target = self._subscription
        if target is None or not self._witness.is_open:
            return
        self._count += 1
        key = f"zendesk-event-{self._count}"
        body = json.dumps(
            {
                "account_id": 1,
                "type": f"zen:event-type:{kind}",
                "id": key,
                "time": rfc3339(at),
                "zendesk_event_version": "2022-11-06",
                "subject": f"zen:ticket:{ticket.id}",
                "detail": _detail(ticket),
                "event": {"meta": {"sequence": {"id": key, "position": 1, "total": 1}}, **event},
            },
            ensure_ascii=False,
        ).encode()
        self.counts["events"] += 1
        for _ in range(2 if self._rng.random() < target.twice_share else 1):
            delay = self._rng.uniform(0.2, 2.0) if self._rng.random() < target.late_share else 0.0
            self._waiting.append(_Delivery(key, body, time.monotonic() + delay))

    async def deliver(self) -> None:
        """Deliver what is due, until cancelled."""
        async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
            under_way: set[asyncio.Task[None]] = set()
            while True:
                now = time.monotonic()
                for _ in range(len(self._waiting)):
                    if len(under_way) >= _AT_ONCE:
                        break
                    delivery = self._waiting.popleft()
                    if delivery.due_at > now:
                        self._waiting.append(delivery)
                        continue
                    task = asyncio.create_task(self._send(client, delivery))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                await asyncio.sleep(0.02)

    async def _send(self, client: httpx.AsyncClient, delivery: _Delivery) -> None:
        target = self._subscription
        if target is None:
            return
        delivery.attempts += 1
        stamp = whole_seconds(datetime.now(UTC))
        made = hmac.digest(target.secret.encode(), stamp.encode() + delivery.body, "sha256")
        headers = {
            "Content-Type": "application/json",
            "X-Zendesk-Webhook-Signature": base64.b64encode(made).decode(),
            "X-Zendesk-Webhook-Signature-Timestamp": stamp,
            "X-Zendesk-Webhook-Invocation-Id": delivery.key,
        }
        try:
            answer = await client.post(target.url, content=delivery.body, headers=headers)
        except httpx.HTTPError:
            is_kept = False
        else:
            is_kept = answer.is_success
        if is_kept:
            self.counts["delivered"] += 1
        elif delivery.attempts >= _TRIES:
            self.counts["given_up"] += 1
        else:
            self.counts["refused"] += 1
            delivery.due_at = time.monotonic() + min(2.0**delivery.attempts, 30.0)
            self._waiting.append(delivery)


def _detail(ticket: Ticket) -> dict[str, Any]:
    """The ticket as events tell it: ids as text, words in capitals, and no custom fields."""
    detail: dict[str, Any] = {name: getattr(ticket, name) for name in _DETAIL}
    return detail | {
        "id": str(ticket.id),
        "requester_id": str(ticket.customer.helpdesk_id),
        "submitter_id": str(ticket.customer.helpdesk_id),
        "assignee_id": None if ticket.assignee_id is None else str(ticket.assignee_id),
        "group_id": None if ticket.group_id is None else str(ticket.group_id),
        "priority": ticket.priority.upper() if ticket.priority else None,
        "status": ticket.status.upper(),
        "tags": list(ticket.tags),
        "via": {"channel": VIA[ticket.channel]},
        "is_public": True,
        "created_at": whole_seconds(ticket.created_at),
        "updated_at": whole_seconds(ticket.updated_at),
    }
