"""The vendor's own client on the sandbox's Klaviyo: an independent witness, a revision ahead of the specification.

Its models check every request before it leaves and every reply on its way in.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pydantic
import pytest

from roomtone.sandbox import marketing_api

klaviyo_api = pytest.importorskip("klaviyo_api", reason="SKIPPED: klaviyo-api is not installed")

SDK_REVISION = "2026-10-15"


@pytest.fixture(scope="module")
def served(serving: Any) -> Iterator[Any]:
    with serving("--customers", "40") as running:
        running.move(datetime.fromisoformat(running.get("/story")["t0"]) + timedelta(minutes=6))
        yield running


@pytest.fixture(scope="module")
def sdk(served: Any) -> Any:
    client = klaviyo_api.KlaviyoAPI("sandbox-klaviyo", max_delay=5, max_retries=2, test_host=f"{served.url}/klaviyo")
    # It keeps its own newer models and asks for the revision that we write against.
    client.api_client.default_headers["revision"] = marketing_api.REVISION
    return client


@pytest.fixture(scope="module")
def maya(served: Any) -> str:
    return served.get("/story")["people"]["maya"]["klaviyo_profile_id"]


def test_it_speaks_another_revision_than_we_do() -> None:
    assert klaviyo_api.KlaviyoAPI._REVISION == SDK_REVISION != marketing_api.REVISION


def test_it_reads_an_account_profiles_and_pages(sdk: Any, maya: str) -> None:
    assert sdk.Accounts.get_accounts().data[0].id
    first = sdk.Profiles.get_profiles(page_size=5)
    assert len(first.data) == 5
    # It takes whole links apart by itself only where they are https.
    cursor = httpx.URL(first.links.next).params["page[cursor]"]
    second = sdk.Profiles.get_profiles(page_size=5, page_cursor=cursor)
    assert {row.id for row in first.data}.isdisjoint(row.id for row in second.data)
    assert sdk.Profiles.get_profile(maya).data.id == maya


def test_it_sets_properties_and_finds_them(sdk: Any, maya: str) -> None:
    properties = {"roomtone_pause_sales": True, "roomtone_tier": 2}
    body = {"data": {"type": "profile", "id": maya, "attributes": {"properties": properties}}}
    sdk.Profiles.update_profile(maya, body)
    held = sdk.Profiles.get_profile(maya).data.attributes.properties
    assert {name: held[name] for name in properties} == properties


def test_its_event_is_stored_once(sdk: Any, served: Any, maya: str) -> None:
    event = {
        "properties": {"trigger_id": "trigger-sdk"},
        "unique_id": "trigger-sdk",
        "metric": {"data": {"type": "metric", "attributes": {"name": "Roomtone Apology Due"}}},
        "profile": {"data": {"type": "profile", "id": maya, "attributes": {}}},
    }
    for _ in range(2):
        sdk.Events.create_event({"data": {"type": "event", "attributes": event}})
    received = [e for e in served.get("/log", kind="event_received")["entries"] if e["unique_id"] == "trigger-sdk"]
    assert [entry["is_duplicate"] for entry in received] == [False, True]
    found = sdk.Events.get_events(filter=f'equals(profile_id,"{maya}")', include=["metric"])
    mine = [e for e in found.data if (e.attributes.event_properties or {}).get("trigger_id") == "trigger-sdk"]
    assert len(mine) == 1


def test_its_import_job_is_followed_to_its_end(sdk: Any, served: Any, maya: str) -> None:
    rows = [
        {"type": "profile", "id": one, "attributes": {"properties": {"roomtone_tier": 1}}} for one in (maya, "unknown")
    ]
    body = {"data": {"type": "profile-bulk-import-job", "attributes": {"profiles": {"data": rows}}}}
    job = sdk.Profiles.bulk_import_profiles(body).data.id
    served.move(datetime.fromisoformat(served.get("/clock")["now"]) + timedelta(seconds=3))
    facts = sdk.Profiles.get_bulk_import_profiles_job(job).data.attributes
    assert (facts.status, facts.completed_count, facts.failed_count) == ("complete", 1, 1)
    errors = sdk.Profiles.get_errors_for_bulk_import_profiles_job(job).data
    assert [error.attributes.code for error in errors] == ["invalid"]


def test_it_reads_flows_and_metrics_and_knows_campaigns_otherwise(sdk: Any) -> None:
    """Its newer revision gives campaigns a `definition` that ours does not have: a change of revision will touch it."""
    with pytest.raises(pydantic.ValidationError, match="definition"):
        sdk.Campaigns.get_campaigns(filter="equals(messages.channel,'email')")
    assert sdk.Flows.get_flows().data
    assert sdk.Metrics.get_metrics().data


def test_it_is_refused_where_we_may_not_go(sdk: Any, served: Any, maya: str) -> None:
    """Lists and suppressions are closed to everybody's key here, also to the vendor's own client."""
    import openapi_client

    body = {"data": [{"type": "profile", "id": maya}]}
    with pytest.raises(openapi_client.ApiException) as refused:
        sdk.Lists.add_profiles_to_list("any", body)
    assert refused.value.status == 403
    violations = [entry["what"] for entry in served.get("/log", kind="violation")["entries"]]
    assert violations == ["list_membership"]
