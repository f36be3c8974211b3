"""A second helpdesk in the shapes of Request Tracker 5, REST 2.0, over the same tickets: what routing reads and writes.

As at the original, a write that names an old version is refused with 412, and one that asks for something that does
not exist is answered with 200 and a sentence. tests/sync/test_request_tracker.py runs the same cases against both.
"""

from dataclasses import dataclass, field
from math import ceil
from typing import Any

from roomtone.sandbox.clock import whole_seconds
from roomtone.sandbox.helpdesk import Helpdesk
from roomtone.sandbox.web import Call, Limit, RefusedError, Reply, Routes, read_json
from roomtone.sandbox.witness import Witness

OURS, AGENT = "token sandbox-request-tracker", "token sandbox-agent"
QUEUES = {"1": "General", "2": "Escalations", "3": "VIP", "4": "Support"}
TAG_FIELD = {"id": "1", "name": "Tags", "type": "customfield"}
# RT has no limit of its own; this is one that a proxy in front of it would have.
CALLS, SECONDS = 600, 60
_WRITABLE = frozenset({"Priority", "Queue", "CustomFields"})


@dataclass
class RtTicket:
    """What routing may change; `version` is RT's entity tag, `said` the sentences of the last write."""

    id: int
    subject: str
    status: str
    priority: int = 0
    queue: str = "1"
    tags: list[str] = field(default_factory=list)
    version: int = 1


class RequestTrackerApi:
    """Answers calls on `/REST/2.0/...`."""

    def __init__(self, desk: Helpdesk, witness: Witness) -> None:
        self._desk = desk
        self._witness = witness
        self._tickets: dict[int, RtTicket] = {}
        self._limit = Limit(CALLS, SECONDS)
        self.routes = Routes(
            {
                "GET /REST/2.0/rt": lambda call: Reply(200, {"Version": "5.0.3", "Plugins": []}),  # noqa: ARG005 - a handler takes a call
                "GET /REST/2.0/queues/all": self._list_queues,
                "GET /REST/2.0/ticket/{ticket_id}": self._show,
                "PUT /REST/2.0/ticket/{ticket_id}": self._update,
            }
        )

    def answer(self, call: Call) -> tuple[Reply, str]:
        """The reply, and the template of the route that gave it (empty if none did)."""
        if call.headers.get("authorization") not in (OURS, AGENT):
            return Reply(401, {"message": "Unauthorized"}), ""
        wait = self._limit.wait(call.at)
        if wait > 0:
            return Reply(429, {"message": "Too Many Requests"}, {"Retry-After": str(ceil(wait))}), ""
        self._limit.take(call.at)
        template = ""
        try:
            route, arguments = self.routes.find(call)
            template = route.template
            return route.handler(call, **arguments), template
        except RefusedError as refusal:
            return Reply(refusal.status, {"message": refusal.detail}), template

    def _list_queues(self, call: Call) -> Reply:
        size, number = int(call.params.get("per_page", "20")), int(call.params.get("page", "1"))
        names = call.params.get("fields", "")
        rows = [
            {"type": "queue", "id": key, "_url": f"{call.base_url}/REST/2.0/queue/{key}"}
            | ({"Name": name} if "Name" in names else {})
            for key, name in QUEUES.items()
        ]
        pages = max(1, ceil(len(rows) / size))
        page = rows[(number - 1) * size : number * size]
        facts = {"page": number, "pages": pages, "per_page": size, "count": len(page), "total": len(rows)}
        return Reply(200, {"items": page, **facts})

    def _show(self, call: Call, ticket_id: str) -> Reply:
        ticket = self._ticket(ticket_id)
        queue = {"type": "queue", "id": ticket.queue, "_url": f"{call.base_url}/REST/2.0/queue/{ticket.queue}"}
        body = {
            "id": ticket.id,
            "type": "ticket",
            "Subject": ticket.subject,
            "Status": ticket.status,
            "Priority": str(ticket.priority),
            "Queue": queue,
            "CustomFields": [TAG_FIELD | {"values": list(ticket.tags)}],
            "LastUpdated": whole_seconds(call.at),
        }
        return Reply(200, body, {"ETag": f'"{ticket.version}"'})

    def _update(self, call: Call, ticket_id: str) -> Reply:
        ticket = self._ticket(ticket_id)
        named = call.headers.get("if-match")
        is_ours = call.headers.get("authorization") == OURS
        if named is not None and named != f'"{ticket.version}"':
            raise RefusedError(412, "", "Precondition Failed")
        body = _body(call)
        if is_ours and named is None:
            self._violation(call, "unguarded_write", {})
        if is_ours and not set(body) <= _WRITABLE:
            self._violation(call, "ticket_field", {"fields": sorted(set(body) - _WRITABLE)})
        changed = self._apply(ticket, body)
        said = [f"Ticket {ticket.id}: {sentence}" for sentence in changed.pop("sentences")]
        if changed:
            ticket.version += 1
            facts = {"api": "request_tracker", "ticket_id": ticket.id, "changed": changed}
            self._witness.record(call.at, "ticket_updated", facts | {"by": "roomtone" if is_ours else "agent"})
        return Reply(200, said)

    def _apply(self, ticket: RtTicket, body: dict[str, Any]) -> dict[str, Any]:
        changed: dict[str, Any] = {"sentences": []}
        if "Priority" in body:
            # The original makes 0 of what is no number.
            text = str(body["Priority"])
            new = int(text) if text.lstrip("-").isdecimal() else 0
            if new != ticket.priority:
                changed["priority"] = [ticket.priority, new]
                changed["sentences"].append(f"Priority changed from '{ticket.priority}' to '{new}'")
                ticket.priority = new
        if "Queue" in body:
            keys = [key for key, name in QUEUES.items() if str(body["Queue"]) in (key, name)]
            if not keys:
                changed["sentences"].append(f"Queue {str(body['Queue'])[:40]} does not exist")
            elif keys[0] != ticket.queue:
                changed["queue"] = [QUEUES[ticket.queue], QUEUES[keys[0]]]
                changed["sentences"].append(f"Queue changed from {QUEUES[ticket.queue]} to {QUEUES[keys[0]]}")
                ticket.queue = keys[0]
        fields = body.get("CustomFields")
        if isinstance(fields, dict) and TAG_FIELD["name"] in fields:
            values = fields[TAG_FIELD["name"]]
            tags = [str(value) for value in (values if isinstance(values, list) else [values])]
            if sorted(tags) != sorted(ticket.tags):
                changed["tags"] = [ticket.tags, tags]
                changed["sentences"].append("Tags changed")
                ticket.tags = tags
        return changed

    def _ticket(self, ticket_id: str) -> RtTicket:
        number = int(ticket_id) if ticket_id.isdecimal() else 0
        if number not in self._tickets:
            known = self._desk.tickets.get(number)
            if known is None:
                raise RefusedError(404, "", "Not Found")
            self._tickets[number] = RtTicket(number, known.subject, known.status)
        return self._tickets[number]

    def _violation(self, call: Call, what: str, facts: dict[str, Any]) -> None:
        self._witness.record(call.at, "violation", {"what": what, "api": "request_tracker", **facts})


def _body(call: Call) -> dict[str, Any]:
    try:
        body = read_json(call.content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RefusedError(400, "", "JSON parse error")
    return body
