"""The helpdesk's HTTP API in Zendesk's shapes: incremental exports, tickets, users, groups, ratings."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_left
from collections.abc import Mapping
from datetime import UTC, datetime
from math import ceil
from typing import Any

from roomtone.sandbox import helpdesk_shapes as shapes
from roomtone.sandbox.clock import parse
from roomtone.sandbox.helpdesk import API_USER_ID, GROUPS, STAFF, Helpdesk
from roomtone.sandbox.records import Ticket
from roomtone.sandbox.web import Call, Limit, RefusedError, Reply, Routes, read_json, whole_number
from roomtone.sandbox.witness import Witness

AUTHORIZATION = "Bearer sandbox-zendesk"
# "Data isn't provided for the most recent minute."
HIDDEN_SECONDS = 60
PRIORITIES = frozenset({"urgent", "high", "normal", "low"})
STATUSES = frozenset({"new", "open", "pending", "hold", "solved", "closed"})
# Most records a page of an export holds.
EXPORT_PAGE = 1000
# Most audits a page of their list holds.
AUDITS_PAGE = 100
# Most records that a call for many of them may name.
SHOWN_AT_ONCE = 100


class HelpdeskApi:
    """Answers calls on `/api/v2/...`."""

    def __init__(self, desk: Helpdesk, witness: Witness) -> None:
        self._desk = desk
        self._witness = witness
        self.routes = Routes(
            {
                "GET /api/v2/incremental/tickets/cursor": self._export_tickets,
                "GET /api/v2/incremental/ticket_events": self._export_events,
                "GET /api/v2/ticket_audits": self._list_audits,
                "GET /api/v2/tickets/show_many": self._show_tickets,
                "GET /api/v2/tickets/{ticket_id}": self._show_ticket,
                "PUT /api/v2/tickets/{ticket_id}": self._update_ticket,
                "GET /api/v2/tickets/{ticket_id}/comments": self._list_comments,
                "GET /api/v2/users": self._list_users,
                "GET /api/v2/users/show_many": self._show_users,
                "GET /api/v2/users/{user_id}": self._show_user,
                "GET /api/v2/groups": self._list_groups,
                "GET /api/v2/satisfaction_ratings": self._list_ratings,
                "GET /api/v2/ticket_fields": self._list_fields,
            }
        )
        # "10 requests per minute" for the incremental family; 700 a minute for all others.
        self._export_limit = Limit(10, 60)
        self._general_limit = Limit(700, 60)

    def answer(self, call: Call) -> tuple[Reply, str]:
        """The reply, and the template of the route that gave it (empty if none did)."""
        if call.headers.get("authorization") != AUTHORIZATION:
            return Reply(401, {"error": "Couldn't authenticate you"}), ""
        template = ""
        try:
            route, arguments = self.routes.find(call)
            template = route.template
            self._count(call, is_export="/incremental/" in template)
            return route.handler(call, **arguments), template
        except RefusedError as refusal:
            return _refused(refusal), template

    def _count(self, call: Call, *, is_export: bool) -> None:
        limit = self._export_limit if is_export else self._general_limit
        wait = limit.wait(call.at)
        if wait > 0:
            raise RefusedError(429, "TooManyRequests", str(ceil(wait)))
        limit.take(call.at)

    def _export_tickets(self, call: Call) -> Reply:
        params = call.params
        shown_until = int(call.at.timestamp()) - HIDDEN_SECONDS
        cursor = params.get("cursor")
        if cursor is not None:
            second, ticket_id = _read_cursor(cursor)
        else:
            second, ticket_id = _start_time(params, shown_until), 0
        size = _number(params, "per_page", EXPORT_PAGE, 1, EXPORT_PAGE)
        found = list(self._desk.export_after(second, ticket_id, shown_until))
        page = found[:size]
        if page:
            cursor = _write_cursor(page[-1].generated_at, page[-1].id)
        url = f"{call.base_url}/api/v2/incremental/tickets/cursor.json"
        body: dict[str, Any] = {
            "tickets": [shapes.ticket(t, call.base_url) | {"generated_timestamp": t.generated_at} for t in page],
            "after_url": f"{url}?cursor={cursor}" if cursor else None,
            "before_url": None,
            "after_cursor": cursor,
            "before_cursor": None,
            "end_of_stream": len(found) <= size,
        }
        if "users" in params.get("include", "").split(","):
            body["users"] = shapes.users_of(page, call.base_url)
        return Reply(200, body)

    def _export_events(self, call: Call) -> Reply:
        params = call.params
        shown_until = int(call.at.timestamp()) - HIDDEN_SECONDS
        start = _start_time(params, shown_until)
        order = self._desk.event_order
        first = bisect_left(order, (start, 0))
        end = bisect_left(order, (shown_until + 1, 0))
        last = min(first + EXPORT_PAGE, end)
        # A page never ends inside a second, or a reader that goes on from `end_time` would turn in circles.
        while last < end and last > first and order[last][0] == order[last - 1][0]:
            last += 1
        has_comments = "comment_events" in params.get("include", "").split(",")
        rows = [shapes.ticket_event(self._desk.events[key], has_comments) for _, key in order[first:last]]
        end_time = order[last - 1][0] if rows else start
        url = f"{call.base_url}/api/v2/incremental/ticket_events.json?start_time={end_time}"
        if has_comments:
            url += "&include=comment_events"
        body = {
            "ticket_events": rows,
            "count": len(rows),
            "end_time": end_time,
            "next_page": url if rows else None,
            "end_of_stream": last >= end,
        }
        return Reply(200, body)

    def _list_audits(self, call: Call) -> Reply:
        """What happened to all tickets, the newest first and without delay; the vendor warns that pages may skip."""
        size = _number(call.params, "limit", AUDITS_PAGE, 1, AUDITS_PAGE)
        order, cursor = self._desk.event_order, call.params.get("cursor")
        end = len(order) if cursor is None else bisect_left(order, _read_cursor(cursor))
        page = order[max(0, end - size) : end][::-1]
        url = f"{call.base_url}/api/v2/ticket_audits.json?limit={size}&cursor="
        oldest = _write_cursor(*page[-1]) if page else cursor or ""
        rows = [shapes.audit_of_event(self._desk.events[key]) for _, key in page]
        return Reply(200, {"audits": rows, "after_cursor": oldest, "after_url": f"{url}{oldest}"})

    def _show_ticket(self, call: Call, ticket_id: str) -> Reply:
        return Reply(200, {"ticket": shapes.ticket(self._ticket(ticket_id), call.base_url)})

    def _show_tickets(self, call: Call) -> Reply:
        found = [self._desk.tickets[key] for key in _ids(call) if key in self._desk.tickets]
        rows = [shapes.ticket(ticket, call.base_url) for ticket in found]
        return Reply(200, {"tickets": rows, "count": len(rows), "next_page": None, "previous_page": None})

    def _show_users(self, call: Call) -> Reply:
        ids = _ids(call)
        rows = [shapes.agent(key, STAFF[key], call.base_url) for key in ids if key in STAFF]
        rows += [shapes.user(self._desk.users[key], call.base_url) for key in ids if key in self._desk.users]
        return Reply(200, {"users": rows, "count": len(rows), "next_page": None, "previous_page": None})

    def _update_ticket(self, call: Call, ticket_id: str) -> Reply:
        ticket = self._ticket(ticket_id)
        wanted = _ticket_body(call)
        # The vendor treats `safe_update: false` like true; only leaving it out turns the check off.
        if "safe_update" in wanted and "updated_stamp" in wanted:
            stamp = _instant(wanted["updated_stamp"])
            if stamp != ticket.updated_at.replace(microsecond=0):
                detail = (
                    "Safe Update prevented the update due to outdated ticket data. "
                    "Please fetch the latest ticket data and try again."
                )
                raise RefusedError(409, "UpdateConflict", detail)
        if ticket.status == "closed":
            raise RefusedError(422, "RecordInvalid", "Status: closed prevents ticket update")
        _check_update(wanted)
        changed = self._desk.apply_update(ticket, wanted, call.at, API_USER_ID)
        facts = {"ticket_id": ticket.id, "customer": ticket.customer.shop_id, "changed": changed}
        self._witness.record(call.at, "ticket_updated", facts)
        return Reply(
            200, {"ticket": shapes.ticket(ticket, call.base_url), "audit": shapes.audit(ticket, changed, call.at)}
        )

    def _list_comments(self, _: Call, ticket_id: str) -> Reply:
        comments = [shapes.comment(c) for c in self._ticket(ticket_id).comments]
        return Reply(200, {"comments": comments, "count": len(comments), "next_page": None, "previous_page": None})

    def _list_users(self, call: Call) -> Reply:
        people = [shapes.user(c, call.base_url) for c in self._desk.users.values()]
        people += [shapes.agent(key, name, call.base_url) for key, name in STAFF.items()]
        people.sort(key=lambda user: int(user["id"]))
        params = call.params
        if "external_id" in params:
            people = [user for user in people if user["external_id"] == params["external_id"]]
        return Reply(200, _numbered(people, "users", call))

    def _show_user(self, call: Call, user_id: str) -> Reply:
        number = int(user_id) if user_id.isdigit() else 0
        if number in STAFF:
            return Reply(200, {"user": shapes.agent(number, STAFF[number], call.base_url)})
        if number not in self._desk.users:
            raise RefusedError(404, "RecordNotFound", "Not found")
        return Reply(200, {"user": shapes.user(self._desk.users[number], call.base_url)})

    def _list_groups(self, call: Call) -> Reply:
        groups = [shapes.group(key, name, call.base_url) for key, name in GROUPS.items()]
        return Reply(200, {"groups": groups, "count": len(groups), "next_page": None, "previous_page": None})

    def _list_ratings(self, call: Call) -> Reply:
        start = _number(call.params, "start_time", 0, 0, 2**40)
        wanted = call.params.get("score")
        found = [
            shapes.rating(r, call.base_url)
            for r in sorted(self._desk.ratings, key=lambda r: (r.updated_at, r.id))
            if r.updated_at.timestamp() >= start and (wanted is None or r.score == wanted)
        ]
        return Reply(200, _numbered(found, "satisfaction_ratings", call))

    def _list_fields(self, _: Call) -> Reply:
        return Reply(200, {"ticket_fields": [shapes.ORDER_FIELD], "count": 1, "next_page": None, "previous_page": None})

    def _ticket(self, ticket_id: str) -> Ticket:
        ticket = self._desk.tickets.get(int(ticket_id)) if ticket_id.isdigit() else None
        if ticket is None:
            raise RefusedError(404, "RecordNotFound", "Not found")
        return ticket


def _refused(refusal: RefusedError) -> Reply:
    """Zendesk's error bodies: `error` and `description`; the wait of a throttled call is in a header."""
    if refusal.status == 429:
        return Reply(429, {"error": "TooManyRequests"}, {"Retry-After": refusal.detail})
    return Reply(refusal.status, {"error": refusal.code, "description": refusal.detail})


def _start_time(params: Mapping[str, str], newest: int) -> int:
    if "start_time" not in params:
        raise RefusedError(400, "StartTimeMissing", "The parameter start_time is required")
    start = _number(params, "start_time", 0, 0, 2**40)
    if start > newest:
        raise RefusedError(422, "InvalidStartTime", "Too recent start_time. Use a start_time older than 60 seconds")
    return start


def _ids(call: Call) -> list[int]:
    """The ids of a call for many records, a hundred at most; each once."""
    parts = call.params.get("ids", "").split(",")
    ids = [whole_number(part, 1, 2**62) for part in parts]
    if len(parts) > SHOWN_AT_ONCE or not any(ids):
        raise RefusedError(400, "InvalidValue", f"ids must name 1 to {SHOWN_AT_ONCE} records")
    return list(dict.fromkeys(key for key in ids if key is not None))


def _number(params: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    number = whole_number(params.get(name, str(default)), low, high)
    if number is None:
        raise RefusedError(400, "BadRequest", f"{name} must be a whole number from {low} to {high}")
    return number


def _write_cursor(second: int, ticket_id: int) -> str:
    return urlsafe_b64encode(f"{second}.0||{ticket_id}|".encode()).decode()


def _read_cursor(cursor: str) -> tuple[int, int]:
    try:
        second, ticket_id = urlsafe_b64decode(cursor).decode().rstrip("|").split(".0||")
        return int(second), int(ticket_id)
    except ValueError:
        raise RefusedError(400, "InvalidCursor", "The cursor is not one that this API gave out") from None


def _ticket_body(call: Call) -> dict[str, Any]:
    try:
        body = read_json(call.content)
    except ValueError:
        body = None
    wanted = body.get("ticket") if isinstance(body, dict) else None
    if not isinstance(wanted, dict):
        raise RefusedError(400, "BadRequest", 'The body must be {"ticket": {...}}')
    return wanted


def _check_update(wanted: Mapping[str, Any]) -> None:
    """RefusedError 422 for a value that the field cannot have. Null empties a field that may be empty."""
    allowed: dict[str, tuple[list[Any], str]] = {
        "priority": ([None, *PRIORITIES], "is not one of urgent, high, normal, low"),
        "group_id": ([None, *GROUPS], "does not exist"),
        "assignee_id": ([None, *STAFF], "does not exist"),
        "status": ([*STATUSES], "is not valid"),
    }
    for name, (values, why) in allowed.items():
        if name in wanted and (wanted[name] not in values or isinstance(wanted[name], bool | float)):
            raise RefusedError(422, "RecordInvalid", f"{name}: {why}")
    for name in ("tags", "additional_tags", "remove_tags"):
        tags = [] if wanted.get(name) is None else wanted[name]
        if not isinstance(tags, list) or not all(isinstance(tag, str) and " " not in tag for tag in tags):
            raise RefusedError(422, "RecordInvalid", f"{name}: must be a list of words")
    if not isinstance(wanted.get("subject", ""), str):
        raise RefusedError(422, "RecordInvalid", "subject: must be a text")
    if not isinstance(wanted.get("comment", {}), dict):
        raise RefusedError(422, "RecordInvalid", "comment: must be an object")


def _instant(text: object) -> datetime:
    try:
        return parse(str(text)).astimezone(UTC).replace(microsecond=0)
    except ValueError:
        raise RefusedError(422, "RecordInvalid", "updated_stamp: is not a timestamp") from None


def _numbered(rows: list[dict[str, Any]], name: str, call: Call) -> dict[str, Any]:
    """One page of a list by page number, as the vendor does it without `page[size]`: 100 rows a page."""
    size = _number(call.params, "per_page", 100, 1, 100)
    page = _number(call.params, "page", 1, 1, 10_000)
    part = rows[(page - 1) * size : page * size]
    others = "".join(f"&{k}={v}" for k, v in call.params.items() if k not in {"page", "per_page"})
    url = f"{call.base_url}{call.path}?per_page={size}{others}&page="
    has_more = page * size < len(rows)
    return {
        name: part,
        "count": len(rows),
        "next_page": f"{url}{page + 1}" if has_more else None,
        "previous_page": f"{url}{page - 1}" if page > 1 else None,
    }
