"""The transport alone: what may leave, how fast, and what is hidden."""

from collections.abc import Callable
from random import Random
from threading import Barrier
from typing import Any

import httpx
import pytest

from roomtone.errors import RoomtoneError
from roomtone.settings import Connection
from roomtone.sync.destinations import klaviyo, zendesk
from roomtone.sync.transport import (
    GIVEN_BACK_IN_A_ROW,
    Endpoint,
    Timing,
    Transport,
    VendorBusyError,
    VendorUnansweredError,
    _Pace,
)

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


def test_calls_of_the_client_before_count_too(transport: Any, clock: Clock) -> None:
    first, second = (transport(lambda request: httpx.Response(200, json={})) for _ in range(2))
    moments = []
    for client in (first, second):
        client.remember(first.ages())
        for _ in range(45):
            client.call("GET", "/api/things/1")
            moments.append(clock.now)
    assert most_in_a_window(moments, 60) == 60
    assert first.ages().keys() == second.ages().keys() == {"GET /api/things/{}"}
    clock.sleep(61)
    assert second.ages() == {}


def most_in_a_window(moments: list[float], seconds: float) -> int:
    """The most calls that a vendor counts in any window, half open as its own."""
    return max(sum(start <= moment < start + seconds - 1e-9 for moment in moments) for start in moments)


@pytest.mark.parametrize("seed", range(5))
def test_no_window_of_the_vendor_ever_holds_more_than_it_allows(transport: Any, clock: Clock, seed: int) -> None:
    """Calls take from no time to longer than a window, and the vendor counts each somewhere on its way."""
    drawn = Random(seed)
    counted: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        there, back = drawn.choice([0.0, 0.01, 0.3, 1.4]), drawn.choice([0.0, 0.02, 0.6])
        counted.append(clock.now + there)
        clock.now += there + back
        return httpx.Response(200, json={})

    client = transport(answer)
    for _ in range(200):
        client.call("GET", "/api/things/1")
        clock.now += drawn.choice([0.0, 0.0, 0.0, 0.4, 20.0])
    assert most_in_a_window(counted, 1) <= 2
    assert most_in_a_window(counted, 60) <= 60


def test_calls_that_are_under_way_count_until_a_window_after_their_answer() -> None:
    pace = _Pace(Endpoint("POST", "/api/things", 4, 6))
    assert pace.start(0.0, 3) == 0
    assert pace.start(0.5) == 0
    pace.end(0.9)
    pace.end(1.0)
    # Two of four are answered and two are not: the next may start a second after the first answer.
    assert pace.start(1.0) == pytest.approx(0.9)
    assert pace.start(1.95) == 0
    # One that is not made after all gives its place back at once.
    pace.end(None)
    assert pace.start(1.96) == 0
    pace.end(3.0)
    pace.end(3.0)
    pace.end(3.0)
    # Six calls within a minute, of which one was not made: one more, and then none before the first is a minute old.
    assert pace.start(5.0) == 0
    assert pace.start(6.0) == pytest.approx(54.9)


def test_calls_that_a_vendor_counts_together_share_their_limit(clock: Clock) -> None:
    together = (
        Endpoint("GET", "/api/things/{}", 2, 60, counted_as="account"),
        Endpoint("PUT", "/api/things/{}", 9, 99, counted_as="account"),
        Endpoint("GET", "/api/others", 2, 60),
    )
    made: list[tuple[float, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        made.append((clock.now, request.url.path))
        return httpx.Response(200, json={})

    client = Transport(
        Connection("vendor", "https://api.example.com", "token"), {}, together, Timing(clock.sleep, clock)
    )
    client._client = httpx.Client(transport=httpx.MockTransport(answer))
    for number in range(20):
        client.call("PUT" if number % 2 else "GET", "/api/things/1", body={} if number % 2 else None)
        client.call("GET", "/api/others")
    client.close()
    for path in ("/api/things/1", "/api/others"):
        assert most_in_a_window([at for at, called in made if called == path], 1) == 2


def test_a_limit_of_less_than_one_call_a_second_is_kept_too() -> None:
    pace = _Pace(Endpoint("POST", "/api/things", 0.5, 30))
    assert pace.start(0.0) == 0
    pace.end(0.0)
    assert pace.start(1.0) == pytest.approx(1.0)
    assert pace.start(2.0) == 0


def test_several_calls_start_at_once_and_one_that_is_told_to_wait_holds_those_after_it(
    transport: Any, clock: Clock
) -> None:
    at_the_door = Barrier(2, timeout=10)
    began = clock.now
    started: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        started.append(clock.now - began)
        # Neither is answered before both are there.
        at_the_door.wait()
        return httpx.Response(429, headers={"retry-after": "7"}) if len(started) <= 2 else httpx.Response(202)

    client = transport(answer)
    works = [lambda: client.call("POST", "/api/things", body={}, is_patient=False)] * 2
    assert client.wait_for_turns("POST", "/api/things", 5) == 2
    with pytest.raises(VendorBusyError):
        client.at_once(works)
    assert clock.now == began, "nothing waits while others are under way"
    assert client.wait_for_turns("POST", "/api/things", 2) == 2
    client.at_once(works)
    client.close()
    assert started == [0, 0, 7, 7]


def test_after_a_row_of_calls_without_an_answer_a_patient_one_asks_first(transport: Any) -> None:
    client = transport(lambda request: httpx.Response(500))
    for _ in range(GIVEN_BACK_IN_A_ROW):
        assert client.wait_for_turns("POST", "/api/things", 1) == 1
        with pytest.raises(VendorUnansweredError):
            client.call("POST", "/api/things", body={}, is_patient=False)
    assert client.wait_for_turns("POST", "/api/things", 1) == 0


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
