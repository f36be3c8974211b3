"""A second marketing platform in Braze's shapes: `/users/track`, which takes into a queue, and `/users/export/ids`.

Its users are the brand's customers that are on the platform, by the external id that the shop gave them. It never makes
one: where the vendor would have, the witness logs a violation.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

from roomtone.sandbox.chance import token
from roomtone.sandbox.clock import rfc3339
from roomtone.sandbox.records import Customer
from roomtone.sandbox.schedule import Schedule
from roomtone.sandbox.web import Call, Limit, RefusedError, Reply, Routes, read_json
from roomtone.sandbox.witness import Witness

# Keys and the permissions that each was given.
KEYS: Mapping[str, frozenset[str]] = {
    "sandbox-braze": frozenset({"users.track", "users.export.ids"}),
    "sandbox-braze-reader": frozenset({"users.export.ids"}),
}
PERMISSIONS = {"/users/track": "users.track", "/users/export/ids": "users.export.ids"}
OWN_PREFIX = "roomtone_"
# The queue between the answer and the effect.
TAKES = timedelta(milliseconds=200)

# Limits that the vendor states in prose only, each with its sentence.
OBJECTS = 75  # "Each request ... can contain up to 75 events, 75 attribute updates, and 75 purchases."
EXPORTED_IDS = 50  # "Up to 50 external_ids or user_aliases can be included in a single request."
TRACK_CALLS, TRACK_SECONDS = 3000, 3  # "a base speed limit of 3,000 requests per three seconds"
EXPORT_CALLS, EXPORT_SECONDS = 250, 60  # "If you onboarded on or after August 22, 2024: 250 requests per minute."
PROPERTY_BYTES = 50_000  # "The Canvas entry properties object has a maximum size limit of 50 KB."
BODY_BYTES = 4_000_000  # of no sentence: nobody sends more than 75 objects of this size

# What an object may hold beside custom attributes: "one of external_id, user_alias, or braze_id is required".
ADDRESSES = ("external_id", "user_alias", "braze_id", "email", "phone")
FLAGS = frozenset({"_update_existing_only", "push_token_import"})
CONSENT = frozenset({"email_subscribe", "push_subscribe", "subscription_groups", "email_open_tracking_disabled"})
EVENT_FIELDS = frozenset({*ADDRESSES, *FLAGS, "app_id", "name", "time", "properties"})


@dataclass
class User:
    """A user; `events` are (name, time)."""

    external_id: str
    braze_id: str
    customer: Customer
    attributes: dict[str, Any] = field(default_factory=dict)
    events: list[tuple[str, datetime]] = field(default_factory=list)


class BrazeApi:
    """Answers the two calls, with the vendor's own limits and permissions."""

    def __init__(self, seed: int, customers: Mapping[int, Customer], witness: Witness, schedule: Schedule) -> None:
        self._seed = seed
        self._customers = customers
        self._witness = witness
        self._schedule = schedule
        self._users: dict[str, User] = {}
        self._types: dict[str, type] = {}
        self.routes = Routes({"POST /users/track": self._track, "POST /users/export/ids": self._export})
        self._limits = {
            "/users/track": Limit(TRACK_CALLS, TRACK_SECONDS),
            "/users/export/ids": Limit(EXPORT_CALLS, EXPORT_SECONDS),
        }

    def answer(self, call: Call) -> tuple[Reply, str]:
        """The reply, and the template of the route that gave it (empty if none did)."""
        template, headers = "", {}
        try:
            route, arguments = self.routes.find(call)
            template = route.template
            _admit(call, template)
            headers = self._count(template, call.at)
            reply = route.handler(call, **arguments)
        except RefusedError as refusal:
            return Reply(refusal.status, {"message": refusal.detail}, headers), template
        reply.headers |= headers
        return reply, template

    def _count(self, template: str, at: datetime) -> dict[str, str]:
        """The vendor's three headers; it gives no Retry-After."""
        limit = self._limits[template]
        wait = limit.wait(at)
        if wait > 0:
            raise RefusedError(429, "", "Rate limit exceeded")
        limit.take(at)
        reset = ceil(at.timestamp() + limit.seconds)
        return {
            "X-RateLimit-Limit": str(limit.most),
            "X-RateLimit-Remaining": str(limit.remaining),
            "X-RateLimit-Reset": str(reset),
        }

    def _track(self, call: Call) -> Reply:
        body = _body(call)
        given = {name: body.get(name) or [] for name in ("attributes", "events", "purchases")}
        if not any(given.values()):
            raise RefusedError(400, "", "No attributes, events or purchases were given")
        for name, objects in given.items():
            if not isinstance(objects, list) or len(objects) > OBJECTS:
                raise RefusedError(400, "", f"'{name}' must be a list of at most {OBJECTS} objects")
        if given["purchases"]:
            self._violation(call.at, "purchase", {})
        errors: list[dict[str, Any]] = []
        reply: dict[str, Any] = {"message": "success"}
        for name, take in (("attributes", self._take_attributes), ("events", self._take_event)):
            for index, row in enumerate(given[name]):
                problem = take(row, call.at)
                if problem:
                    errors.append({"type": problem, "input_array": name, "index": index})
            if given[name]:
                reply[f"{name}_processed"] = len(given[name]) - sum(e["input_array"] == name for e in errors)
        return Reply(201, reply | ({"errors": errors} if errors else {}))

    def _take_attributes(self, row: Any, at: datetime) -> str:
        """Queues one object; returns what is wrong with it, empty if nothing is."""
        problem = _address_problem(row)
        if problem:
            return problem
        custom = {name: value for name, value in row.items() if name not in (*ADDRESSES, *FLAGS)}
        self._look_for_harm(custom, at)
        for name, value in custom.items():
            known = self._types.get(name)
            if value is not None and known is not None and known is not type(value):
                return f"'{name}' is a {known.__name__}, not a {type(value).__name__}"
            if isinstance(value, str) and len(value.encode()) > PROPERTY_BYTES:
                return f"'{name}' is larger than {PROPERTY_BYTES // 1000} KB"
        self._types |= {name: type(value) for name, value in custom.items() if value is not None}
        user = self._known(row, at)
        if user is not None:
            self._schedule.add(at + TAKES, lambda then: self._set(user, custom, then))
        return ""

    def _take_event(self, row: Any, at: datetime) -> str:
        problem = _address_problem(row)
        if problem:
            return problem
        unknown = sorted(set(row) - EVENT_FIELDS)
        if unknown:
            return f"'{unknown[0]}' is not a field of an event"
        name = row.get("name")
        if not isinstance(name, str) or not name:
            return "'name' is required"
        try:
            happened = datetime.fromisoformat(str(row.get("time"))).astimezone(UTC)
        except ValueError:
            return "'time' is required as ISO 8601"
        if len(json.dumps(row.get("properties") or {}).encode()) > PROPERTY_BYTES:
            return f"'properties' is larger than {PROPERTY_BYTES // 1000} KB"
        user = self._known(row, at)
        if user is not None:
            facts = row.get("properties") or {}
            self._schedule.add(at + TAKES, lambda then: self._happen(user, name, happened, facts, then))
        return ""

    def _set(self, user: User, wanted: Mapping[str, Any], at: datetime) -> None:
        changed = {}
        for name, new in wanted.items():
            old = user.attributes.get(name)
            if new != old or type(new) is not type(old):
                changed[name] = [old, new]
            if new is None:
                user.attributes.pop(name, None)
            else:
                user.attributes[name] = new
        facts = {"api": "braze", "profile_id": user.external_id, "changed": changed}
        self._witness.record(at, "profile_updated", facts)

    def _happen(self, user: User, name: str, happened: datetime, properties: Mapping[str, Any], at: datetime) -> None:
        """The vendor knows no id of an event: a second one is counted like the first."""
        trigger = properties.get("trigger_id")
        user.events.append((name, happened))
        facts = {"api": "braze", "profile_id": user.external_id, "metric": name, "unique_id": trigger}
        self._witness.record(at, "event_received", facts | {"properties": dict(properties), "is_duplicate": False})

    def _export(self, call: Call) -> Reply:
        body = _body(call)
        ids = body.get("external_ids")
        if not isinstance(ids, list) or not ids or not all(isinstance(one, str) for one in ids):
            raise RefusedError(400, "", "'external_ids' must be a list of texts here")
        if len(ids) > EXPORTED_IDS:
            raise RefusedError(400, "", f"At most {EXPORTED_IDS} external_ids")
        wanted = body.get("fields_to_export")
        users, invalid = [], []
        for external_id in dict.fromkeys(ids):
            user = self._user(external_id)
            if user is None:
                invalid.append(external_id)
                continue
            shown = _shown(user)
            users.append({name: shown[name] for name in shown if not wanted or name in wanted})
        return Reply(201, {"message": "success", "users": users} | ({"invalid_user_ids": invalid} if invalid else {}))

    def _user(self, external_id: str) -> User | None:
        if external_id not in self._users:
            customer = self._customers.get(int(external_id) - 1000) if external_id.isdecimal() else None
            if customer is None or not customer.is_on_platform:
                return None
            braze_id = token(self._seed, "braze", external_id, prefix="", length=24)
            self._users[external_id] = User(external_id, braze_id, customer)
        return self._users[external_id]

    def _known(self, row: Mapping[str, Any], at: datetime) -> User | None:
        user = self._user(str(row.get("external_id") or ""))
        if user is None and row.get("_update_existing_only") is not True:
            self._violation(at, "profile_created", {"identifier": [name for name in ADDRESSES if name in row]})
        return user

    def _look_for_harm(self, custom: Mapping[str, Any], at: datetime) -> None:
        consent = sorted(CONSENT & set(custom))
        foreign = sorted(name for name in custom if not name.startswith(OWN_PREFIX) and name not in CONSENT)
        if consent:
            self._violation(at, "consent", {"fields": consent})
        if foreign:
            self._violation(at, "foreign_property", {"properties": foreign})

    def _violation(self, at: datetime, what: str, facts: Mapping[str, Any]) -> None:
        self._witness.record(at, "violation", {"what": what, "api": "braze", **facts})


def _admit(call: Call, template: str) -> None:
    granted = KEYS.get(call.headers.get("authorization", "").removeprefix("Bearer "))
    if granted is None:
        raise RefusedError(401, "", "Invalid API key")
    if PERMISSIONS[template] not in granted:
        raise RefusedError(401, "", f"Error authenticating credentials: the key lacks {PERMISSIONS[template]}")
    if len(call.content) > BODY_BYTES:
        raise RefusedError(413, "", "The request is too large")


def _body(call: Call) -> dict[str, Any]:
    try:
        body = read_json(call.content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RefusedError(400, "", "The body is not a JSON object")
    return body


def _address_problem(row: Any) -> str:
    if not isinstance(row, dict):
        return "the object is not an object"
    given = [name for name in ADDRESSES if row.get(name)]
    if len(given) != 1:
        return "exactly one of 'external_id', 'user_alias', 'braze_id', 'email' or 'phone' is required"
    return "" if isinstance(row[given[0]], str | dict) else f"'{given[0]}' has the wrong type"


def _shown(user: User) -> dict[str, Any]:
    """ "if a field is missing from the object it should be assumed to be null, false, or empty" """
    shown: dict[str, Any] = {"external_id": user.external_id, "braze_id": user.braze_id}
    shown["email_subscribe"] = "subscribed" if user.customer.email_consent else "unsubscribed"
    if user.attributes:
        shown["custom_attributes"] = dict(user.attributes)
    names = dict.fromkeys(name for name, _ in user.events)
    if names:
        shown["custom_events"] = [_summed(name, [at for other, at in user.events if other == name]) for name in names]
    return shown


def _summed(name: str, times: list[datetime]) -> dict[str, Any]:
    return {"name": name, "first": rfc3339(min(times)), "last": rfc3339(max(times)), "count": len(times)}
