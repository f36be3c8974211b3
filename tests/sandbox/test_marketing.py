"""The platform's API: filters and pages, properties, events once, no new profile, nothing that touches consent."""

from typing import Any

import pytest

PAUSE = {"roomtone_pause_sales": True, "roomtone_pause_until": "2026-03-04T09:00:00+00:00", "roomtone_tier": 2}


def _pages(brand: Any, path: str, **params: Any) -> list[dict[str, Any]]:
    """Follows `links.next` until it is absent."""
    from urllib.parse import parse_qsl, urlsplit

    rows: list[dict[str, Any]] = []
    while True:
        body = brand.ask("klaviyo", "GET", path, **params).body
        rows += body["data"]
        assert None not in body["links"].values(), "a link is left out at the end, never null"
        if "next" not in body["links"]:
            return rows
        query = dict(parse_qsl(urlsplit(body["links"]["next"]).query))
        params = {name.replace("[", "__", 1).rstrip("]"): value for name, value in query.items()}


def _event(profile: dict[str, Any], metric: str = "Roomtone Apology Due", unique_id: str | None = "trigger-1") -> Any:
    attributes = {
        "properties": {"kind": "apology"},
        "metric": {"data": {"type": "metric", "attributes": {"name": metric}}},
        "profile": {"data": {"type": "profile", **profile}},
    }
    if unique_id is not None:
        attributes["unique_id"] = unique_id
    return {"data": {"type": "event", "attributes": attributes}}


def _patch(profile_id: str, **attributes: Any) -> Any:
    return {"data": {"type": "profile", "id": profile_id, "attributes": attributes}}


def _maya(brand: Any) -> str:
    return str(brand.world.marketing.profile_of[1].id)


def test_profiles_are_found_by_any_identifier(brand: Any) -> None:
    profile_id = _maya(brand)
    for condition in (
        'any(external_id,["1001","9999"])',
        "equals(email,'maya.okafor@example.com')",
        f'equals(id,"{profile_id}")',
        'and(any(email,["maya.okafor@example.com"]),equals(external_id,"1001"))',
    ):
        rows = brand.ask("klaviyo", "GET", "/api/profiles", filter=condition).body["data"]
        assert [row["id"] for row in rows] == [profile_id], condition
    assert "subscriptions" not in rows[0]["attributes"]
    asked = {"filter": 'equals(external_id,"1001")', "additional-fields__profile": "subscriptions"}
    row = brand.ask("klaviyo", "GET", "/api/profiles", **asked).body["data"][0]
    assert row["attributes"]["subscriptions"]["email"]["marketing"]["consent"] == "SUBSCRIBED"


@pytest.mark.parametrize("condition", ["equals(nose,1)", "less-than(email,1)", "nonsense", "any(email"])
def test_a_filter_that_the_vendor_refuses(brand: Any, condition: str) -> None:
    reply = brand.ask("klaviyo", "GET", "/api/profiles", filter=condition)
    assert reply.status == 400
    assert reply.body["errors"][0]["source"] == {"parameter": "filter"}


@pytest.mark.parametrize("sort", ["id", "-id", "email", "-created", "updated"])
def test_pages_of_profiles_lose_and_repeat_nobody(brand: Any, sort: str) -> None:
    rows = _pages(brand, "/api/profiles", page__size=17, sort=sort)
    assert sorted(row["id"] for row in rows) == sorted(brand.world.marketing.profiles)


@pytest.mark.parametrize(("sort", "size"), [("datetime", 97), ("-datetime", 250)])
def test_pages_of_events_lose_and_repeat_nothing(brand: Any, sort: str, size: int) -> None:
    rows = _pages(brand, "/api/events", page__size=size, sort=sort)
    assert len({row["id"] for row in rows}) == len(rows) == len(brand.world.marketing.events)
    times = [row["attributes"]["datetime"] for row in rows]
    assert times == sorted(times, reverse=sort.startswith("-"))


def test_events_from_a_time_on_with_metric_and_profile(brand: Any) -> None:
    since = "2026-02-27T12:00:00Z"
    body = brand.ask(
        "klaviyo",
        "GET",
        "/api/events",
        filter=f"greater-or-equal(datetime,{since})",
        sort="datetime",
        include="metric,profile",
        page__size=1000,
    ).body
    assert body["data"]
    assert all(row["attributes"]["datetime"] >= "2026-02-27T12:00:00+00:00" for row in body["data"])
    included = {(one["type"], one["id"]) for one in body["included"]}
    for row in body["data"]:
        for kind in ("metric", "profile"):
            assert (kind, row["relationships"][kind]["data"]["id"]) in included


def test_a_patch_sets_properties_and_the_log_says_what_changed(brand: Any) -> None:
    profile_id = _maya(brand)
    path = f"/api/profiles/{profile_id}"
    body = brand.ask("klaviyo", "PATCH", path, _patch(profile_id, properties=PAUSE)).body
    assert body["data"]["attributes"]["properties"] == PAUSE
    brand.ask("klaviyo", "PATCH", path, _patch(profile_id, properties=PAUSE))
    brand.ask("klaviyo", "PATCH", path, _patch(profile_id, properties={"roomtone_tier": None}))
    first, again, cleared = brand.log("profile_updated")
    assert first["external_id"] == "1001"
    assert first["changed"]["roomtone_pause_sales"] == [None, True]
    assert again["changed"] == {}
    assert cleared["changed"] == {"roomtone_tier": [2, None]}
    assert not brand.log("violation")


def test_a_patch_of_anything_else_is_a_violation(brand: Any) -> None:
    profile_id = _maya(brand)
    path = f"/api/profiles/{profile_id}"
    brand.ask("klaviyo", "PATCH", path, _patch(profile_id, properties={"favourite": "mugs"}))
    brand.ask("klaviyo", "PATCH", path, _patch(profile_id, email="other@example.com"))
    assert [entry["what"] for entry in brand.log("violation")] == ["foreign_property", "profile_field"]
    assert brand.world.shop.customers[1].platform_email == "maya.okafor@example.com"
    assert brand.ask("klaviyo", "PATCH", "/api/profiles/none", _patch("none", properties={})).status == 404
    assert brand.ask("klaviyo", "PATCH", path, _patch("other", properties={})).status == 409


def test_an_event_counts_once_per_profile_metric_and_unique_id(brand: Any) -> None:
    tom = str(brand.world.marketing.profile_of[2].id)
    before = len(brand.world.marketing.events)
    for profile, metric in ((_maya(brand), "A"), (_maya(brand), "A"), (_maya(brand), "B"), (tom, "A")):
        assert (
            brand.ask("klaviyo", "POST", "/api/events", _event({"id": profile, "attributes": {}}, metric)).status == 202
        )
    assert len(brand.world.marketing.events) - before == 3
    assert [entry["is_duplicate"] for entry in brand.log("event_received")] == [False, True, False, False]


def test_a_recovery_event_starts_one_transactional_mail(brand: Any) -> None:
    for _ in range(2):
        brand.ask("klaviyo", "POST", "/api/events", _event({"id": _maya(brand), "attributes": {}}))
    brand.wait(minutes=2)
    sends = [e for e in brand.log("campaign_send") if e["occasion"] == "trigger-1"]
    assert [(e["campaign_kind"], e["scope"], e["outcome"]) for e in sends] == [("flow", "transactional", "sent")]


def test_an_offer_needs_consent_and_an_apology_does_not(brand: Any) -> None:
    profile = next(p for p in brand.world.marketing.profiles.values() if not p.is_email_subscribed)
    for metric in ("Roomtone Apology Due", "Roomtone Discount Code Due"):
        brand.ask("klaviyo", "POST", "/api/events", _event({"id": profile.id, "attributes": {}}, metric, metric))
    brand.wait(minutes=2)
    outcome = {e["occasion"]: e["outcome"] for e in brand.log("campaign_send") if e["profile_id"] == profile.id}
    assert outcome["Roomtone Apology Due"] == "sent"
    assert outcome["Roomtone Discount Code Due"] == "skipped"


def test_an_event_for_a_stranger_makes_no_profile_and_is_a_violation(brand: Any) -> None:
    before = set(brand.world.marketing.profiles)
    stranger = {"attributes": {"email": "nobody@example.com"}}
    assert brand.ask("klaviyo", "POST", "/api/events", _event(stranger)).status == 202
    assert set(brand.world.marketing.profiles) == before
    assert [e["what"] for e in brand.log("violation")] == ["profile_created"]


def test_an_event_to_an_id_that_is_gone_leaves_a_profile_without_an_address(brand: Any) -> None:
    before = set(brand.world.marketing.profiles)
    assert brand.ask("klaviyo", "POST", "/api/events", _event({"id": "01GONE", "attributes": {}})).status == 202
    assert [e["what"] for e in brand.log("violation")] == ["profile_created"]
    assert set(brand.world.marketing.profiles) == before
    [made] = brand.ask("klaviyo", "GET", "/api/profiles", filter='any(id,["01GONE"])').body["data"]
    assert (made["id"], made["attributes"]["email"]) == ("01GONE", None)
    shown = brand.ask("klaviyo", "GET", "/api/events", include="profile", page__size=1).body
    assert shown["data"][0]["relationships"]["profile"]["data"]["id"] == "01GONE"
    assert [row["id"] for row in shown["included"]] == ["01GONE"]


def test_an_import_is_asynchronous_and_says_which_rows_failed(brand: Any) -> None:
    good = {"type": "profile", "id": _maya(brand), "attributes": {"properties": {"roomtone_pause_sms": False}}}
    unknown = {"type": "profile", "id": "unknown", "attributes": {"properties": {"roomtone_pause_sms": False}}}
    fresh = {"type": "profile", "attributes": {"email": "new@example.com"}}
    rows = {"profiles": {"data": [good, unknown, fresh]}}
    body = {"data": {"type": "profile-bulk-import-job", "attributes": rows}}
    reply = brand.ask("klaviyo", "POST", "/api/profile-bulk-import-jobs", body)
    assert (reply.status, reply.body["data"]["attributes"]["status"]) == (202, "queued")
    path = f"/api/profile-bulk-import-jobs/{reply.body['data']['id']}"
    brand.wait(seconds=1)
    assert brand.ask("klaviyo", "GET", path).body["data"]["attributes"]["status"] == "queued"
    brand.wait(seconds=2)
    done = brand.ask("klaviyo", "GET", path).body["data"]["attributes"]
    assert (done["status"], done["completed_count"], done["failed_count"]) == ("complete", 1, 2)
    errors = brand.ask("klaviyo", "GET", f"{path}/import-errors").body["data"]
    assert [e["attributes"]["source"]["pointer"] for e in errors] == [
        "/data/attributes/profiles/data/1/id",
        "/data/attributes/profiles/data/2/id",
    ]
    assert [e["what"] for e in brand.log("violation")] == ["profile_created"]
    assert len(brand.world.marketing.profiles) == len(brand.world.marketing.profile_of)


def test_the_limits_that_stand_in_prose(brand: Any) -> None:
    row = {"type": "profile", "id": _maya(brand), "attributes": {}}
    many = {"data": {"type": "profile-bulk-import-job", "attributes": {"profiles": {"data": [row] * 10_001}}}}
    assert brand.ask("klaviyo", "POST", "/api/profile-bulk-import-jobs", many).status == 400
    large = _patch(_maya(brand), properties={"roomtone_reason": "x" * 100_001})
    assert brand.ask("klaviyo", "PATCH", f"/api/profiles/{_maya(brand)}", large).status == 413


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/api/profile-subscription-bulk-create-jobs", "consent"),
        ("/api/profile-subscription-bulk-delete-jobs", "consent"),
        ("/api/profile-suppression-bulk-create-jobs", "consent"),
        ("/api/profile-suppression-bulk-delete-jobs", "consent"),
        ("/api/data-privacy-deletion-jobs", "deletion"),
        ("/api/lists/RtNews/relationships/profiles", "list_membership"),
        ("/api/profile-import", "profile_created"),
    ],
)
def test_whatever_touches_consent_is_refused_and_logged(brand: Any, path: str, what: str) -> None:
    consent = {p.id: p.is_email_subscribed for p in brand.world.marketing.profiles.values()}
    assert brand.ask("klaviyo", "POST", path, {"data": {}}).status == 403
    assert [(e["what"], e["path"]) for e in brand.log("violation")] == [(what, path)]
    assert consent == {p.id: p.is_email_subscribed for p in brand.world.marketing.profiles.values()}


def test_campaigns_carry_their_scope_as_a_tag(brand: Any) -> None:
    params = {"filter": "equals(messages.channel,'email')", "include": "tags,campaign-messages"}
    body = brand.ask("klaviyo", "GET", "/api/campaigns", **params).body
    names = {one["id"]: one["attributes"]["name"] for one in body["included"] if one["type"] == "tag"}
    scopes = {
        row["attributes"]["name"]: [names[tag["id"]] for tag in row["relationships"]["tags"]["data"]]
        for row in body["data"]
    }
    assert scopes["Spring sale: 20 % off"] == ["roomtone:sales"]
    assert [] in scopes.values(), "somebody forgot to tag one"
    statuses = {row["attributes"]["name"]: row["attributes"]["status"] for row in body["data"]}
    assert statuses["Spring sale: 20 % off"] == "Scheduled"
    assert "Sent" in statuses.values()
    assert brand.ask("klaviyo", "GET", "/api/campaigns").status == 400, "the channel filter is required"
    sms = brand.ask("klaviyo", "GET", "/api/campaigns", filter="equals(messages.channel,'sms')").body["data"]
    assert sms
    assert all("text" in row["attributes"]["name"] for row in sms)
    flows = brand.ask("klaviyo", "GET", "/api/flows", include="tags").body
    assert "roomtone:transactional" in {one["attributes"]["name"] for one in flows["included"]}


def test_rate_limits_are_those_of_the_vendor(brand: Any) -> None:
    for _ in range(3):
        reply = brand.ask("klaviyo", "GET", "/api/flows")
        assert reply.status == 200
    assert (reply.headers["RateLimit-Limit"], reply.headers["RateLimit-Remaining"]) == ("60", "57")
    refused = brand.ask("klaviyo", "GET", "/api/flows")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    assert refused.body["errors"][0]["code"] == "throttled"
    brand.wait(seconds=1)
    assert brand.ask("klaviyo", "GET", "/api/flows").status == 200


def test_key_and_revision_are_required(brand: Any) -> None:
    key = {"authorization": "Klaviyo-API-Key sandbox-klaviyo"}
    assert brand.ask("klaviyo", "GET", "/api/metrics", headers={"revision": "2026-07-15"}).status == 401
    assert brand.ask("klaviyo", "GET", "/api/metrics", headers=key).status == 400
    assert brand.ask("klaviyo", "GET", "/api/metrics", headers=key | {"revision": "2026-07-15"}).status == 200
    assert brand.ask("klaviyo", "GET", "/api/accounts").body["data"][0]["attributes"]["timezone"] == "Europe/Amsterdam"
