"""The transport alone: what may leave, how fast, and what is hidden."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from roomtone.errors import RoomtoneError
from roomtone.settings import Connection
from roomtone.sync.destinations import klaviyo, zendesk
from roomtone.sync.transport import Endpoint, Timing, Transport

ENDPOINTS = (Endpoint("GET", "/api/things/{}", 2, 60), Endpoint("POST", "/api/things", 2, 60, is_repeatable=False))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def transport(clock: Clock) -> Callable[[Callable[[httpx.Request], httpx.Response]], Transport]:
    def build(answer: Callable[[httpx.Request], httpx.Response]) -> Transport:
        connection = Connection("shopfront", "https://api.example.com/v1", "secret-token")
        built = Transport(connection, {"Authorization": "Bearer secret-token"}, ENDPOINTS, Timing(clock.sleep, clock))
        built._client = httpx.Client(transport=httpx.MockTransport(answer), follow_redirects=False)
        return built

    return build


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/profile-subscription-bulk-create-jobs"),
        ("POST", "/api/profile-subscription-bulk-delete-jobs"),
        ("POST", "/api/profile-suppression-bulk-create-jobs"),
        ("POST", "/api/profile-suppression-bulk-delete-jobs"),
        ("POST", "/api/data-privacy-deletion-jobs"),
        ("POST", "/api/profiles"),
        ("POST", "/api/profile-import"),
        ("POST", "/api/event-bulk-create-jobs"),
        ("POST", "/api/lists/X/relationships/profiles"),
        ("DELETE", "/api/profiles/X"),
        ("PATCH", "/api/profiles/X/../../profile-import"),
        ("PATCH", "/api/profiles/X?y=z"),
        ("PATCH", "/api/profiles/"),
    ],
)
def test_no_call_near_consent_can_leave(method: str, path: str) -> None:
    asked: list[httpx.Request] = []
    client = Transport(Connection("klaviyo", "https://a.klaviyo.com", "pk_secret_key"), {}, klaviyo.ENDPOINTS)
    client._client = httpx.Client(transport=httpx.MockTransport(lambda r: asked.append(r) or httpx.Response(200)))
    with pytest.raises(RoomtoneError, match="is not allowed"):
        client.call(method, path, body={})
    assert asked == []


@pytest.mark.parametrize("path", ["/api/v2/tickets/1/comments", "/api/v2/users/1", "/api/v2/tickets/update_many/x"])
def test_the_helpdesk_client_only_updates_tickets(path: str) -> None:
    client = Transport(Connection("zendesk", "https://x.zendesk.com", "a-long-token"), {}, zendesk.ENDPOINTS)
    with pytest.raises(RoomtoneError, match="is not allowed"):
        client.call("PUT", path, body={})


def test_calls_are_spaced_by_the_vendor_s_limits(transport: Any, clock: Clock) -> None:
    client = transport(lambda request: httpx.Response(200, json={}))
    began = clock.now
    for _ in range(2):
        client.call("GET", "/api/things/1")
    assert clock.now == began
    for _ in range(8):
        client.call("GET", "/api/things/1")
    assert clock.now - began == pytest.approx(4.0)
    for _ in range(110):
        client.call("GET", "/api/things/1")
    # 120 calls at 60 a minute, of which the first minute's worth was there from the start.
    assert clock.now - began >= 60


def test_a_call_that_must_not_be_repeated_is_not(transport: Any) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        raise httpx.ReadTimeout("slow")

    with pytest.raises(RoomtoneError, match="the next sync looks it up"):
        transport(answer).call("POST", "/api/things", body={})
    assert len(asked) == 1


def test_a_page_link_to_another_host_is_refused(transport: Any) -> None:
    asked = []
    client = transport(lambda request: asked.append(request) or httpx.Response(200, json={}))
    for link in ("https://evil.example.com/v1/api/things/1", "https://api.example.com/v10/api/things/1"):
        with pytest.raises(RoomtoneError, match="leads to another host"):
            client.follow(link)
    assert asked == []
    client.follow("https://api.example.com/v1/api/things/1?page[cursor]=x")
    assert len(asked) == 1


def test_a_redirect_is_not_followed(transport: Any) -> None:
    client = transport(lambda request: httpx.Response(307, headers={"location": "https://evil.example.com/"}))
    with pytest.raises(RoomtoneError, match="a redirect; set the connection's URL"):
        client.call("GET", "/api/things/1")


def test_the_vendor_s_words_lose_what_is_personal(transport: Any) -> None:
    words = "bad key secret-token for maya.okafor@example.com or +44 7700 900 123"
    answer = {"errors": [{"code": "invalid", "detail": words}]}
    with pytest.raises(RoomtoneError) as raised:
        transport(lambda request: httpx.Response(400, json=answer)).call("GET", "/api/things/1")
    text = str(raised.value)
    assert "invalid: bad key *** for *** or ***" in text
    for personal in ("secret", "maya", "okafor", "7700"):
        assert personal not in text


def test_a_vendor_that_fails_three_times_running_counts_as_down(transport: Any) -> None:
    client = transport(lambda request: httpx.Response(500))
    for _ in range(2):
        with pytest.raises(RoomtoneError, match="the next sync looks it up"):
            client.call("GET", "/api/things/1")
    with pytest.raises(RoomtoneError, match="as 3 calls in a row"):
        client.call("GET", "/api/things/1")
