"""Limits that the vendors state in sentences only: each is in the table, and each is enforced by the server."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from roomtone.sandbox import braze_api, customerio_api, marketing_writes
from roomtone.settings import load_settings

pytestmark = pytest.mark.off_spec

BRAZE = {"Authorization": "Bearer sandbox-braze"}
TRACK = {"Authorization": "Basic " + b64encode(b"sandbox-site:sandbox-customerio").decode()}
APP = {"Authorization": "Bearer sandbox-customerio-app"}
KLAVIYO = {"Authorization": "Klaviyo-API-Key sandbox-klaviyo", "revision": "2026-07-15"}


@dataclass(frozen=True)
class Limit:
    """A sentence of the vendor's, whose words stand in its specification, and a call just beyond what it allows."""

    vendor: str
    sentence: str
    call: str
    body: Any
    headers: dict[str, str]
    status: int
    words: str


def attribute(**more: Any) -> dict[str, Any]:
    return {"external_id": "1001", "_update_existing_only": True, **more}


def person(**attributes: Any) -> dict[str, Any]:
    facts = {"_update": True, **attributes}
    return {"type": "person", "identifiers": {"id": "1001"}, "action": "identify", "attributes": facts}


def row(**properties: Any) -> dict[str, Any]:
    return {"type": "profile", "id": "none", "attributes": {"properties": properties}}


LIMITS = [
    Limit(
        "braze",
        "can contain up to 75 events, 75 attribute updates, and 75 purchases",
        "/users/track",
        {"attributes": [attribute()] * (braze_api.OBJECTS + 1)},
        BRAZE,
        400,
        "at most 75 objects",
    ),
    Limit(
        "braze",
        "Up to 50 `external_ids` or `user_aliases` can be included in a single request",
        "/users/export/ids",
        {"external_ids": [str(n) for n in range(braze_api.EXPORTED_IDS + 1)]},
        BRAZE,
        400,
        "At most 50 external_ids",
    ),
    Limit(
        "braze",
        "one of `external_id`, `user_alias`, or `braze_id` is required",
        "/users/track",
        {"attributes": [{"roomtone_tier": 1}]},
        BRAZE,
        201,
        "is required",
    ),
    Limit(
        "braze",
        "maximum size limit of 50 KB",
        "/users/track",
        {"attributes": [attribute(roomtone_reason="x" * (braze_api.PROPERTY_BYTES + 1))]},
        BRAZE,
        201,
        "is larger than 50 KB",
    ),
    Limit(
        "customerio",
        "Your batch request must be smaller than 500kb",
        "/api/v2/batch",
        {"batch": [person(roomtone_reason="x" * 20_000)] * 26},
        TRACK,
        400,
        "not smaller than 500 KB",
    ),
    Limit(
        "customerio",
        "Each of the requests within the batch must also be 32kb or smaller",
        "/api/v2/batch",
        {"batch": [person(roomtone_reason="x" * customerio_api.ITEM_BYTES)]},
        TRACK,
        207,
        "an item may have 32 KB",
    ),
    Limit(
        "customerio",
        "A valid ULID used to deduplicate events",
        "/api/v2/batch",
        {"batch": [person() | {"action": "event", "name": "x", "id": "trigger-1"}]},
        TRACK,
        207,
        "not a ULID",
    ),
    Limit(
        "klaviyo",
        "Accepts up to 10,000 profiles per request",
        "/api/profile-bulk-import-jobs",
        {
            "data": {
                "type": "profile-bulk-import-job",
                "attributes": {"profiles": {"data": [row()] * (marketing_writes.IMPORT_PROFILES + 1)}},
            }
        },
        KLAVIYO,
        400,
        "At most 10000 profiles per request",
    ),
    Limit(
        "klaviyo",
        "The maximum allowed payload size is 5MB",
        "/api/profile-bulk-import-jobs",
        {
            "data": {
                "type": "profile-bulk-import-job",
                "attributes": {"profiles": {"data": [row(x="y" * marketing_writes.IMPORT_BYTES)]}},
            }
        },
        KLAVIYO,
        413,
        "larger than 5000 KB",
    ),
]


@pytest.fixture(scope="module")
def served(serving: Callable[..., Any]) -> Iterator[Any]:
    with serving("--customers", "20") as running:
        yield running


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: f"{limit.vendor}: {limit.sentence[:40]}")
def test_the_server_holds_everybody_to_it(served: Any, limit: Limit) -> None:
    url = f"{served.url}/{limit.vendor}{limit.call}"
    answer = httpx.post(url, json=limit.body, headers=limit.headers, timeout=60, trust_env=False)
    assert answer.status_code == limit.status
    assert limit.words in answer.text


@pytest.mark.specs
@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: f"{limit.vendor}: {limit.sentence[:40]}")
def test_the_sentence_is_the_vendor_s(limit: Limit, sentences: Callable[[str], str]) -> None:
    assert limit.sentence.replace("`", "") in sentences(limit.vendor)


@pytest.fixture(scope="module")
def sentences() -> Callable[[str], str]:
    """All text of a vendor's specification, without its emphasis."""
    from roomtone.sandbox.spec_check import FILES, SpecCheck

    folder = load_settings().specs_dir
    if not folder.is_dir():
        pytest.skip(f"the vendors' specifications are not at hand: {folder} (set ROOMTONE_SPECS)")
    check = SpecCheck(folder)
    read = {vendor: json.dumps(check.document(vendor), ensure_ascii=False) for vendor in FILES}
    return lambda vendor: read[vendor].replace("`", "").replace("\\n", " ").replace("*", "")


def test_braze_s_windows_are_counted_and_told(served: Any) -> None:
    """ "250 requests per minute": the 251st of a minute is refused, without Retry-After but with the window's end."""
    with httpx.Client(base_url=f"{served.url}/braze", headers=BRAZE, timeout=60, trust_env=False) as client:
        statuses = []
        for _ in range(braze_api.EXPORT_CALLS + 1):
            answer = client.post("/users/export/ids", json={"external_ids": ["none"]})
            statuses.append(answer.status_code)
        assert 429 in statuses
        assert "retry-after" not in answer.headers
        answer = client.post("/users/track", json={"attributes": [attribute()]})
        assert int(answer.headers["x-ratelimit-remaining"]) < braze_api.TRACK_CALLS
        assert answer.headers["x-ratelimit-reset"].isdecimal()


def test_customer_io_s_app_api_takes_ten_a_second(served: Any) -> None:
    with httpx.Client(base_url=f"{served.url}/customerio", headers=APP, timeout=60, trust_env=False) as client:
        answers = [client.post("/v1/customers/attributes", json={"ids": []}) for _ in range(30)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert refused[0].headers["retry-after"] == "1"
