"""The shop's API: pages in order of change, complete across ties."""

from datetime import timedelta
from typing import Any

import pytest


@pytest.mark.parametrize("stream", ["customers", "orders", "shipments"])
def test_a_walk_meets_every_row_once_in_order_of_change(brand: Any, stream: str) -> None:
    rows = getattr(brand.world.shop, stream)
    tie = brand.world.at - timedelta(hours=1)
    for row in list(rows.values())[::2]:
        row.updated_at = tie
    found, cursor = [], ""
    while cursor is not None:
        params = {"limit": 7} | ({"cursor": cursor} if cursor else {})
        body = brand.ask("shop", "GET", f"/shop/{stream}", **params).body
        found += body["items"]
        cursor = body["next_cursor"]
    assert len({row["id"] for row in found}) == len(found) == len(rows)
    places = [(row["updated_at"], row["id"]) for row in found]
    assert places == sorted(places)


def test_updated_since_includes_its_instant(brand: Any) -> None:
    rows = brand.ask("shop", "GET", "/shop/orders", limit=1000).body["items"]
    since = rows[len(rows) // 2]["updated_at"]
    later = brand.ask("shop", "GET", "/shop/orders", limit=1000, updated_since=since).body["items"]
    assert [row["id"] for row in later] == [row["id"] for row in rows if row["updated_at"] >= since]


def test_a_change_brings_a_row_back(brand: Any) -> None:
    since = brand.world.at.isoformat()
    brand.wait(days=2)
    for stream in ("orders", "shipments"):
        assert brand.ask("shop", "GET", f"/shop/{stream}", updated_since=since).body["items"]


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("/shop/secrets", {}, 404),
        ("/shop/orders", {"limit": 0}, 400),
        ("/shop/orders", {"limit": 5000}, 400),
        ("/shop/orders", {"updated_since": "2026-03-01"}, 400),
        ("/shop/orders", {"cursor": "x"}, 400),
    ],
)
def test_bad_calls_are_refused(brand: Any, path: str, params: dict[str, Any], status: int) -> None:
    assert brand.ask("shop", "GET", path, **params).status == status
    assert brand.ask("shop", "GET", path, headers={}, **params).status == 401
