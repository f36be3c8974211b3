"""The writing calls of the marketing platform: profile properties, bulk imports, events.

None of them creates a person here. Where the vendor would have created a profile, the witness logs a violation; an
event to an id that is gone leaves a profile without an address, as at the vendor.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from roomtone.sandbox import marketing_shapes as shapes
from roomtone.sandbox.chance import token, uuid
from roomtone.sandbox.clock import offset_text, parse
from roomtone.sandbox.marketing import RECOVERY_PREFIX, Marketing, external_id
from roomtone.sandbox.paging import page_of
from roomtone.sandbox.records import Profile
from roomtone.sandbox.schedule import Schedule
from roomtone.sandbox.web import Call, RefusedError, Reply, read_json
from roomtone.sandbox.witness import Witness

OWN_PREFIX = "roomtone_"
IMPORT_TAKES = timedelta(seconds=2)

# Limits that the specification states in prose only, each with its sentence.
PROFILE_BYTES = 100_000  # "The maximum allowed payload size is 100KB."
IMPORT_BYTES = 5_000_000  # "The maximum allowed payload size is 5MB."
IMPORT_PROFILES = 10_000  # "Accepts up to 10,000 profiles per request."
EVENT_BYTES = 5_000_000  # "... 5MB" for a call that creates events
STRING_BYTES = 100_000  # "The maximum allowed size of a string is 100KB."


class MarketingWrites:
    """Handlers of the calls that change something; each returns the vendor's reply or raises RefusedError."""

    def __init__(self, seed: int, state: Marketing, witness: Witness, schedule: Schedule) -> None:
        self._seed = seed
        self._state = state
        self._witness = witness
        self._schedule = schedule
        self._jobs: dict[str, dict[str, Any]] = {}

    def patch_profile(self, call: Call, id: str) -> Reply:  # noqa: A002 - the name that the template gives it
        data = _data(call, "profile", PROFILE_BYTES)
        profile = self._state.profiles.get(id)
        if profile is None:
            raise RefusedError(404, "not_found", "A profile with this id does not exist.")
        if data.get("id") != id:
            raise RefusedError(409, "conflict", "The id of the body and of the path differ.", pointer="/data/id")
        self._apply(profile, data, call.at)
        return Reply(200, {"data": shapes.profile(profile, call.base_url)})

    def start_import(self, call: Call) -> Reply:
        data = _data(call, "profile-bulk-import-job", IMPORT_BYTES)
        rows = _part(_part(data, "attributes"), "profiles").get("data")
        if not isinstance(rows, list) or not rows:
            raise RefusedError(
                400, "invalid", "At least one profile is required.", pointer="/data/attributes/profiles/data"
            )
        if len(rows) > IMPORT_PROFILES:
            detail = f"At most {IMPORT_PROFILES} profiles per request."
            raise RefusedError(400, "invalid", detail, pointer="/data/attributes/profiles/data")
        if "relationships" in data:
            self._violation(call.at, "list_membership", {"path": call.path})
        now = offset_text(call.at)
        job: dict[str, Any] = {
            "id": token(self._seed, "job", len(self._jobs), prefix="am9iOnByb2ZpbGU", length=32),
            "status": "queued",
            "created_at": now,
            "started_at": None,
            "completed_at": None,
            "expires_at": offset_text(call.at + timedelta(days=7)),
            "total_count": len(rows),
            "completed_count": 0,
            "failed_count": 0,
            "errors": [],
        }
        self._jobs[job["id"]] = job
        self._schedule.add(call.at + IMPORT_TAKES, lambda at: self._run_import(job, rows, at))
        return Reply(202, {"data": shapes.job(job, call.base_url)})

    def show_import(self, call: Call, job_id: str) -> Reply:
        return Reply(200, {"data": shapes.job(self._job(job_id), call.base_url)})

    def import_errors(self, call: Call, id: str) -> Reply:  # noqa: A002 - the name that the template gives it
        page, links = page_of(
            self._job(id)["errors"], call, lambda error: error["id"], default=20, most=100, is_sorted_by_key=False
        )
        return Reply(200, {"data": page, "links": links})

    def create_event(self, call: Call) -> Reply:
        attributes = _part(_data(call, "event", EVENT_BYTES), "attributes")
        metric = _part(_part(_part(attributes, "metric"), "data"), "attributes").get("name")
        if not isinstance(metric, str) or not metric:
            raise RefusedError(
                400, "invalid", "The metric needs a name.", pointer="/data/attributes/metric/data/attributes/name"
            )
        properties = _part(attributes, "properties")
        if any(isinstance(value, str) and len(value.encode()) > STRING_BYTES for value in properties.values()):
            raise RefusedError(400, "invalid", "A string is larger than 100KB.", pointer="/data/attributes/properties")
        at = self._event_time(attributes, call.at)
        person = _part(_part(attributes, "profile"), "data")
        profile = self._known(person)
        unique_id = str(attributes.get("unique_id") or int(at.timestamp()))
        facts: dict[str, Any] = {"metric": metric, "unique_id": unique_id, "properties": properties}
        if profile is None:
            # The vendor answers 202 all the same, and makes a profile out of nothing.
            self._violation(call.at, "profile_created", {"metric": metric, "identifier": _identifiers(person)})
            facts |= {"profile_id": None, "external_id": None, "is_duplicate": False}
            self._witness.record(call.at, "event_received", facts)
            if person.get("id"):
                self._state.record_for_nobody(str(person["id"]), metric, properties, at=at, unique_id=unique_id)
            return Reply(202)
        if self._state.faults.drops():
            # Accepted, and lost on the way: nobody hears of it again.
            return Reply(202)
        event = self._state.record(
            profile,
            metric,
            properties,
            at=at,
            arrived_at=call.at,
            unique_id=unique_id,
            value=attributes.get("value"),
        )
        facts |= {"profile_id": profile.id, "external_id": external_id(profile), "is_duplicate": event is None}
        self._witness.record(call.at, "event_received", facts)
        if event is not None and metric.lower().startswith(RECOVERY_PREFIX):
            self._state.start_recovery(profile, event, call.at)
        return Reply(202)

    def _event_time(self, attributes: Mapping[str, Any], now: datetime) -> datetime:
        if attributes.get("time") is None:
            return now.replace(microsecond=0)
        try:
            return parse(str(attributes["time"])).replace(microsecond=0)
        except ValueError:
            raise RefusedError(
                400, "invalid", "time must be ISO 8601 with an offset.", pointer="/data/attributes/time"
            ) from None

    def _apply(self, profile: Profile, data: Mapping[str, Any], at: datetime) -> None:
        """Sets the properties of a row; everything else in it is a violation and changes nothing."""
        wanted = _wanted_properties(data)
        others = sorted(name for name in _part(data, "attributes") if name != "properties")
        if others:
            self._violation(at, "profile_field", {"profile_id": profile.id, "fields": others})
        foreign = sorted(name for name in wanted if not name.startswith(OWN_PREFIX))
        if foreign:
            self._violation(at, "foreign_property", {"profile_id": profile.id, "properties": foreign})
        self._state.update_properties(profile, wanted, at)

    def _run_import(self, job: dict[str, Any], rows: list[Any], at: datetime) -> None:
        job["started_at"] = job["completed_at"] = offset_text(at)
        for number, row in enumerate(rows):
            pointer = f"/data/attributes/profiles/data/{number}"
            try:
                self._state.faults.refuse_row()
                self._import_row(job, row, at)
                job["completed_count"] += 1
            except RefusedError as refusal:
                self._import_error(job, number, row, refusal.detail, pointer + refusal.pointer)
        job["status"] = "complete"

    def _import_row(self, job: Mapping[str, Any], row: Any, at: datetime) -> None:
        if not isinstance(row, dict):
            raise RefusedError(400, "invalid", "A profile must be an object.")
        profile = self._known(row)
        if profile is None:
            if not row.get("id"):
                self._violation(at, "profile_created", {"job_id": job["id"], "identifier": _identifiers(row)})
            raise RefusedError(404, "not_found", "A profile with this id does not exist.", pointer="/id")
        if len(json.dumps(row).encode()) > PROFILE_BYTES:
            raise RefusedError(413, "payload_too_large", "The profile is larger than 100KB.")
        if not self._state.faults.drops():
            self._apply(profile, row, at)

    def _import_error(self, job: dict[str, Any], number: int, row: Any, detail: str, pointer: str) -> None:
        job["failed_count"] += 1
        attributes = {
            "code": "invalid",
            "title": "Invalid input.",
            "detail": detail,
            "source": {"pointer": pointer},
            "original_payload": row if isinstance(row, dict) else None,
        }
        error_id = token(self._seed, job["id"], number, prefix="", length=12)
        job["errors"].append({"type": "import-error", "id": error_id, "attributes": attributes})

    def _known(self, person: Mapping[str, Any]) -> Profile | None:
        """The existing profile that an identifier names: the id, else external id, e-mail or phone number."""
        if person.get("id"):
            return self._state.profiles.get(str(person["id"]))
        attributes = person.get("attributes")
        if not isinstance(attributes, dict):
            return None
        for profile in self._state.profiles.values():
            customer = profile.customer
            email = str(attributes.get("email") or "").lower()
            if (
                (attributes.get("external_id") and attributes["external_id"] == external_id(profile))
                or (email and email == customer.platform_email)
                or (attributes.get("phone_number") and attributes["phone_number"] == customer.phone)
            ):
                return profile
        return None

    def _job(self, job_id: str) -> dict[str, Any]:
        if job_id not in self._jobs:
            raise RefusedError(404, "not_found", "A job with this id does not exist.")
        return self._jobs[job_id]

    def _violation(self, at: datetime, what: str, facts: Mapping[str, Any]) -> None:
        self._witness.record(at, "violation", {"what": what, **facts})


def refused_body(seed: int, refusal: RefusedError, at: datetime) -> dict[str, Any]:
    """A JSON:API error document."""
    source = {"pointer": refusal.pointer or "/data"}
    if refusal.parameter:
        source = {"parameter": refusal.parameter}
    error = {
        "id": uuid(seed, "error", at.isoformat(), refusal.detail),
        "status": refusal.status,
        "code": refusal.code,
        "title": refusal.code.replace("_", " ").capitalize() + ".",
        "detail": f"Request was throttled. Expected available in {refusal.detail} second(s)."
        if refusal.status == 429
        else refusal.detail,
        "source": source,
        "links": {},
        "meta": {},
    }
    return {"errors": [error]}


def _data(call: Call, kind: str, most: int) -> dict[str, Any]:
    """The `data` member of a JSON:API body of a type; RefusedError 400 or 413 otherwise."""
    if len(call.content) > most:
        raise RefusedError(413, "payload_too_large", f"The payload is larger than {most // 1000} KB.")
    try:
        body = read_json(call.content)
    except ValueError:
        raise RefusedError(400, "invalid", "The body is not JSON.") from None
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, dict) or data.get("type") != kind:
        raise RefusedError(400, "invalid", f"The body must hold data of type {kind}.", pointer="/data/type")
    return data


def _part(holder: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = holder.get(name)
    if not isinstance(value, dict):
        raise RefusedError(400, "invalid", f"{name} is required and must be an object.", pointer=f"/data/{name}")
    return value


def _wanted_properties(data: Mapping[str, Any]) -> dict[str, Any]:
    """The properties that a row sets, None for those that it unsets; RefusedError 400 for another shape."""
    wanted = _part(data, "attributes").get("properties") or {}
    meta = data.get("meta") or {}
    patch = meta.get("patch_properties") or {} if isinstance(meta, dict) else None
    unset = patch.get("unset") or [] if isinstance(patch, dict) else None
    names = [unset] if isinstance(unset, str) else unset
    if not isinstance(wanted, dict):
        raise RefusedError(400, "invalid", "properties must be an object.", pointer="/attributes/properties")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RefusedError(400, "invalid", "unset must be a name or a list of names.", pointer="/meta")
    return wanted | dict.fromkeys(names)


def _identifiers(person: Any) -> list[str]:
    """Which identifiers a call gave, without their values."""
    if not isinstance(person, dict):
        return []
    attributes = person.get("attributes")
    if not isinstance(attributes, dict):
        attributes = {}
    names = ("email", "phone_number", "external_id", "anonymous_id", "_kx")
    return [name for name in ("id",) if person.get(name)] + [name for name in names if attributes.get(name)]
