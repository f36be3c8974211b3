"""The vendor sources against the sandbox brand: everything that happened there lands, once, with its times."""

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from extract.desk import Desk
from roomtone.clock import now, parse_instant
from roomtone.extract import ExtractReport, extract, klaviyo
from roomtone.settings import load_settings

# The helpdesk shows nothing younger than a minute.
HIDDEN = timedelta(seconds=60)
BOT = "900"


def _desk(sandbox: Any, home: Path, **options: str) -> Desk:
    environ = sandbox.environ(home) | {"ROOMTONE_ZENDESK_BOT_USER_IDS": BOT} | options
    return Desk(load_settings(environ), home)


def _pull(desk: Desk, *sources: str) -> list[ExtractReport]:
    reports = []
    for source in sources:
        report = extract(desk.settings, source, now(desk.settings))
        assert not report.unfinished
        assert report.total.read == report.total.landed + report.total.duplicate + report.total.quarantined
        reports.append(report)
    return reports


def _set_property(sandbox: Any, profile_id: str) -> None:
    """What a sync does: it moves the profile's time of change."""
    url = f"{sandbox.url}/klaviyo/api/profiles/{profile_id}"
    data = {"type": "profile", "id": profile_id, "attributes": {"properties": {"roomtone_tier": 1}}}
    headers = {
        "Authorization": "Klaviyo-API-Key sandbox-klaviyo",
        "revision": "2026-07-15",
        "Content-Type": "application/vnd.api+json",
    }
    httpx.patch(url, headers=headers, json={"data": data}).raise_for_status()


def _statuses(desk: Desk) -> dict[str, list[tuple[datetime, str]]]:
    """Per ticket its status changes as its versions tell them, in order."""
    history: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    for row in sorted(desk.rows("tickets", "zendesk"), key=lambda row: row["version_at"]):
        if not history[row["id"]] or history[row["id"]][-1][1] != row["status"]:
            history[row["id"]].append((row["version_at"].replace(tzinfo=UTC), row["status"]))
    return history


def test_every_message_order_and_parcel_lands_once(sandbox: Any, tmp_path: Path) -> None:
    desk = _desk(sandbox, tmp_path)
    _pull(desk, "zendesk", "shop")
    for _ in range(3):
        sandbox.advance(12 * 3600)
        _pull(desk, "zendesk", "shop")
    (again,) = _pull(desk, "zendesk")
    assert set(again.streams) <= {"satisfaction_ratings"}, "a pass without news reads the overlap and nothing else"
    at = sandbox.now()
    planted = {m["message_id"]: m for m in sandbox.get("/truth")["messages"] if parse_instant(m["at"]) < at - HIDDEN}
    rows = desk.rows("messages", "zendesk")
    assert len(rows) == len({row["id"] for row in rows})
    by_customer = {row["id"]: row for row in rows if row["author"] == "customer"}
    assert set(by_customer) == {f"zendesk-{number}" for number in planted}
    for number, message in planted.items():
        row = by_customer[f"zendesk-{number}"]
        assert row["ticket_id"] == f"zendesk-{message['ticket_id']}"
        assert row["created_at"] == parse_instant(message["at"]).replace(tzinfo=None, microsecond=0)
    assert {row["author"] for row in rows} == {"customer", "agent", "bot"}
    assert not all(row["is_public"] for row in rows if row["author"] == "agent")
    assert desk.quarantine() == []
    # Whoever wrote or asked is a customer of the same source, and has no consent from here.
    customers = {row["id"]: row for row in desk.rows("customers", "zendesk")}
    assert {row["customer_id"] for row in desk.rows("tickets", "zendesk")} <= set(customers)
    assert not any(row["email_marketing_consent"] for row in customers.values())
    orders = {row["order_id"] for row in desk.rows("tickets", "zendesk")} - {None}
    assert orders
    assert orders <= {row["id"] for row in desk.rows("orders", "shop")}
    # The parcel of the story was under way at first and delivered at last.
    shipment_id = f"shop-{sandbox.get('/story')['shipment_id']}"
    parcel = [row for row in desk.rows("shipments", "shop") if row["id"] == shipment_id]
    delivered = [row["delivered_at"] is not None for row in sorted(parcel, key=lambda row: row["version_at"])]
    assert (delivered[0], delivered[-1]) == (False, True)
    assert {row["order_id"] for row in desk.rows("shipments", "shop")} <= {
        row["id"] for row in desk.rows("orders", "shop")
    }
    assert {row["customer_id"] for row in desk.rows("orders", "shop")} <= {
        row["id"] for row in desk.rows("customers", "shop")
    }
    assert sandbox.log("violation") == []


def test_status_history_is_exact_however_seldom_one_looks(start_sandbox: Callable[..., Any], tmp_path: Path) -> None:
    sandbox = start_sandbox(customers=40)
    often, seldom = _desk(sandbox, tmp_path / "often"), _desk(sandbox, tmp_path / "seldom")
    for hours in (0.2, 5, 12, 20, 26, 40):
        sandbox.advance(hours * 3600)
        _pull(often, "zendesk")
    sandbox.advance(61)
    _pull(often, "zendesk")
    _pull(seldom, "zendesk")
    until = sandbox.now() - HIDDEN
    logged: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    for entry in sandbox.log("ticket_status"):
        if parse_instant(entry["at"]) < until:
            at = parse_instant(entry["at"]).replace(microsecond=0)
            logged[f"zendesk-{entry['ticket_id']}"].append((at, entry["status"]))
    assert sum(map(len, logged.values())) > 30
    for told in (_statuses(often), _statuses(seldom)):
        for ticket_id, changes in logged.items():
            # Two changes within a second are one to the helpdesk: the last one.
            last = list(dict(changes).items())
            assert told[ticket_id][-len(last) :] == last


def test_exports_are_asked_within_their_limit_and_a_reached_limit_is_not_an_error(sandbox: Any, tmp_path: Path) -> None:
    desk = _desk(sandbox, tmp_path, ROOMTONE_ZENDESK_BUDGET_SECONDS="1")
    reports = [extract(desk.settings, "zendesk", now(desk.settings)) for _ in range(6)]
    assert [bool(report.unfinished) for report in reports] == [False] * 5 + [True]
    assert "its rate limit is reached" in reports[-1].unfinished
    assert [entry for entry in sandbox.log() if entry["kind"] == "request" and entry["status"] == 429] == []
    sandbox.advance(61)
    _pull(desk, "zendesk")


def test_a_forgotten_cursor_is_replaced_by_the_time_behind_it(sandbox: Any, tmp_path: Path) -> None:
    from roomtone.extract import zendesk

    desk = _desk(sandbox, tmp_path)
    _pull(desk, "zendesk")
    original = zendesk.VendorApi.get

    def forgetful(self: Any, path: str, params: Any = None, pace: Any = None) -> Any:
        if params and "cursor" in params:
            params = params | {"cursor": "bm90IG9uZSBvZiBvdXJz"}
        return original(self, path, params, pace)

    sandbox.advance(7200)
    zendesk.VendorApi.get = forgetful  # type: ignore[method-assign]
    try:
        (report,) = _pull(desk, "zendesk")
    finally:
        zendesk.VendorApi.get = original  # type: ignore[method-assign]
    fresh = _desk(sandbox, tmp_path / "fresh")
    sandbox.advance(1)
    _pull(fresh, "zendesk")
    assert report.total.landed > 0
    assert {row["id"] for row in desk.rows("tickets", "zendesk")} == {
        row["id"] for row in fresh.rows("tickets", "zendesk")
    }


def test_mailings_their_scopes_and_late_events_land_once(sandbox: Any, tmp_path: Path) -> None:
    desk = _desk(sandbox, tmp_path / "home")
    story = sandbox.get("/story")
    _pull(desk, "klaviyo")
    _set_property(sandbox, story["people"]["tom"]["klaviyo_profile_id"])
    for _ in range(4):
        sandbox.advance(8 * 3600)
        _pull(desk, "klaviyo")
    # One deep look later everything that arrived late is there.
    sandbox.advance(24 * 3600)
    _pull(desk, "klaviyo")
    fresh = _desk(sandbox, tmp_path / "fresh")
    _pull(fresh, "klaviyo")
    events = desk.rows("marketing_events", "klaviyo")
    assert len(events) == len({row["id"] for row in events})
    expected = {row["id"] for row in fresh.rows("marketing_events", "klaviyo")}
    assert {row["id"] for row in events} >= expected
    assert {"delivered", "opened", "clicked"} <= {row["type"] for row in events}
    campaigns = {row["id"]: row for row in desk.rows("campaigns", "klaviyo")}
    assert {row["campaign_id"] for row in events} <= set(campaigns)
    sale = campaigns[f"klaviyo-{story['campaigns']['sale']['id']}"]
    assert (sale["kind"], sale["channel"], sale["scope"]) == ("campaign", "email", "sales")
    assert campaigns[f"klaviyo-{story['shipping_flow_id']}"]["scope"] == "transactional"
    assert any(row["scope"] is None for row in campaigns.values())
    customers = {row["id"]: row for row in desk.rows("customers", "klaviyo")}
    assert {row["customer_id"] for row in events} <= set(customers)
    tom = f"klaviyo-{story['people']['tom']['klaviyo_profile_id']}"
    assert customers[tom]["email_marketing_consent"]
    assert len([row for row in desk.rows("customers", "klaviyo") if row["id"] == tom]) >= 2, "a change is a version"
    sent = {
        (entry["campaign_id"], entry["profile_id"])
        for entry in sandbox.log("campaign_send")
        if entry["outcome"] == "sent" and entry["channel"] == "email"
    }
    told = {
        (row["campaign_id"].removeprefix("klaviyo-"), row["customer_id"].removeprefix("klaviyo-")) for row in events
    }
    assert sent
    assert len(sent - told) <= len(sent) // 50, "a send leaves an event unless its bounce is still on the way"
    assert sandbox.log("violation") == []


def test_profiles_are_read_on_from_where_patience_ended(
    sandbox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody's profile changes with a first sync, and a large brand's profiles take longer than a run."""
    monkeypatch.setattr(klaviyo, "PROFILE_CALLS", 1)
    monkeypatch.setattr(klaviyo, "_PROFILE_PAGE", "20")
    desk = _desk(sandbox, tmp_path, ROOMTONE_KLAVIYO_BUDGET_SECONDS="3")
    known = [0]

    def read_on() -> int:
        """How many profiles runs read until one comes to its end."""
        count = 0
        for _ in range(12):
            sandbox.advance(61)
            report = extract(desk.settings, "klaviyo", now(desk.settings))
            count += report.streams["customers"].read
            known.append(len({row["id"] for row in desk.rows("customers", "klaviyo")}))
            if not report.unfinished:
                return count
        raise AssertionError(f"{count} profiles read, and no end")

    read_on()
    profiles = [c["klaviyo_profile_id"] for c in sandbox.get("/truth")["customers"] if c["klaviyo_profile_id"]]
    assert len(known) > 3
    assert known == sorted(known)
    assert known[-1] == len(profiles)
    for profile in profiles:
        _set_property(sandbox, profile)
    assert read_on() >= len(profiles)
    # What has changed within a minute is read again once, in case it was shown late, and not for ever.
    for _ in range(2):
        sandbox.advance(3600)
        count = read_on()
    assert count < len(profiles) // 2


def test_a_page_that_the_platform_no_longer_knows_is_begun_anew(
    sandbox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(klaviyo, "PROFILE_CALLS", 2)
    monkeypatch.setattr(klaviyo, "_PROFILE_PAGE", "20")
    monkeypatch.setattr(klaviyo, "_page_cursor", lambda _: "gone")
    desk = _desk(sandbox, tmp_path, ROOMTONE_KLAVIYO_BUDGET_SECONDS="3")
    for _ in range(2):
        sandbox.advance(61)
        assert extract(desk.settings, "klaviyo", now(desk.settings)).unfinished
    monkeypatch.setattr(klaviyo, "PROFILE_CALLS", 1000)
    sandbox.advance(61)
    assert not extract(desk.settings, "klaviyo", now(desk.settings)).unfinished
