"""Calls that no client should make: each gets an answer that the vendor knows, none makes the brand fall over."""

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

NASTY = [None, 0, -1, 1.5, True, "", "x", "\x00", [], {}, [None], [[]], {"a": None}, "2026-99-99", 10**30, "🙂" * 50]
TEXTS = [
    *("", "0", "-1", "x", "99999999999999999999", "²", "null", "-", "Zm9v", "🙂", "a|b", "2026-03-02T09:00:00Z"),
    *('equals(id,"a")', "any(id,[])", "equals(email)", "and()", "contains(name,)", "greater-than(datetime,x)"),
    *("less-than(timestamp,99999999999999999)", "equals(messages.channel,'email')", 'any(status,["Sent"])'),
]
NAMES = [
    "filter",
    "sort",
    "page__size",
    "page__cursor",
    "start_time",
    "cursor",
    "per_page",
    "page",
    "limit",
    "updated_since",
]


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if place:
        yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from _places(part, (*place, key))


def _spoilt(rng: Random, body: Any) -> Any:
    """The body with one place taken out or replaced."""
    spoilt = json.loads(json.dumps(body))
    place = rng.choice(list(_places(spoilt)))
    holder = spoilt
    for key in place[:-1]:
        holder = holder[key]
    if isinstance(holder, dict) and rng.random() < 0.25:
        del holder[place[-1]]
    else:
        holder[place[-1]] = rng.choice(NASTY)
    return spoilt


@pytest.mark.parametrize("seed", range(3))
def test_spoilt_bodies(make_brand: Any, seed: int) -> None:
    brand, rng = make_brand(customers=30), Random(seed)
    maya = str(brand.world.marketing.profile_of[1].id)
    ticket = next(t.id for t in brand.world.helpdesk.tickets.values() if t.status != "closed")
    row = {
        "type": "profile",
        "id": maya,
        "attributes": {"properties": {"roomtone_tier": 1}},
        "meta": {"patch_properties": {"unset": ["roomtone_reason"]}},
    }
    event = {
        "properties": {"kind": "apology"},
        "unique_id": "x",
        "time": "2026-03-02T09:00:00Z",
        "metric": {"data": {"type": "metric", "attributes": {"name": "Roomtone Apology Due"}}},
        "profile": {"data": {"type": "profile", "id": maya, "attributes": {"email": "a@example.com"}}},
    }
    update = {"priority": "high", "tags": ["a"], "additional_tags": ["b"], "comment": {"body": "x", "public": False}}
    job = {"type": "profile-bulk-import-job", "attributes": {"profiles": {"data": [row]}}}
    calls = [
        ("klaviyo", "PATCH", f"/api/profiles/{maya}", {"data": row}),
        ("klaviyo", "POST", "/api/events", {"data": {"type": "event", "attributes": event}}),
        ("klaviyo", "POST", "/api/profile-bulk-import-jobs", {"data": job}),
        ("zendesk", "PUT", f"/api/v2/tickets/{ticket}.json", {"ticket": update | {"group_id": 2, "status": "open"}}),
    ]
    for _ in range(60):
        for vendor, method, path, body in calls:
            reply = brand.ask(vendor, method, path, _spoilt(rng, body))
            assert reply.status in {200, 202, 400, 404, 409, 413, 422}
            json.dumps(reply.body, allow_nan=False)
        # Lets the imports run.
        brand.wait(seconds=3)
    assert len(brand.world.marketing.profiles) == len(brand.world.marketing.profile_of), "and nobody was made up"


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[]", b'"x"', b'{"data": NaN}'])
def test_bodies_that_are_not_the_json_asked_for(served_in_process: Any, body: bytes) -> None:
    assert served_in_process(body) == 400


@pytest.fixture
def served_in_process(brand: Any) -> Any:
    """Sends raw bytes as an event and gives the status."""
    from roomtone.sandbox.web import Call

    def send(content: bytes) -> int:
        headers = {"authorization": "Klaviyo-API-Key sandbox-klaviyo", "revision": "2026-07-15"}
        call = Call("POST", "/api/events", "", headers, content, "http://brand", brand.world.at)
        return int(brand._apis["klaviyo"].answer(call)[0].status)

    return send


@pytest.mark.parametrize(
    ("vendor", "path"),
    [
        ("klaviyo", "/api/profiles"),
        ("klaviyo", "/api/events"),
        ("klaviyo", "/api/campaigns"),
        ("klaviyo", "/api/flows"),
        ("klaviyo", "/api/metrics"),
        ("zendesk", "/api/v2/incremental/tickets/cursor.json"),
        ("zendesk", "/api/v2/incremental/ticket_events.json"),
        ("zendesk", "/api/v2/users.json"),
        ("shop", "/shop/orders"),
    ],
)
def test_odd_parameters(brand: Any, vendor: str, path: str) -> None:
    rng = Random(path)
    for _ in range(150):
        params = {rng.choice(NAMES): rng.choice(TEXTS) for _ in range(rng.choice((1, 2)))}
        reply = brand.ask(vendor, "GET", path, **params)
        assert reply.status in {200, 400, 422, 429}, params
        brand.wait(seconds=7)
