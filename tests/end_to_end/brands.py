"""Small brands written as `files` sources."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

T0 = datetime(2026, 3, 2, 9, tzinfo=UTC)

UPSET = (
    "My parcel hasn't moved for five days and nobody answers. It is my daughter's birthday tomorrow and her present is "
    "lost somewhere. I am really angry and disappointed. I need help immediately!"
)
MILD = (
    "Hi, the scarf is lovely but the green is a bit darker than on the site. Not a big deal, just wanted to mention it."
)
QUESTION = "Hello, could you tell me whether the blue mug is dishwasher safe? Thank you."


def at(hours: float = 0) -> str:
    """T0 plus hours as RFC 3339."""
    return (T0 + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")


def customer(key: str, **changes: object) -> dict:
    record = {
        "id": key,
        "email": f"{key}@example.com",
        "email_marketing_consent": True,
        "sms_marketing_consent": True,
        "created_at": at(-2000),
        "updated_at": at(-2000),
    }
    return record | changes


def ticket(key: str, owner: str, status: str, hours: float, opened: float | None = None, **changes: object) -> dict:
    record = {
        "id": key,
        "customer_id": owner,
        "channel": "email",
        "status": status,
        "created_at": at(hours if opened is None else opened),
        "updated_at": at(hours),
    }
    return record | changes


def message(key: str, of: str, body: str, hours: float, **changes: object) -> dict:
    record = {
        "id": key,
        "ticket_id": of,
        "author": "customer",
        "body": body,
        "is_public": True,
        "created_at": at(hours),
        "updated_at": at(hours),
    }
    return record | changes


def write(folder: Path, streams: Mapping[str, Iterable[dict]], name: str = "all") -> Path:
    """One JSON Lines file per stream under `folder`; returns the folder."""
    for stream, records in streams.items():
        (folder / stream).mkdir(parents=True, exist_ok=True)
        (folder / stream / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def story(folder: Path) -> Path:
    """Maya upset over a stalled gift, Tom mildly displeased, Ana asking: the main story in three tickets."""
    return write(
        folder,
        {
            "customers": [customer("maya"), customer("tom"), customer("ana")],
            "orders": [
                {
                    "id": "o1",
                    "customer_id": "maya",
                    "placed_at": at(-220),
                    "total": 64.5,
                    "currency": "EUR",
                    "status": "paid",
                    "updated_at": at(-220),
                }
            ],
            "shipments": [
                {
                    "id": "s1",
                    "order_id": "o1",
                    "shipped_at": at(-200),
                    "promised_at": at(-30),
                    "last_scan_at": at(-126),
                    "updated_at": at(-126),
                }
            ],
            "tickets": [
                ticket("t-maya", "maya", "new", 0, order_id="o1"),
                ticket("t-tom", "tom", "new", -2),
                ticket("t-ana", "ana", "new", -1),
            ],
            "messages": [
                message("m-maya", "t-maya", UPSET, 0),
                message("m-tom", "t-tom", MILD, -2),
                message("m-ana", "t-ana", QUESTION, -1),
            ],
        },
    )
