"""Reading a vendor that fails, answered by a real server that follows a script."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest

from extract.desk import AS_OF, Desk
from extract.vendor import Vendor
from roomtone.errors import RoomtoneError
from roomtone.extract import StreamCount, extract
from roomtone.extract import http as http_module
from roomtone.extract.http import RefusalError, VendorApi
from roomtone.extract.received import UnfinishedError
from roomtone.rate_window import RateWindow
from roomtone.settings import Connection, load_settings

OK: dict[str, Any] = {"items": [], "next_cursor": None}


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    monkeypatch.setattr(http_module, "_FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(http_module, "_TIMEOUT", httpx.Timeout(0.5))
    running = Vendor(OK)
    yield running
    running.close()


def api(url: str, sleep: Callable[[float], None] = time.sleep, **options: str) -> VendorApi:
    return VendorApi(Connection("shop", url, "secret-token", options), {"Authorization": "Bearer secret-token"}, sleep)


def _hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def _hang(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(1.0)


FAULTS: dict[str, Any] = {
    "a server error": (500, {"error": "oops"}, {}),
    "a gateway": (502, b"<html>Bad gateway</html>", {}),
    "a time-out of the vendor": (408, {}, {}),
    "a login page": (200, b"<html>Please log in</html>", {}),
    "a list instead of an object": (200, [1, 2], {}),
    "cut JSON": (200, b'{"items": [{"id": "1"}, {"id"', {}),
    "a body shorter than announced": (200, b'{"items": [', {"Content-Length": "5000"}),
    "a damaged gzip body": (200, b"no gzip at all", {"Content-Encoding": "gzip"}),
    "a closed connection": _hang_up,
    "silence": _hang,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_is_tried_again(vendor: Vendor, fault: str) -> None:
    vendor.script = [FAULTS[fault], FAULTS[fault], (200, {"items": [1]}, {})]
    with api(vendor.url) as reader:
        assert reader.get("/orders") == {"items": [1]}
    assert len(vendor.paths) == 3


def test_a_vendor_that_never_answers_is_an_error_and_one_that_gives_out_is_not(vendor: Vendor) -> None:
    vendor.script = [FAULTS["a server error"]] * 5
    with api(vendor.url) as reader, pytest.raises(RoomtoneError, match=r"cannot be read \(status 500, 5 times\)"):
        reader.get("/orders")
    assert len(vendor.paths) == 5
    vendor.script = [(200, OK, {}), *[FAULTS["a login page"]] * 5]
    with api(vendor.url) as reader:
        reader.get("/orders")
        with pytest.raises(UnfinishedError, match="no JSON object, 5 times"):
            reader.get("/orders")


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_stops_at_once_and_names_the_variable(vendor: Vendor, status: int) -> None:
    vendor.script = [(status, {"error": "no"}, {})]
    with api(vendor.url) as reader, pytest.raises(RoomtoneError, match="ROOMTONE_SHOP_TOKEN") as failure:
        reader.get("/orders")
    assert len(vendor.paths) == 1
    assert "secret-token" not in str(failure.value)


def test_a_refused_request_is_not_repeated(vendor: Vendor) -> None:
    vendor.script = [(422, {"error": "InvalidStartTime"}, {})]
    with api(vendor.url) as reader, pytest.raises(RefusalError) as failure:
        reader.get("/orders", {"start_time": "1"})
    assert failure.value.status == 422
    assert vendor.paths == ["/orders?start_time=1"]


def test_retry_after_is_kept_in_both_forms_and_bounded_by_the_budget(vendor: Vendor) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=9), usegmt=True)
    vendor.script = [(429, {}, {"Retry-After": "7"}), (503, {}, {"Retry-After": soon}), (200, OK, {})]
    waits: list[float] = []
    with api(vendor.url, waits.append) as reader:
        reader.get("/orders")
    assert 7.0 <= waits[0] < 7.5
    assert 7.0 <= waits[1] < 9.5
    vendor.script = [(200, OK, {}), (429, {}, {"Retry-After": "3600"})]
    with api(vendor.url, waits.append, budget_seconds="30") as reader:
        reader.get("/orders")
        with pytest.raises(UnfinishedError, match="status 429"):
            reader.get("/orders")
    assert len(waits) == 2


def test_waits_grow_and_are_jittered(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_module, "_FIRST_WAIT_SECONDS", 1.0)
    for script in ([FAULTS["a server error"]] * 4, [(429, {}, {})] * 8):
        waits: list[float] = []
        vendor.script = [*script, (200, OK, {})]
        with api(vendor.url, waits.append) as reader:
            reader.get("/orders")
        longest = [min(2.0**n, 30.0) for n in range(len(script))]
        assert all(limit / 2 <= wait <= limit for wait, limit in zip(waits, longest, strict=True))


def test_many_429_do_not_use_up_the_tries(vendor: Vendor) -> None:
    vendor.script = [(429, {}, {"Retry-After": "0"})] * 12 + [(200, OK, {})]
    with api(vendor.url, lambda _: None) as reader:
        assert reader.get("/orders") == OK


def test_no_redirect_and_no_link_to_another_server_is_followed(vendor: Vendor) -> None:
    other = Vendor(OK)
    vendor.script = [(302, {}, {"Location": f"{other.url}/orders"})]
    with api(vendor.url) as reader:
        with pytest.raises(RoomtoneError, match="redirects"):
            reader.get("/orders")
        for link in (
            f"{other.url}/x",
            "http://169.254.169.254/latest/meta-data",
            "//example.com/x",
            "file:///etc/passwd",
        ):
            with pytest.raises(RoomtoneError, match="links to another server"):
                reader.follow(link)
        assert reader.follow("/orders?page=2") == OK
    assert other.paths == []
    assert len(vendor.paths) == 2
    other.close()


def test_a_page_too_large_to_hold_is_refused(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_module, "MAX_PAGE_BYTES", 1024 * 1024)
    vendor.script = [(200, {"items": ["x" * 2_000_000]}, {})]
    with api(vendor.url) as reader, pytest.raises(RoomtoneError, match="page of over 1 MiB"):
        reader.get("/orders")


def test_a_credential_is_not_sent_in_the_clear_nor_left_out() -> None:
    with pytest.raises(RoomtoneError, match=r"http://shop\.example\.com would carry"):
        api("http://shop.example.com")
    api("http://shop.example.com", allow_http="true")
    api("https://shop.example.com")
    with pytest.raises(RoomtoneError, match="set ROOMTONE_SHOP_TOKEN"):
        VendorApi(Connection("shop", "https://shop.example.com"), {})
    with pytest.raises(RoomtoneError, match="ROOMTONE_SHOP_BUDGET_SECONDS"):
        api("https://shop.example.com", budget_seconds="soon")


def test_pace_keeps_to_so_many_calls_in_so_many_seconds() -> None:
    pace, now, made = RateWindow(3, 10.0), 0.0, []
    for _ in range(7):
        now += pace.wait_seconds(now)
        pace.start()
        pace.end(now)
        made.append(now)
    assert made == [0, 0, 0, 10, 10, 10, 20]


def test_a_place_in_the_limit_comes_back_a_window_after_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that is slow on its way is counted late by the vendor, and a quick one after it at once."""
    clock, counted, ways = [100.0], [], iter([3.0, 0.0])

    def answer(_: httpx.Request) -> httpx.Response:
        clock[0] += next(ways)
        counted.append(clock[0])
        return httpx.Response(200, json={})

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr("roomtone.extract.http.time.monotonic", lambda: clock[0])
    reader = VendorApi(Connection("shop", "https://shop.example.com", "secret-token"), {}, sleep)
    reader._client = httpx.Client(transport=httpx.MockTransport(answer))
    pace = RateWindow(1, 10.0)
    for _ in range(2):
        reader.get("/orders", pace=pace)
    assert counted[1] - counted[0] >= 10.0


def test_pace_counts_what_a_run_before_has_called() -> None:
    before, pace = RateWindow(3, 10.0), RateWindow(3, 10.0)
    for at in (0.0, 1.0):
        before.start()
        before.end(at)
    pace.remember(before.ages(4.0), 104.0)
    pace.start()
    pace.end(104.0)
    assert pace.wait_seconds(104.0) == 6.0
    assert pace.wait_seconds(110.0) == 0.0
    assert pace.ages(110.0) == [9.0, 6.0]


def _order(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": str(number),
        "customer_id": "7",
        "placed_at": "2026-03-01T10:00:00Z",
        "total": "10.00",
        "currency": "EUR",
        "status": "paid",
        "updated_at": f"2026-03-01T10:00:{number:02d}Z",
    } | changes


def _shop(vendor: Vendor, tmp_path: Path) -> Desk:
    environ = {"ROOMTONE_HOME": str(tmp_path), "ROOMTONE_SHOP_URL": vendor.url, "ROOMTONE_SHOP_TOKEN": "secret-token"}
    return Desk(load_settings(environ), tmp_path)


def test_pages_before_a_failure_stay_and_the_next_run_goes_on_from_there(vendor: Vendor, tmp_path: Path) -> None:
    desk = _shop(vendor, tmp_path)
    first = {"items": [_order(1), _order(2)], "next_cursor": "c2"}
    vendor.script = [(200, OK, {}), (200, first, {}), *[FAULTS["cut JSON"]] * 5]
    report = extract(desk.settings, "shop", AS_OF)
    assert report.streams["orders"] == StreamCount(read=2, landed=2)
    assert "the next run goes on" in report.unfinished

    vendor.script = [(200, OK, {}), (200, {"items": [_order(2), _order(3)], "next_cursor": None}, {})]
    vendor.paths.clear()
    report = extract(desk.settings, "shop", AS_OF)
    assert vendor.paths[1] == "/orders?limit=1000&updated_since=2026-03-01T10%3A00%3A02Z"
    assert report.streams["orders"] == StreamCount(read=2, landed=1, duplicate=1)
    assert report.unfinished == ""
    assert {row["id"] for row in desk.rows("orders", "shop")} == {"shop-1", "shop-2", "shop-3"}


def test_a_credential_revoked_half_way_keeps_what_came_before(vendor: Vendor, tmp_path: Path) -> None:
    desk = _shop(vendor, tmp_path)
    first = {"items": [_order(1)], "next_cursor": "c2"}
    vendor.script = [(200, OK, {}), (200, first, {}), (401, {}, {})]
    with pytest.raises(RoomtoneError, match="refuses the credential"):
        extract(desk.settings, "shop", AS_OF)
    assert [row["id"] for row in desk.rows("orders", "shop")] == ["shop-1"]


def test_a_cursor_that_turns_in_circles_is_told(vendor: Vendor, tmp_path: Path) -> None:
    desk = _shop(vendor, tmp_path)
    page = {"items": [_order(1)], "next_cursor": "same"}
    vendor.script = [(200, OK, {}), (200, page, {}), (200, page, {}), (200, page, {})]
    with pytest.raises(RoomtoneError, match="same page of orders again and again"):
        extract(desk.settings, "shop", AS_OF)


def test_records_of_a_vendor_that_do_not_fit_are_quarantined_once(vendor: Vendor, tmp_path: Path) -> None:
    desk = _shop(vendor, tmp_path)
    page = {"items": [_order(1), _order(2, total="a lot"), "no object", _order(3, id=None)], "next_cursor": None}
    for expected in (StreamCount(read=4, landed=1, quarantined=3), StreamCount(read=4, duplicate=4)):
        vendor.script = [(200, OK, {}), (200, page, {})]
        assert extract(desk.settings, "shop", AS_OF).streams["orders"] == expected
    reasons = {entry["location"]: entry["reason"] for entry in desk.quarantine()}
    assert set(reasons) == {"orders/2", "orders", "orders/None"}
    assert "orders.total" in reasons["orders/2"]


def test_a_vendor_of_another_kind_is_told(vendor: Vendor, tmp_path: Path) -> None:
    desk = _shop(vendor, tmp_path)
    vendor.script = [(200, {"hello": "world"}, {})]
    with pytest.raises(RoomtoneError, match="check that its address is the shop's"):
        extract(desk.settings, "shop", AS_OF)
