"""A third marketing platform in Customer.io's shapes: the Track API's batch and region, and people of the App API.

Its people are the brand's customers that are on the platform. It never makes one: where the vendor would have, the
witness logs a violation.
"""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from math import ceil
from typing import Any

from roomtone.sandbox.chance import token
from roomtone.sandbox.records import Customer
from roomtone.sandbox.web import Call, Limit, RefusedError, Reply, Routes, read_json
from roomtone.sandbox.witness import Witness

SITE_ID, TRACK_KEY, APP_KEY = "sandbox-site", "sandbox-customerio", "sandbox-customerio-app"
AUTHORIZATION = "Basic " + b64encode(f"{SITE_ID}:{TRACK_KEY}".encode()).decode()
WORKSPACE = 3
OWN_PREFIX = "roomtone_"

# Limits that the vendor states in prose only, each with its sentence.
BATCH_BYTES = 500_000  # "Your batch request must be smaller than 500kb."
ITEM_BYTES = 32_000  # "Each of the requests within the batch must also be 32kb or smaller."
TRACK_CALLS = 1000  # "The Track API has a rate limit of 1000 requests per second"
APP_CALLS = 10  # "Your request is over the 10-per-second limit."
PEOPLE = 100  # as many ids as one question to the App API names

# What each action of the batch would do to a person beside setting attributes and recording events.
HARM = {
    "suppress": "deletion",
    "delete": "deletion",
    "unsuppress": "consent",
    "merge": "profile_merged",
    "add_device": "device",
    "delete_device": "device",
    "add_relationships": "relationship",
    "delete_relationships": "relationship",
}
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


class CustomerIoApi:
    """Answers calls on `/api/v1`, `/api/v2` (Track) and `/v1` (App)."""

    def __init__(self, seed: int, customers: Mapping[int, Customer], witness: Witness) -> None:
        self._seed = seed
        self._customers = customers
        self._witness = witness
        self._attributes: dict[str, dict[str, Any]] = {}
        self._event_ids: set[str] = set()
        self.routes = Routes(
            {
                "GET /api/v1/accounts/region": self._region,
                "POST /api/v2/batch": self._batch,
                "POST /v1/customers/attributes": self._show_people,
            }
        )
        self._track_limit = Limit(TRACK_CALLS, 1)
        self._app_limit = Limit(APP_CALLS, 1)

    def answer(self, call: Call) -> tuple[Reply, str]:
        """The reply, and the template of the route that gave it (empty if none did)."""
        template = ""
        try:
            is_app = call.path.startswith("/v1/")
            if call.headers.get("authorization") != (f"Bearer {APP_KEY}" if is_app else AUTHORIZATION):
                return Reply(401, {"meta": {"error": "Unauthorized request"}}), ""
            route, arguments = self.routes.find(call)
            template = route.template
            limit = self._app_limit if is_app else self._track_limit
            wait = limit.wait(call.at)
            if wait > 0:
                return Reply(429, {"meta": {"errors": ["too many requests"]}}, {"Retry-After": str(ceil(wait))}), ""
            limit.take(call.at)
            return route.handler(call, **arguments), template
        except RefusedError as refusal:
            errors = [{"reason": refusal.code, "field": "", "message": refusal.detail}]
            return Reply(refusal.status, {"errors": errors}), template

    def _region(self, call: Call) -> Reply:
        del call  # the key alone decides
        return Reply(200, {"url": "https://track.customer.io", "region": "us", "environment_id": WORKSPACE})

    def _batch(self, call: Call) -> Reply:
        if len(call.content) >= BATCH_BYTES:
            raise RefusedError(400, "invalid", f"The batch is not smaller than {BATCH_BYTES // 1000} KB")
        items = _body(call).get("batch")
        if not isinstance(items, list) or not items:
            raise RefusedError(400, "required", "batch must be a list that is not empty")
        errors = []
        for index, item in enumerate(items):
            try:
                self._take(item, call.at)
            except RefusedError as refusal:
                told = {"reason": refusal.code, "field": refusal.parameter, "message": refusal.detail}
                errors.append({"batch_index": index, **told})
        return Reply(207, {"errors": errors}) if errors else Reply(200, {})

    def _take(self, item: Any, at: datetime) -> None:
        if not isinstance(item, dict) or item.get("type") != "person":
            raise RefusedError(400, "invalid", "this server knows people only", parameter="type")
        if len(json.dumps(item).encode()) > ITEM_BYTES:
            raise RefusedError(400, "invalid", f"an item may have {ITEM_BYTES // 1000} KB", parameter="attributes")
        identifiers = item.get("identifiers")
        if not isinstance(identifiers, dict) or len(identifiers) != 1:
            raise RefusedError(400, "invalid", "exactly one identifier", parameter="identifiers")
        person_id = identifiers.get("id")
        if not isinstance(person_id, str) or not person_id:
            raise RefusedError(400, "invalid", "this workspace identifies people by id", parameter="identifiers")
        attributes = item.get("attributes", {})
        if not isinstance(attributes, dict):
            raise RefusedError(400, "invalid", "must be an object", parameter="attributes")
        action = item.get("action")
        if action == "identify":
            self._identify(person_id, attributes, at)
        elif action == "event":
            self._happen(person_id, item, attributes, at)
        elif action in HARM:
            self._violation(at, HARM[str(action)], {"action": action})
        else:
            raise RefusedError(400, "invalid", "no such action here", parameter="action")

    def _identify(self, person_id: str, attributes: Mapping[str, Any], at: datetime) -> None:
        """ "If no person matches the identifiers, the request does nothing", where `_update` is true."""
        wanted = {name: value for name, value in attributes.items() if name != "_update"}
        foreign = sorted(name for name in wanted if not name.startswith(OWN_PREFIX))
        if "cio_subscription_preferences" in foreign or "unsubscribed" in foreign:
            self._violation(at, "consent", {"fields": foreign})
        elif foreign:
            self._violation(at, "foreign_property", {"properties": foreign})
        held = self._person(person_id)
        if held is None:
            if attributes.get("_update") is not True:
                self._violation(at, "profile_created", {"identifier": ["id"]})
            return
        changed = {}
        for name, new in wanted.items():
            text = _text(new)
            if held.get(name, "") != text:
                changed[name] = [held.get(name), text]
            if text:
                held[name] = text
            else:
                held.pop(name, None)
        facts = {"api": "customerio", "profile_id": person_id, "changed": changed}
        self._witness.record(at, "profile_updated", facts)

    def _happen(self, person_id: str, item: Mapping[str, Any], attributes: Mapping[str, Any], at: datetime) -> None:
        name, event_id = item.get("name"), item.get("id")
        if not isinstance(name, str) or not name:
            raise RefusedError(400, "required", "an event needs a name", parameter="name")
        if event_id is not None and not (isinstance(event_id, str) and ULID.fullmatch(event_id)):
            raise RefusedError(400, "invalid", "not a ULID", parameter="id")
        if self._person(person_id) is None:
            self._violation(at, "profile_created", {"identifier": ["id"], "metric": name})
            return
        is_duplicate = event_id in self._event_ids
        self._event_ids |= {event_id} if event_id else set()
        facts: dict[str, Any] = {"api": "customerio", "profile_id": person_id, "metric": name}
        facts |= {"unique_id": attributes.get("trigger_id"), "properties": dict(attributes)}
        self._witness.record(at, "event_received", facts | {"is_duplicate": is_duplicate})

    def _show_people(self, call: Call) -> Reply:
        ids = _body(call).get("ids")
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids) or len(ids) > PEOPLE:
            raise RefusedError(400, "invalid", f"ids must be a list of at most {PEOPLE} texts")
        known = {person_id: self._person(person_id) for person_id in dict.fromkeys(ids)}
        return Reply(200, {"customers": [self._shown(i, held) for i, held in known.items() if held is not None]})

    def _shown(self, person_id: str, held: Mapping[str, Any]) -> dict[str, Any]:
        customer = self._customers[int(person_id) - 1000]
        cio_id = token(self._seed, "cio", person_id, prefix="", length=12).lower()
        identifiers = {"cio_id": cio_id, "email": customer.platform_email, "id": person_id}
        person: dict[str, Any] = {
            "id": person_id,
            "identifiers": identifiers,
            "attributes": dict(held),
            "unsubscribed": False,
        }
        return {"customer": person}

    def _person(self, person_id: str) -> dict[str, Any] | None:
        customer = self._customers.get(int(person_id) - 1000) if person_id.isdecimal() else None
        if customer is None or not customer.is_on_platform:
            return None
        return self._attributes.setdefault(person_id, {})

    def _violation(self, at: datetime, what: str, facts: Mapping[str, Any]) -> None:
        self._witness.record(at, "violation", {"what": what, "api": "customerio", **facts})


def _body(call: Call) -> dict[str, Any]:
    try:
        body = read_json(call.content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RefusedError(400, "invalid", "The body is not a JSON object")
    return body


def _text(value: Any) -> str:
    """Attributes are kept as text."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
