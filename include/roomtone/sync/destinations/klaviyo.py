"""Klaviyo, revision 2026-07-15: pauses as profile properties, recovery triggers as single events.

Only profiles that Klaviyo already has are written, always by their id. There is no call here that touches consent,
subscriptions, suppressions or lists.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote

from roomtone.contract import RECOVERY_KINDS
from roomtone.settings import Connection
from roomtone.stores.operational import OperationalStore
from roomtone.sync import checkpoints
from roomtone.sync.desired import PROFILE_PROPERTIES, RECOVERY_EVENT, DesiredRow, rfc3339
from roomtone.sync.destinations import klaviyo_sends
from roomtone.sync.destinations.base import Answer, Destination, Idempotency, Outcome, PromotionalSend
from roomtone.sync.identities import IdentityBook
from roomtone.sync.plan import Intent
from roomtone.sync.transport import (
    Endpoint,
    Timing,
    Transport,
    VendorBusyError,
    VendorRefusedError,
    VendorUnansweredError,
)

REVISION = "2026-07-15"
MEDIA_TYPE = "application/vnd.api+json"

# Calls a second and a minute: `x-klaviyo-ratelimit` of each operation in the vendor's specification of this revision.
# Of the 750 lists of profiles a minute a third is left to the extraction.
ENDPOINTS = (
    Endpoint("GET", "/api/profiles", 75, 500),
    Endpoint("PATCH", "/api/profiles/{}", 75, 750),
    Endpoint("POST", "/api/profile-bulk-import-jobs", 10, 150),
    Endpoint("GET", "/api/profile-bulk-import-jobs/{}", 10, 150),
    Endpoint("GET", "/api/profile-bulk-import-jobs/{}/import-errors", 10, 150),
    # Repeatable because each event carries a unique_id, of which only the first is recorded.
    Endpoint("POST", "/api/events", 350, 3500),
    Endpoint("GET", "/api/events", 350, 3500),
    Endpoint("GET", "/api/metrics", 10, 150),
    Endpoint("GET", "/api/accounts", 1, 15),
    Endpoint("GET", "/api/campaigns", 10, 150),
    Endpoint("GET", "/api/flows", 3, 60),
    Endpoint("GET", "/api/flows/{}", 3, 60),
    Endpoint("GET", "/api/segments", 75, 750),
)

# "page[size] ... Max: 100" for profiles; longer filters would make addresses that proxies refuse.
_PROFILES_PER_PAGE = 100
_FILTER_BYTES = 5000
# Up to here single updates are quicker than a job; tier 3 never waits for one.
_SINGLE_UPDATES = 10
_URGENT_TIER = 3
_JOB_WAITS_SECONDS = (0.2, 0.3, 0.5, 1.0, 2.0, 2.0, 4.0, 5.0, 5.0, 10.0, 10.0, 20.0)
# Up to so many events that may have arrived are sent again at once, under their ids; of more a page is read first.
_LOOKED_FOR_ABOVE = 20
_EVENTS = "/api/events"
# Between the turns in which events are sent that were not answered before.
_TURN_WAITS_SECONDS = (0.2, 0.4, 0.8, 1.6, 3.2)
_ADDRESSES = "email,phone_number,external_id"
# Reconciliation looks so far back for profiles that an event has made.
_CREATED_LOOK_BACK = timedelta(days=2)
# Clocks differ; an event is looked for from a little before it can have been sent.
_LOOK_BACK = timedelta(minutes=5)


class Klaviyo(Destination):
    name: ClassVar[str] = "klaviyo"
    kinds: ClassVar[tuple[str, ...]] = (PROFILE_PROPERTIES, RECOVERY_EVENT)
    # "Accepts up to 10,000 profiles per request. The maximum allowed payload size is 5MB."
    batch_sizes: ClassVar[Mapping[str, int]] = {PROFILE_PROPERTIES: 10_000, RECOVERY_EVENT: 200}
    batch_bytes: ClassVar[int] = 4_900_000
    rate_limits: ClassVar[tuple[Endpoint, ...]] = ENDPOINTS
    # "If a unique_id is repeated for the same profile and metric, only the first is recorded."
    idempotency: ClassVar[Mapping[str, Idempotency]] = {
        PROFILE_PROPERTIES: Idempotency.STATE,
        RECOVERY_EVENT: Idempotency.DEDUPLICATED,
    }

    def __init__(self, connection: Connection, store: OperationalStore, timing: Timing | None = None) -> None:
        headers = {"Authorization": f"Klaviyo-API-Key {connection.token}", "revision": REVISION, "Accept": MEDIA_TYPE}
        self._http: Transport = Transport(connection, headers, ENDPOINTS, timing)
        self._identities = IdentityBook(store, self.name)
        self._metrics: dict[str, str] = {}

    def account(self) -> str | None:
        accounts = self._http.call("GET", "/api/accounts")["data"]
        return str(accounts[0]["id"]) if accounts else None

    def weight(self, intent: Intent) -> int:
        # The property that says when it was synced and the envelope of a profile are not in the payload.
        return super().weight(intent) - 50 if intent.kind == PROFILE_PROPERTIES else super().weight(intent)

    def vendor_ids(self, rows: Sequence[DesiredRow], now: datetime) -> dict[str, str]:
        profile_ids = self._identities.resolve(rows, now, self._find_by_email)
        return {row.subject_id: profile_ids[row.customer_id] for row in rows if row.customer_id in profile_ids}

    def subjects_of(self, vendor_ids: Iterable[str]) -> dict[str, str]:
        return self._identities.customers_of(vendor_ids)

    def send(self, kind: str, batch: Sequence[Intent], now: datetime) -> list[Outcome]:
        if kind == RECOVERY_EVENT:
            return self._send_events(batch)
        if len(batch) <= _SINGLE_UPDATES:
            return [self._update(intent, now) for intent in batch]
        urgent = [intent for intent in batch if intent.payload["roomtone_tier"] >= _URGENT_TIER]
        others = [intent for intent in batch if intent.payload["roomtone_tier"] < _URGENT_TIER]
        return [self._update(intent, now) for intent in urgent] + self._import(others, now)

    def look_up(self, kind: str, intents: Sequence[Intent]) -> set[str]:
        if kind == RECOVERY_EVENT:
            seen = self._triggers_seen(intents)
            return {intent.intent_id for intent in intents if intent.subject_id in seen}
        held = self._properties(intent.vendor_id for intent in intents)
        return {
            intent.intent_id
            for intent in intents
            if intent.vendor_id in held
            and all(held[intent.vendor_id].get(name) == value for name, value in intent.payload.items())
        }

    def read_state(self, kind: str, vendor_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        return self._properties(vendor_ids) if kind == PROFILE_PROPERTIES else {}

    def consenting(self, channel: str, vendor_ids: Sequence[str]) -> set[str]:
        """Profiles that "can receive" marketing there: whoever was never asked, withdrew or is suppressed cannot."""
        found = set()
        for part in _filters(sorted(set(vendor_ids))):
            for profile in self._profiles("id", part, "subscriptions"):
                told = (profile["attributes"].get("subscriptions") or {}).get(channel) or {}
                if (told.get("marketing") or {}).get(f"can_receive_{channel}_marketing") is True:
                    found.add(str(profile["id"]))
        return found

    def promotional_sends(self) -> list[PromotionalSend]:
        return klaviyo_sends.promotional_sends(self._http)

    def _find_by_email(self, addresses: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for part in _filters(addresses):
            for profile in self._profiles("email", part, "email"):
                found.setdefault(str(profile["attributes"].get("email") or "").lower(), profile["id"])
        return found

    def _properties(self, profile_ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Custom properties by profile id; an id that Klaviyo does not have is left out."""
        found: dict[str, Mapping[str, Any]] = {}
        for part in _filters(sorted(set(profile_ids))):
            for profile in self._profiles("id", part, "properties"):
                found[profile["id"]] = profile["attributes"].get("properties") or {}
        return found

    def _profiles(self, field: str, values: Sequence[str], wanted: str) -> Iterator[dict[str, Any]]:
        params = {
            "filter": f"any({field},{json.dumps(list(values), ensure_ascii=False)})",
            "fields[profile]": wanted,
            "page[size]": str(_PROFILES_PER_PAGE),
        }
        # The one field that is only shown to whoever asks for it.
        params |= {"additional-fields[profile]": wanted} if wanted == "subscriptions" else {}
        yield from self._pages(self._http.call("GET", "/api/profiles", params=params))

    def _pages(self, page: Any) -> Iterator[dict[str, Any]]:
        return klaviyo_sends.pages(self._http, page)

    def _update(self, intent: Intent, now: datetime) -> Outcome:
        body = {"data": _profile(intent, now)}
        path = f"/api/profiles/{quote(intent.vendor_id, safe='')}"
        return self._outcome(intent, "PATCH", path, body)

    def _outcome(self, intent: Intent, method: str, path: str, body: Any, *, is_patient: bool = True) -> Outcome:
        try:
            self._http.call(method, path, body=body, media_type=MEDIA_TYPE, is_patient=is_patient)
            checkpoints.reached("call_answered")
        except VendorRefusedError as refusal:
            if refusal.status == 404:
                return self._gone(intent)
            return Outcome(intent.intent_id, Answer.REJECTED, f"{refusal.status} {refusal.words}")
        except VendorBusyError as error:
            return Outcome(intent.intent_id, Answer.DEFERRED, error.value)
        except VendorUnansweredError as error:
            return Outcome(intent.intent_id, Answer.UNKNOWN, error.value)
        return Outcome(intent.intent_id, Answer.ACCEPTED)

    def _gone(self, intent: Intent) -> Outcome:
        self._identities.forget([intent.vendor_id])
        # A state is planned anew for the record that the customer is now; an event keeps its one intent.
        answer = Answer.GONE if intent.kind == RECOVERY_EVENT else Answer.REJECTED
        return Outcome(intent.intent_id, answer, "not on the platform any more")

    def _present(self, batch: Sequence[Intent]) -> tuple[list[Intent], list[Outcome]]:
        """Splits off the intents whose profile is gone: an import or an event would create it again."""
        # A profile without an address is what such an event has made: the customer is another one now.
        there = {
            profile["id"]
            for part in _filters(sorted({intent.vendor_id for intent in batch}))
            for profile in self._profiles("id", part, _ADDRESSES)
            if _has_address(profile)
        }
        present = [intent for intent in batch if intent.vendor_id in there]
        return present, [self._gone(intent) for intent in batch if intent.vendor_id not in there]

    def _import(self, batch: Sequence[Intent], now: datetime) -> list[Outcome]:
        present, outcomes = self._present(batch)
        # All jobs are handed in before the first is waited for: they run side by side.
        jobs: list[tuple[str, Sequence[Intent]]] = []
        if present:
            outcomes += self._start_jobs(present, now, jobs)
        for job_id, part in jobs:
            outcomes += self._follow_job(job_id, part)
        return outcomes

    def _start_jobs(
        self, batch: Sequence[Intent], now: datetime, jobs: list[tuple[str, Sequence[Intent]]]
    ) -> list[Outcome]:
        """Hands in one job, or several where a row spoils it; adds them to `jobs` and returns what failed at once."""
        profiles = {"data": [_profile(intent, now) for intent in batch]}
        body = {"data": {"type": "profile-bulk-import-job", "attributes": {"profiles": profiles}}}
        try:
            job = self._http.call("POST", "/api/profile-bulk-import-jobs", body=body, media_type=MEDIA_TYPE)["data"]
        except VendorRefusedError as refusal:
            if len(batch) == 1:
                return [Outcome(batch[0].intent_id, Answer.REJECTED, f"{refusal.status} {refusal.words}")]
            # One bad row spoils the whole call: halve it until that row stands alone.
            middle = len(batch) // 2
            return self._start_jobs(batch[:middle], now, jobs) + self._start_jobs(batch[middle:], now, jobs)
        except VendorBusyError as error:
            return [Outcome(intent.intent_id, Answer.DEFERRED, error.value) for intent in batch]
        except VendorUnansweredError as error:
            return [Outcome(intent.intent_id, Answer.UNKNOWN, error.value) for intent in batch]
        jobs.append((str(job["id"]), batch))
        checkpoints.reached("job_handed_in")
        return []

    def _follow_job(self, job_id: str, batch: Sequence[Intent]) -> list[Outcome]:
        """Waits for a job's end. "complete" with failed profiles is a partial failure; each failure has its words."""
        path = f"/api/profile-bulk-import-jobs/{quote(job_id, safe='')}"
        for wait in _JOB_WAITS_SECONDS:
            facts = self._http.call("GET", path)["data"]["attributes"]
            if facts["status"] == "cancelled":
                return [Outcome(intent.intent_id, Answer.UNKNOWN, f"job {job_id} was cancelled") for intent in batch]
            if facts["status"] == "complete":
                failed = self._failures(path, batch) if facts.get("failed_count") else {}
                return [
                    Outcome(intent.intent_id, Answer.REJECTED, failed[intent.intent_id])
                    if intent.intent_id in failed
                    else Outcome(intent.intent_id, Answer.ACCEPTED)
                    for intent in batch
                ]
            self._http.sleep(wait)
        return [Outcome(intent.intent_id, Answer.UNKNOWN, f"job {job_id} is still running") for intent in batch]

    def _failures(self, job_path: str, batch: Sequence[Intent]) -> dict[str, str]:
        """The vendor's words per intent id. An error names its profile by position, by id, or by neither."""
        by_profile = {intent.vendor_id: intent.intent_id for intent in batch}
        failed = {}
        for error in self._pages(self._http.call("GET", f"{job_path}/import-errors")):
            facts = error["attributes"]
            words = self._http.redacted(f"{facts['code']}: {facts['detail']}")
            steps = str((facts.get("source") or {}).get("pointer") or "").split("/")
            positions = [int(step) for step in steps if step.isdigit()]
            payload = facts.get("original_payload") or {}
            intent_id = by_profile.get(str(payload.get("id") or (payload.get("data") or {}).get("id")))
            if intent_id is None and positions and positions[0] < len(batch):
                intent_id = batch[positions[0]].intent_id
            if intent_id is not None:
                failed[intent_id] = words
        return failed

    def _send_events(self, batch: Sequence[Intent]) -> list[Outcome]:
        """Sends the events, several at a time. One that stays without an answer waits behind the others.

        Among many, one that may have arrived is not sent again before it was looked for: a page shows a thousand.
        """
        left, outcomes = list(batch), list[Outcome]()
        is_looked_for = len(left) > _LOOKED_FOR_ABOVE
        doubtful: set[str] = set()
        for wait in (*_TURN_WAITS_SECONDS, None):
            turn, left = left, []
            while turn:
                part, answered = self._send_some(turn)
                turn = turn[len(part) :]
                for intent, outcome in zip(part, answered, strict=True):
                    is_doubtful = outcome.answer is Answer.UNKNOWN
                    if wait is not None and (outcome.answer is Answer.DEFERRED or (is_doubtful and not is_looked_for)):
                        left.append(intent)
                        doubtful |= {intent.intent_id} if is_doubtful else set()
                    elif intent.intent_id in doubtful and outcome.answer is not Answer.ACCEPTED:
                        # An earlier try may have had its effect, whatever the last one was told.
                        outcomes.append(replace(outcome, answer=Answer.UNKNOWN))
                    else:
                        outcomes.append(outcome)
            if not left:
                break
            # For those that were told to wait the vendor's own pause is kept before the next call.
            if wait and doubtful & {intent.intent_id for intent in left}:
                self._http.sleep(wait)
        return outcomes

    def _send_some(self, events: Sequence[Intent]) -> tuple[Sequence[Intent], list[Outcome]]:
        """Sends as many of the first events as may leave at once; returns them and what became of each.

        Their turns are waited for before their profiles are looked for, and nothing is waited for after it: an event
        to a profile that is merged away in between would make it again.
        """
        turns = self._http.wait_for_turns("POST", _EVENTS, len(events))
        part = events[: turns or 1]
        try:
            present, outcomes = self._present(part)
        except (VendorBusyError, VendorUnansweredError) as error:
            present, outcomes = [], [Outcome(intent.intent_id, Answer.DEFERRED, error.value) for intent in part]
        if turns:
            self._http.give_turns_back("POST", _EVENTS, turns - len(present))
        outcomes += self._http.at_once([partial(self._send_event, event, is_patient=not turns) for event in present])
        by_id = {outcome.intent_id: outcome for outcome in outcomes}
        return part, [by_id[intent.intent_id] for intent in part]

    def _send_event(self, event: Intent, *, is_patient: bool) -> Outcome:
        return self._outcome(event, "POST", _EVENTS, {"data": _event(event)}, is_patient=is_patient)

    def _triggers_seen(self, intents: Sequence[Intent]) -> set[str]:
        """Which of these triggers Klaviyo has an event of, whoever has it now: profiles get merged, with their events.

        One walk over the events of each metric from a little before the first of them can have been sent. An event of
        a profile without an address has reached nobody and does not count.
        """
        by_metric: dict[str, list[Intent]] = {}
        for intent in intents:
            by_metric.setdefault(metric_name(str(intent.payload["kind"])), []).append(intent)
        seen: set[str] = set()
        for name, part in by_metric.items():
            metric_id = self._metric_id(name)
            if metric_id is None:
                continue
            since = min(intent.sent_at or intent.as_of for intent in part) - _LOOK_BACK
            wanted = {intent.subject_id for intent in part}
            for event, profile in self._events(metric_id, since):
                if profile is None or _has_address(profile):
                    seen.add(str((event["attributes"].get("event_properties") or {}).get("trigger_id")))
                if wanted <= seen:
                    break
        return seen

    def _events(self, metric_id: str, since: datetime) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
        """The events of a metric, the newest first, each with its profile's addresses where Klaviyo shows them."""
        params = {
            "filter": f'equals(metric_id,"{metric_id}"),greater-or-equal(datetime,{rfc3339(since)})',
            "fields[event]": "event_properties",
            "fields[profile]": _ADDRESSES,
            "include": "profile",
            "page[size]": "1000",
        }
        for page in klaviyo_sends.whole_pages(self._http, self._http.call("GET", "/api/events", params=params)):
            profiles = {row["id"]: row for row in page.get("included") or () if row["type"] == "profile"}
            for event in page["data"]:
                yield event, profiles.get(event["relationships"]["profile"]["data"]["id"])

    def created_records(self, now: datetime) -> list[str]:
        """Profiles without any address that have an event of roomtone from the last days."""
        self._metric_id("")
        created: dict[str, None] = {}
        for name, metric_id in self._metrics.items():
            if name in _OWN_METRICS:
                for _, profile in self._events(metric_id, now - _CREATED_LOOK_BACK):
                    if profile is not None and not _has_address(profile):
                        created[str(profile["id"])] = None
        return sorted(created)

    def _metric_id(self, name: str) -> str | None:
        """The id of a metric; None while Klaviyo has no event of it, which is when it makes one."""
        if name not in self._metrics:
            for metric in self._pages(self._http.call("GET", "/api/metrics", params={"fields[metric]": "name"})):
                self._metrics[str(metric["attributes"]["name"])] = str(metric["id"])
        return self._metrics.get(name)


def metric_name(kind: str) -> str:
    """The metric of a kind of recovery trigger: `free_shipping` is "Roomtone Free Shipping Due"."""
    return f"Roomtone {kind.replace('_', ' ').title()} Due"


_OWN_METRICS = frozenset(metric_name(kind) for kind in RECOVERY_KINDS)


def _has_address(profile: Mapping[str, Any]) -> bool:
    """Whether a profile, asked for with its addresses, has one at all."""
    return any(profile["attributes"].get(name) for name in _ADDRESSES.split(","))


def _profile(intent: Intent, now: datetime) -> dict[str, Any]:
    # A null clears a property; one that is left out would stay as it is.
    properties = dict(intent.payload) | {"roomtone_synced_at": rfc3339(now)}
    return {"type": "profile", "id": intent.vendor_id, "attributes": {"properties": properties}}


def _event(intent: Intent) -> dict[str, Any]:
    metric = {"data": {"type": "metric", "attributes": {"name": metric_name(str(intent.payload["kind"]))}}}
    profile = {"data": {"type": "profile", "id": intent.vendor_id, "attributes": {}}}
    return {
        "type": "event",
        "attributes": {
            "properties": dict(intent.payload),
            "unique_id": intent.subject_id,
            "metric": metric,
            "profile": profile,
        },
    }


def _filters(values: Sequence[str]) -> Iterator[list[str]]:
    """Cuts values into lists that fit one page and one address."""
    part: list[str] = []
    size = 0
    for value in values:
        weight = len(quote(value, safe="")) + 9
        if part and (len(part) >= _PROFILES_PER_PAGE or size + weight > _FILTER_BYTES):
            yield part
            part, size = [], 0
        part.append(value)
        size += weight
    if part:
        yield part
