"""Every covered endpoint against the vendors' own specifications, both ways."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from roomtone.sandbox.marketing_api import RATE_LIMITS
from roomtone.sandbox.spec_check import FILES, WAIVERS, SpecCheck
from roomtone.settings import load_settings

pytestmark = pytest.mark.specs


@pytest.fixture(scope="module")
def folder() -> Any:
    found = load_settings().specs_dir
    missing = [name for name in FILES.values() if not (found / name).is_file()]
    if missing:
        pytest.skip(f"the vendors' specifications are not at hand: {found} has no {missing[0]} (set ROOMTONE_SPECS)")
    return found


@pytest.fixture(scope="module")
def served(serving: Any, folder: Any) -> Iterator[Any]:
    with serving("--customers", "60", "--specs", str(folder)) as running:
        running.move(datetime.fromisoformat(running.get("/story")["t0"]) + timedelta(minutes=6))
        yield running


def _violations(served: Any, after: int) -> list[str]:
    entries = served.get("/log", after=after, kind="violation")["entries"]
    return [f"{e['method']} {e['path']}: {e['finding']}" for e in entries]


def test_the_helpdesk_keeps_to_the_specification(served: Any) -> None:
    after = served.get("/log")["last"]
    person = served.get("/story")["people"]["maya"]
    ticket = f"/api/v2/tickets/{person['ticket_id']}.json"
    export = "/api/v2/incremental/tickets/cursor.json"
    with served.client("zendesk") as client:
        first = client.get(export, params={"start_time": 1, "include": "users", "per_page": 5}).json()
        statuses = [
            client.get(export, params={"cursor": first["after_cursor"]}).status_code,
            client.get(export, params={"start_time": 2**33}).status_code,
            client.get("/api/v2/incremental/ticket_events.json", params={"start_time": 1}).status_code,
            client.get(ticket).status_code,
            client.get(ticket.replace(".json", "/comments.json")).status_code,
            client.get("/api/v2/groups.json").status_code,
            client.get("/api/v2/ticket_fields.json").status_code,
            client.get("/api/v2/users.json", params={"per_page": 5, "page": 2}).status_code,
            client.get(f"/api/v2/users/{person['zendesk_user_id']}.json").status_code,
            client.get("/api/v2/satisfaction_ratings.json", params={"start_time": 1}).status_code,
            client.put(ticket, json={"ticket": {"priority": "urgent", "additional_tags": ["x"]}}).status_code,
            client.put(ticket, json={"ticket": {"group_id": 2, "tags": ["x"]}}).status_code,
        ]
    assert statuses == [200, 422] + [200] * 10
    assert _violations(served, after) == []


def test_the_platform_keeps_to_the_specification(served: Any) -> None:
    after = served.get("/log")["last"]
    maya = served.get("/story")["people"]["maya"]["klaviyo_profile_id"]
    properties = {"roomtone_pause_sales": True, "roomtone_pause_until": "2026-03-09T00:00:00+00:00"}
    row = {"type": "profile", "id": maya, "attributes": {"properties": properties}}
    unknown = {"type": "profile", "id": "unknown", "attributes": {"properties": properties}}
    event = {
        "properties": {"kind": "apology"},
        "unique_id": "trigger-9",
        "time": "2026-03-02T09:15:00+00:00",
        "metric": {"data": {"type": "metric", "attributes": {"name": "Roomtone Apology Due"}}},
        "profile": {"data": {"type": "profile", "id": maya, "attributes": {}}},
    }
    job = {"type": "profile-bulk-import-job", "attributes": {"profiles": {"data": [row, unknown]}}}
    some = {"filter": f'any(id,["{maya}"])', "additional-fields[profile]": "subscriptions", "page[size]": 1}
    with served.client("klaviyo") as client:
        made = client.post("/api/profile-bulk-import-jobs", json={"data": job})
        events = {"include": "metric,profile", "page[size]": 500, "sort": "datetime"}
        replies = [
            made,
            client.get("/api/profiles", params=some),
            client.get("/api/profiles", params={"page[size]": 5, "sort": "-updated"}),
            client.get(f"/api/profiles/{maya}"),
            client.patch(f"/api/profiles/{maya}", json={"data": row}),
            client.post("/api/events", json={"data": {"type": "event", "attributes": event}}),
            client.get("/api/events", params={"filter": "greater-than(datetime,2026-02-20T00:00:00Z)", **events}),
            client.get("/api/metrics"),
            client.get("/api/campaigns", params={"filter": "equals(messages.channel,'sms')", "include": "tags"}),
            client.get(
                "/api/campaigns",
                params={"filter": "equals(messages.channel,'email')", "include": "tags,campaign-messages"},
            ),
            client.get("/api/flows", params={"include": "tags"}),
            client.get("/api/accounts"),
        ]
        assert [reply.status_code for reply in replies] == [202] + [200] * 4 + [202] + [200] * 6
        served.move(datetime.fromisoformat(served.get("/clock")["now"]) + timedelta(seconds=3))
        path = f"/api/profile-bulk-import-jobs/{made.json()['data']['id']}"
        assert client.get(path).json()["data"]["attributes"]["failed_count"] == 1
        assert len(client.get(f"{path}/import-errors").json()["data"]) == 1
        refused = [
            client.get("/api/profiles/none"),
            client.get("/api/profiles", params={"filter": "equals(nose,1)"}),
            client.get("/api/accounts"),
            client.get("/api/accounts"),
        ]
        assert [reply.status_code for reply in refused] == [404, 400, 200, 429]
    assert _violations(served, after) == []


@pytest.mark.off_spec
@pytest.mark.parametrize(
    ("call", "params", "body", "finding"),
    [
        ("GET /api/profiles", {"pagesize": "5"}, None, "parameter pagesize is unknown"),
        ("GET /api/profiles", {"page[size]": "500"}, None, "parameter page[size] is out of bounds"),
        ("GET /api/events", {"include": "metrics"}, None, "parameter include has a value that is not listed"),
        ("GET /api/everything", {}, None, "the path is not in the specification"),
        ("POST /api/events", {}, {"uniqueid": "x"}, "property /data/attributes/uniqueid is unknown"),
        ("POST /api/events", {}, {"time": "yesterday"}, "request /data/attributes/time"),
        ("POST /api/events", {}, {"metric": None}, "request /data/attributes/metric"),
    ],
)
def test_a_call_that_breaks_the_specification_is_a_violation(
    served: Any, call: str, params: dict[str, str], body: Any, finding: str
) -> None:
    after = served.get("/log")["last"]
    maya = served.get("/story")["people"]["maya"]["klaviyo_profile_id"]
    content = None
    if body is not None:
        attributes = {
            "properties": {},
            "metric": {"data": {"type": "metric", "attributes": {"name": "Any"}}},
            "profile": {"data": {"type": "profile", "id": maya, "attributes": {}}},
        }
        content = {"data": {"type": "event", "attributes": attributes | body}}
    with served.client("klaviyo") as client:
        client.request(*call.split(), params=params, json=content)
    assert any(finding in text for text in _violations(served, after))


def test_the_table_of_limits_is_that_of_the_specification(folder: Any) -> None:
    stated = SpecCheck(folder).rate_limits
    assert {key: stated[key] for key in RATE_LIMITS} == RATE_LIMITS


def test_every_waiver_has_a_reason() -> None:
    assert all(vendor in FILES and len(why) > 15 for vendor, _, why in WAIVERS)
