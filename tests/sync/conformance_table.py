"""What is expected of each destination, and how to see what it holds: one line for each."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from roomtone.sandbox import braze_api, customerio_api, marketing_api, request_tracker_api
from roomtone.sync.desired import KINDS, PROFILE_PROPERTIES, RECOVERY_EVENT, TICKET_ROUTING
from roomtone.sync.destinations.base import Idempotency, Nulls
from roomtone.sync.destinations.file_formats import FORMATS

from .conftest import KLAVIYO
from .place import Place

BRAZE = {"Authorization": "Bearer sandbox-braze"}
ZENDESK = {"Authorization": "Bearer sandbox-zendesk"}
RT = {"Authorization": request_tracker_api.AGENT}
EVENT_NAMES = {"apology": "Roomtone Apology Due"}


def rows_about(kind: str, subject: str, content: Iterator[tuple[str, bytes]]) -> list[dict[str, Any]]:
    """The rows about a subject in files given as (ending, content), oldest first."""
    read = [row for ending, text in content for row in FORMATS[ending].read(kind, text).values()]
    return [
        row | row.get("payload", {}) if isinstance(row.get("payload"), dict) else row
        for row in read
        if row["subject_id"] == subject
    ]


@dataclass(frozen=True)
class Case:
    """What is expected of one destination.

    `profile` and `ticket` read what it holds of a person or ticket under a payload's names, `events` counts a trigger.
    `absent` is what a null becomes. `skips_unknown`: it can tell that it does not have somebody. `vendor_limits`: the
    calls a second and a minute that its server enforces, for every call that the client may make. `refused` are the
    words about a key that was revoked, `refuses_megabyte` those about a row of a megabyte, empty where it is taken.
    `writes` is the call, method and path, that brings a change.
    """

    kinds: tuple[str, ...]
    nulls: Nulls
    events: Idempotency | None = None
    profile: Callable[[Place, str], dict[str, Any] | None] | None = None
    ticket: Callable[[Place, str], dict[str, Any]] | None = None
    count_events: Callable[[Place, str, str], int] | None = None
    can_read_back: bool = True
    skips_unknown: bool = True
    refused: str = ""
    refuses_megabyte: str = ""
    writes: str = ""
    vendor_limits: dict[str, tuple[float, float]] = field(default_factory=dict)
    source: str = ""


def klaviyo_profile(place: Place, customer_id: str) -> dict[str, Any] | None:
    params = {"filter": f'equals(external_id,"{customer_id.removeprefix("shop-")}")'}
    found = place.brand.client.get("/klaviyo/api/profiles", params=params, headers=KLAVIYO, timeout=60).json()["data"]
    return found[0]["attributes"]["properties"] if found else None


def braze_user(place: Place, customer_id: str) -> dict[str, Any] | None:
    body = {"external_ids": [customer_id.removeprefix("shop-")]}
    users = place.brand.client.post("/braze/users/export/ids", json=body, headers=BRAZE, timeout=60).json()["users"]
    return users[0] if users else None


def braze_profile(place: Place, customer_id: str) -> dict[str, Any] | None:
    user = braze_user(place, customer_id)
    return None if user is None else user.get("custom_attributes", {})


def customerio_profile(place: Place, customer_id: str) -> dict[str, Any] | None:
    headers = {"Authorization": f"Bearer {customerio_api.APP_KEY}"}
    body = {"ids": [customer_id.removeprefix("shop-")]}
    answer = httpx.post(
        f"{place.brand.url}/customerio/v1/customers/attributes", json=body, headers=headers, timeout=60
    ).json()
    if not answer["customers"]:
        return None
    # What is kept as text, in the words of a payload.
    held = answer["customers"][0]["customer"]["attributes"]
    words: dict[str, Any] = {"true": True, "false": False}
    return {name: words.get(text, int(text) if text.isdecimal() else text) for name, text in held.items()}


def zendesk_ticket(place: Place, number: str) -> dict[str, Any]:
    ticket = place.brand.client.get(f"/zendesk/api/v2/tickets/{number}", headers=ZENDESK, timeout=60).json()["ticket"]
    names = {1: "support", 2: "escalations", 3: "vip"}
    ours = [tag for tag in ticket["tags"] if tag.startswith("roomtone_")]
    return {"priority": ticket["priority"], "queue": names.get(ticket["group_id"]), "tags": ours}


def rt_ticket(place: Place, number: str) -> dict[str, Any]:
    ticket = place.brand.client.get(f"/request_tracker/REST/2.0/ticket/{number}", headers=RT, timeout=60).json()
    names = {"100": "urgent", "75": "high", "50": "normal", "0": "low"}
    queue = request_tracker_api.QUEUES[ticket["Queue"]["id"]].lower()
    tags = ticket["CustomFields"][0]["values"]
    return {"priority": names[ticket["Priority"]], "queue": queue, "tags": tags}


def logged_events(api: str | None) -> Callable[[Place, str, str], int]:
    def count(place: Place, trigger_id: str, customer_id: str) -> int:
        entries = place.brand.log("event_received")
        mine = [e for e in entries if e["unique_id"] == trigger_id and e.get("api") == api and not e["is_duplicate"]]
        return len(mine)

    return count


def delivered(place: Place, kind: str, subject: str) -> list[dict[str, Any]]:
    entries = [e for e in place.brand.log("delivery_received") if not e["is_duplicate"]]
    bodies = [e["body"] for e in entries if e["body"]["type"] == f"roomtone.{kind}"]
    return [body["data"] for body in bodies if body["data"]["subject_id"] == subject]


def webhook_case() -> dict[str, Any]:
    return {
        "profile": lambda place, customer_id: (delivered(place, PROFILE_PROPERTIES, customer_id) or [None])[-1],
        "ticket": lambda place, number: delivered(place, TICKET_ROUTING, f"webhook-{number}")[-1],
        "count_events": lambda place, trigger_id, _: len(delivered(place, RECOVERY_EVENT, trigger_id)),
    }


def files_of(place: Place, kind: str, ending: str, folder: Path) -> Iterator[tuple[str, bytes]]:
    return ((ending, path.read_bytes()) for path in sorted((folder / kind).glob(f"*.{ending}")))


def file_case(ending: str, folder: Callable[[Place], Path]) -> dict[str, Any]:
    def last(place: Place, kind: str, subject: str) -> list[dict[str, Any]]:
        return rows_about(kind, subject, files_of(place, kind, ending, folder(place)))

    def ticket(place: Place, number: str) -> dict[str, Any]:
        row = last(place, TICKET_ROUTING, f"files-{number}")[-1]
        tags = row["tags"] if isinstance(row["tags"], list) else row["tags"].split(",")
        return row | {"tags": tags}

    return {
        "profile": lambda place, customer_id: (last(place, PROFILE_PROPERTIES, customer_id) or [None])[-1],
        "ticket": ticket,
        "count_events": lambda place, trigger_id, _: len(last(place, RECOVERY_EVENT, trigger_id)),
        "skips_unknown": False,
        "source": "files",
    }


def per_second(calls: float, seconds: float = 1) -> tuple[float, float]:
    return calls / seconds, calls / seconds * 60


def sent(place: Place) -> Path:
    return place.home / "sent"


CASES: dict[str, Case] = {
    "files": Case(KINDS, Nulls.STORED, Idempotency.DEDUPLICATED, **file_case("jsonl", sent)),
    "csv": Case(KINDS, Nulls.STORED, Idempotency.DEDUPLICATED, **file_case("csv", sent)),
    "parquet": Case(KINDS, Nulls.STORED, Idempotency.DEDUPLICATED, **file_case("parquet", sent)),
    "sftp": Case(
        KINDS, Nulls.STORED, Idempotency.DEDUPLICATED, **file_case("csv", lambda place: place.sftp.folder / "in")
    ),
    "klaviyo": Case(
        (PROFILE_PROPERTIES, RECOVERY_EVENT),
        Nulls.CLEAR,
        Idempotency.DEDUPLICATED,
        profile=klaviyo_profile,
        refused="answered 401 .not_authenticated: Missing or invalid private key",
        refuses_megabyte="413 payload_too_large",
        writes="PATCH /klaviyo/api/profiles/",
        count_events=logged_events(None),
        vendor_limits={key.split("{")[0]: limit for key, limit in marketing_api.RATE_LIMITS.items()},
    ),
    "braze": Case(
        (PROFILE_PROPERTIES, RECOVERY_EVENT),
        Nulls.CLEAR,
        Idempotency.NONE,
        profile=braze_profile,
        count_events=logged_events("braze"),
        refused="answered 401 .Invalid API key",
        refuses_megabyte="'roomtone_reason' is larger than 50 KB",
        writes="POST /braze/users/track",
        vendor_limits={
            "POST /users/track": per_second(braze_api.TRACK_CALLS, braze_api.TRACK_SECONDS),
            "POST /users/export/ids": (math.inf, braze_api.EXPORT_CALLS),
        },
    ),
    "customerio": Case(
        (PROFILE_PROPERTIES, RECOVERY_EVENT),
        Nulls.CLEAR,
        Idempotency.DEDUPLICATED,
        profile=customerio_profile,
        count_events=logged_events("customerio"),
        refused="answered 401 .Unauthorized",
        refuses_megabyte="where Customer.io takes 32000 of one request",
        writes="POST /customerio/api/v2/batch",
        vendor_limits={
            "POST /api/v2/batch": per_second(customerio_api.TRACK_CALLS),
            "GET /api/v1/accounts/region": per_second(customerio_api.TRACK_CALLS),
            "POST /v1/customers/attributes": per_second(customerio_api.APP_CALLS),
        },
    ),
    "webhook": Case(
        KINDS,
        Nulls.STORED,
        Idempotency.DEDUPLICATED,
        **webhook_case(),
        can_read_back=False,
        skips_unknown=False,
        refused="answered 401 .the signature does not fit",
        refuses_megabyte="413 larger than 256 KB",
        writes="POST /webhook/deliveries",
        source="webhook",
    ),
    "zendesk": Case(
        (TICKET_ROUTING,),
        Nulls.KEEP,
        ticket=zendesk_ticket,
        refused="answered 401 .Couldn't authenticate you",
        writes="PUT /zendesk/api/v2/tickets/",
        source="zendesk",
    ),
    "request_tracker": Case(
        (TICKET_ROUTING,),
        Nulls.KEEP,
        ticket=rt_ticket,
        refused="answered 401 .Unauthorized",
        writes="PUT /request_tracker/REST/2.0/ticket/",
        source="request_tracker",
    ),
}
