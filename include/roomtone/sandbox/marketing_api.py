"""The marketing platform's HTTP API in Klaviyo's shapes, revision 2026-07-15: what is read, and how a call is judged.

Writing calls are in `marketing_writes.py`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from math import ceil
from typing import Any

from roomtone.contract import SCOPES
from roomtone.sandbox import marketing_shapes as shapes
from roomtone.sandbox.clock import parse
from roomtone.sandbox.filters import Clause, read_filter
from roomtone.sandbox.marketing import Marketing, external_id
from roomtone.sandbox.marketing_writes import MarketingWrites, refused_body
from roomtone.sandbox.paging import page_of
from roomtone.sandbox.records import Campaign, Profile
from roomtone.sandbox.schedule import Schedule
from roomtone.sandbox.web import Call, Limit, RefusedError, Reply, Routes
from roomtone.sandbox.witness import Witness

AUTHORIZATION = "Klaviyo-API-Key sandbox-klaviyo"
REVISION = "2026-07-15"
JSON_API = "application/vnd.api+json"

# Calls a second and calls a minute, as the specification's `x-klaviyo-ratelimit` of this revision says.
RATE_LIMITS = {
    "GET /api/profiles": (75, 750),
    "GET /api/profiles/{id}": (75, 750),
    "PATCH /api/profiles/{id}": (75, 750),
    "POST /api/profile-bulk-import-jobs": (10, 150),
    "GET /api/profile-bulk-import-jobs/{job_id}": (10, 150),
    "GET /api/profile-bulk-import-jobs/{id}/import-errors": (10, 150),
    "POST /api/events": (350, 3500),
    "GET /api/events": (350, 3500),
    "GET /api/metrics": (10, 150),
    "GET /api/campaigns": (10, 150),
    "GET /api/flows": (3, 60),
    "GET /api/flows/{id}": (3, 60),
    "GET /api/segments": (75, 750),
    "GET /api/accounts": (1, 15),
}
# Whatever has one of these in its path changes who may be written to, who is on a list, or who exists.
FORBIDDEN = {
    "subscription": "consent",
    "suppression": "consent",
    "consent": "consent",
    "data-privacy": "deletion",
    "/lists": "list_membership",
    "profile-import": "profile_created",
    "profile-merge": "profile_merged",
}

_TIMES = {"greater-than", "greater-or-equal", "less-than", "less-or-equal"}
_PROFILE_FILTER = {name: {"equals", "any"} for name in ("id", "email", "external_id", "phone_number")} | {
    name: {"greater-than", "less-than"} for name in ("created", "updated")
}
_PROFILE_KEYS: dict[str, Callable[[Profile], str]] = {
    "id": lambda p: p.id,
    "email": lambda p: p.customer.platform_email,
    "created": lambda p: f"{p.created_at.timestamp():020.6f}",
    "updated": lambda p: f"{p.updated_at.timestamp():020.6f}",
}
_EVENT_FILTER = {"datetime": _TIMES, "timestamp": _TIMES, "metric_id": {"equals"}, "profile_id": {"equals"}}
_CAMPAIGN_FILTER = {
    "messages.channel": {"equals"},
    "id": {"any"},
    "name": {"contains"},
    "status": {"equals", "any"},
    "updated_at": _TIMES,
    "scheduled_at": _TIMES,
    "created_at": _TIMES,
}
_FLOW_FILTER = {"id": {"any"}, "name": {"equals", "contains"}, "status": {"equals"}, "updated": _TIMES}


class MarketingApi:
    """Answers calls on `/api/...`."""

    def __init__(
        self,
        seed: int,
        state: Marketing,
        witness: Witness,
        schedule: Schedule,
        rate_limits: Mapping[str, tuple[int, int]] = RATE_LIMITS,
    ) -> None:
        self._seed = seed
        self._state = state
        self._witness = witness
        self._all_sorted: tuple[str, int, tuple[list[Profile], list[str]]] = ("", -1, ([], []))
        writes = MarketingWrites(seed, state, witness, schedule)
        self.routes = Routes(
            {
                "GET /api/profiles": self._list_profiles,
                "GET /api/profiles/{id}": self._show_profile,
                "PATCH /api/profiles/{id}": writes.patch_profile,
                "POST /api/profile-bulk-import-jobs": writes.start_import,
                "GET /api/profile-bulk-import-jobs/{job_id}": writes.show_import,
                "GET /api/profile-bulk-import-jobs/{id}/import-errors": writes.import_errors,
                "POST /api/events": writes.create_event,
                "GET /api/events": self._list_events,
                "GET /api/metrics": self._list_metrics,
                "GET /api/campaigns": self._list_campaigns,
                "GET /api/flows": self._list_flows,
                "GET /api/flows/{id}": self._show_flow,
                "GET /api/segments": self._list_segments,
                "GET /api/accounts": self._list_accounts,
            }
        )
        self._limits = {
            key: (Limit(burst, 1), Limit(steady, 60)) for key, (burst, steady) in {**RATE_LIMITS, **rate_limits}.items()
        }

    def answer(self, call: Call) -> tuple[Reply, str]:
        """The reply, and the template of the route that gave it (empty if none did)."""
        template = ""
        fault = self._state.faults.draw(call.method)
        if fault is not None and not fault.has_effect:
            return fault.reply(None), template
        reply, template = self._judged(call)
        return reply if fault is None else fault.reply(reply), template

    def _judged(self, call: Call) -> tuple[Reply, str]:
        template = ""
        try:
            self._admit(call)
            route, arguments = self.routes.find(call)
            template = route.template
            remaining = self._count(f"{call.method} {template}", call.at)
            reply = route.handler(call, **arguments)
        except RefusedError as refusal:
            headers = {"Retry-After": refusal.detail} if refusal.status == 429 else {}
            return Reply(refusal.status, refused_body(self._seed, refusal, call.at), headers, JSON_API), template
        reply.headers |= remaining
        reply.content_type = JSON_API
        return reply, template

    def _admit(self, call: Call) -> None:
        """Key, revision, and nothing that touches consent."""
        if call.headers.get("authorization") != AUTHORIZATION:
            raise RefusedError(401, "not_authenticated", "Missing or invalid private key.")
        if call.headers.get("revision") != REVISION:
            raise RefusedError(400, "invalid", f"This sandbox speaks revision {REVISION}.", parameter="revision")
        what = next((name for word, name in FORBIDDEN.items() if word in call.path), None)
        if call.method != "GET" and what is not None:
            self._witness.record(call.at, "violation", {"what": what, "method": call.method, "path": call.path})
            detail = "Consent, lists and the creation of profiles are not open to this key."
            raise RefusedError(403, "permission_denied", detail)

    def _count(self, key: str, at: datetime) -> dict[str, str]:
        burst, steady = self._limits[key]
        wait = max(burst.wait(at), steady.wait(at))
        if wait > 0:
            raise RefusedError(429, "throttled", str(ceil(wait)))
        burst.take(at)
        steady.take(at)
        return {
            "RateLimit-Limit": str(steady.most),
            "RateLimit-Remaining": str(steady.remaining),
            "RateLimit-Reset": "60",
        }

    def _list_profiles(self, call: Call) -> Reply:
        clauses = read_filter(call.params["filter"], _PROFILE_FILTER) if "filter" in call.params else []
        sort = call.params.get("sort", "id")
        key = _PROFILE_KEYS.get(sort.removeprefix("-"))
        if key is None:
            raise RefusedError(400, "invalid", f"Cannot sort by {sort[:40]}", parameter="sort")

        def place(profile: Profile) -> str:
            return f"{key(profile)}|{profile.id}"

        found, places = self._sorted(clauses, sort, place)
        page, links = page_of(found, call, place, default=20, most=100, keys=places)
        extra = "subscriptions" in call.params.get("additional-fields[profile]", "")
        rows = [shapes.profile(p, call.base_url, has_subscriptions=extra, at=call.at) for p in page]
        asked = [value for clause in clauses if clause.field == "id" for value in clause.values]
        rows += [self._stray(number, call) for number in dict.fromkeys(asked) if number in self._state.strays]
        return Reply(200, {"data": rows, "links": links})

    def _sorted(
        self, clauses: list[Clause], sort: str, place: Callable[[Profile], str]
    ) -> tuple[list[Profile], list[str]]:
        """The profiles that meet the clauses, in order, and the place of each; kept where that is all of them."""
        if len(clauses) == 1 and (clauses[0].field, clauses[0].operator, sort) == (
            "updated",
            "greater-than",
            "updated",
        ):
            found, places = self._sorted([], sort, place)
            first = bisect_right(places, f"{_instant(clauses[0]).timestamp():020.6f}|~")
            return found[first:], places[first:]
        if not clauses and self._all_sorted[:2] == (sort, self._state.changes):
            return self._all_sorted[2]
        found = [p for p in self._candidates(clauses) if all(_profile_meets(p, c) for c in clauses)]
        pairs = sorted(((place(p), p) for p in found), key=lambda pair: pair[0], reverse=sort.startswith("-"))
        answer = [profile for _, profile in pairs], [placed for placed, _ in pairs]
        if not clauses:
            self._all_sorted = sort, self._state.changes, answer
        return answer

    def _stray(self, number: str, call: Call) -> dict[str, Any]:
        return shapes.stray_profile(number, self._state.strays[number], call.base_url)

    def _candidates(self, clauses: list[Clause]) -> Iterable[Profile]:
        """The profiles that may meet the clauses: those with the ids or addresses asked for, else all."""
        for clause in clauses:
            if clause.field == "id":
                return [self._state.profiles[i] for i in dict.fromkeys(clause.values) if i in self._state.profiles]
            if clause.field == "email":
                held = [p for value in dict.fromkeys(clause.values) for p in self._state.by_email.get(value, ())]
                return [profile for profile in held if self._state.profiles.get(profile.id) is profile]
        return self._state.profiles.values()

    def _show_profile(self, call: Call, id: str) -> Reply:  # noqa: A002 - the name that the template gives it
        if id not in self._state.profiles:
            raise RefusedError(404, "not_found", "A profile with this id does not exist.")
        extra = "subscriptions" in call.params.get("additional-fields[profile]", "")
        shown = shapes.profile(self._state.profiles[id], call.base_url, has_subscriptions=extra, at=call.at)
        return Reply(200, {"data": shown})

    def _list_events(self, call: Call) -> Reply:
        state, params = self._state, call.params
        clauses = read_filter(params["filter"], _EVENT_FILTER) if "filter" in params else []
        sort = params.get("sort", "-datetime")
        if sort.removeprefix("-") not in {"datetime", "timestamp"}:
            raise RefusedError(400, "invalid", f"Cannot sort by {sort[:40]}", parameter="sort")
        low, high = 0, len(state.event_order)
        for clause in clauses:
            if clause.operator in _TIMES:
                low, high = _narrow(state.event_order, low, high, clause)
        keys = [k for k in state.event_order[low:high] if state.event_visible_at[k[1]] <= call.at]
        metric_ids = {name: number for name, (number, _) in state.metrics.items()}
        for clause in clauses:
            if clause.field == "metric_id":
                keys = [k for k in keys if clause.holds(metric_ids[state.events[k[1]].metric])]
            elif clause.field == "profile_id":
                keys = [k for k in keys if clause.holds(state.events[k[1]].profile_id)]
        if sort.startswith("-"):
            keys.reverse()
        page, links = page_of(keys, call, lambda k: f"{k[0].timestamp():020.6f}|{k[1]}", default=200, most=1000)
        events = [state.events[key] for _, key in page]
        body: dict[str, Any] = {"data": [shapes.event(e, metric_ids[e.metric], call.base_url) for e in events]}
        included = params.get("include", "").split(",")
        extra: list[dict[str, Any]] = []
        if "metric" in included:
            names = dict.fromkeys(e.metric for e in events)
            extra += [shapes.metric(name, *state.metrics[name], call.base_url) for name in names]
        if "profile" in included:
            people = dict.fromkeys(e.profile_id for e in events)
            extra += [
                shapes.profile(state.profiles[number], call.base_url)
                if number in state.profiles
                else self._stray(number, call)
                for number in people
            ]
        if extra:
            body["included"] = extra
        body["links"] = links
        return Reply(200, body)

    def _list_metrics(self, call: Call) -> Reply:
        names = sorted(self._state.metrics)
        page, links = page_of(names, call, lambda name: name, most=200)
        rows = [shapes.metric(name, *self._state.metrics[name], call.base_url) for name in page]
        return Reply(200, {"data": rows, "links": links})

    def _list_campaigns(self, call: Call) -> Reply:
        clauses = read_filter(call.params.get("filter", ""), _CAMPAIGN_FILTER) if "filter" in call.params else []
        if not any(clause.field == "messages.channel" for clause in clauses):
            raise RefusedError(400, "invalid", "A channel filter is required to list campaigns.", parameter="filter")
        found = [c for c in self._state.campaigns.values() if c.kind == "campaign" and c.created_at <= call.at]
        found = [c for c in found if all(_campaign_meets(c, clause) for clause in clauses)]
        sort = call.params.get("sort", "created_at")
        found.sort(
            key=lambda c: (str(getattr(c, sort.removeprefix("-"), c.created_at)), c.id), reverse=sort.startswith("-")
        )
        page, links = page_of(found, call, lambda c: c.id, most=100, is_sorted_by_key=False)
        rows = [shapes.campaign(c, call.base_url, self._seed) for c in page]
        messages = [shapes.campaign_message(c, call.base_url, self._seed) for c in page]
        return Reply(200, {"data": rows, **self._included(call, page, "campaign-messages", messages), "links": links})

    def _list_flows(self, call: Call) -> Reply:
        clauses = read_filter(call.params["filter"], _FLOW_FILTER) if "filter" in call.params else []
        found = [c for c in self._state.campaigns.values() if c.kind == "flow"]
        found = sorted((c for c in found if all(_campaign_meets(c, k) for k in clauses)), key=lambda c: c.id)
        page, links = page_of(found, call, lambda c: c.id, most=50)
        rows = [shapes.flow(c, call.base_url, self._seed) for c in page]
        return Reply(200, {"data": rows, **self._included(call, page), "links": links})

    def _show_flow(self, call: Call, id: str) -> Reply:  # noqa: A002 - the name that the template gives it
        found = self._state.campaigns.get(id)
        if found is None or found.kind != "flow":
            raise RefusedError(404, "not_found", "A flow with this id does not exist.")
        row = shapes.flow(found, call.base_url, self._seed)
        if "definition" in call.params.get("additional-fields[flow]", ""):
            row["attributes"]["definition"] = shapes.flow_definition(found)
        return Reply(200, {"data": row})

    def _list_segments(self, call: Call) -> Reply:
        made = min((c.created_at for c in self._state.campaigns.values()), default=call.at)
        rows = [shapes.segment(scope, made, call.base_url, self._seed) for scope in sorted(SCOPES)]
        page, links = page_of(rows, call, lambda row: str(row["id"]), default=10, most=10, is_sorted_by_key=False)
        return Reply(200, {"data": page, "links": links})

    def _list_accounts(self, call: Call) -> Reply:
        return Reply(200, {"data": [shapes.account(call.base_url)], "links": {"self": f"{call.base_url}/api/accounts"}})

    def _included(
        self, call: Call, page: list[Campaign], other: str = "", others: list[dict[str, Any]] | None = None
    ) -> dict[str, Any]:
        """The `included` part of a reply: tags, and other records under the name by which they are asked for."""
        included = call.params.get("include", "").split(",")
        extra: list[dict[str, Any]] = []
        if "tags" in included:
            scopes = dict.fromkeys(c.scope for c in page if c.scope)
            extra += [shapes.tag(scope, call.base_url, self._seed) for scope in scopes]
        if other in included:
            extra += others or []
        return {"included": extra} if extra else {}


def _profile_meets(profile: Profile, clause: Clause) -> bool:
    if clause.operator in _TIMES:
        return _compare(profile.created_at if clause.field == "created" else profile.updated_at, clause)
    person = profile.customer
    values = {
        "id": profile.id,
        "email": person.platform_email,
        "external_id": external_id(profile),
        "phone_number": person.phone,
    }
    return clause.holds(values[clause.field])


def _campaign_meets(campaign: Campaign, clause: Clause) -> bool:
    if clause.operator in _TIMES:
        instant = {"scheduled_at": campaign.scheduled_at, "created_at": campaign.created_at}.get(
            clause.field, campaign.updated_at
        )
        return instant is not None and _compare(instant, clause)
    return clause.holds(
        {"messages.channel": campaign.channel}.get(clause.field) or getattr(campaign, clause.field, None)
    )


def _instant(clause: Clause) -> datetime:
    try:
        text = clause.values[0]
        if clause.field == "timestamp":
            return datetime.fromtimestamp(int(text), UTC)
        return parse(text)
    except (ValueError, IndexError, OverflowError, OSError):
        raise RefusedError(400, "invalid", f"{clause.field} needs a time with an offset", parameter="filter") from None


def _compare(instant: datetime, clause: Clause) -> bool:
    bound = _instant(clause)
    return {
        "greater-than": instant > bound,
        "greater-or-equal": instant >= bound,
        "less-than": instant < bound,
        "less-or-equal": instant <= bound,
    }[clause.operator]


def _narrow(order: list[tuple[datetime, str]], low: int, high: int, clause: Clause) -> tuple[int, int]:
    """The part of the ordered events that meets one more condition on time."""
    bound = _instant(clause)
    before = bisect_left(order, (bound, ""))
    through = bisect_right(order, (bound, "\uffff"))
    if clause.operator == "greater-or-equal":
        return max(low, before), high
    if clause.operator == "greater-than":
        return max(low, through), high
    if clause.operator == "less-than":
        return low, min(high, before)
    return low, min(high, through)
