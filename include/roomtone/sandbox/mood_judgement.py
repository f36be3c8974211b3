"""`make bench-model`: every claim of the mood model, one JSON list with a row per claim: those of
`roomtone.score.benchmark`, and whether manners change an offer, which takes the whole path from record to trigger.
"""

import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from roomtone.errors import RoomtoneError
from roomtone.pipeline import run_once
from roomtone.score import benchmark, fairness
from roomtone.score.claims import Row
from roomtone.settings import Settings, load_settings
from roomtone.stores import warehouse

OFFERS = ("discount_code", "free_shipping")
MANNERS = ("polite", "rude")
_START = datetime(2026, 3, 2, tzinfo=UTC)
_SHIPPED, _SCANNED, _WROTE, _MOVED, _SOLVED, _JUDGED = 700, 744, 870, 890, 896, 945
_ELIGIBLE = """
select customer_id from marts.fct_recovery_triggers
where kind in (select unnest($kinds)) and status in ('due', 'held_out', 'sent', 'expired')
"""


def offer_row(settings: Settings, home: Path) -> Row:
    """The share of hand-written pairs that get the same in both manners: an offer with the fact, none without."""
    offered, count = offered_customers(settings, home), len(fairness.manners())
    alike = [
        all((f"{manner}-fact-{n}" in offered) and (f"{manner}-nothing-{n}" not in offered) for manner in MANNERS)
        for n in range(count)
    ]
    return Row("same facts in polite and rude words: same offers", "share of pairs", 1.0, sum(alike) / count)


def offered_customers(settings: Settings, home: Path) -> set[str]:
    """Customers who may have had an offer, of four for each pair: MANNER-fact-NUMBER and MANNER-nothing-NUMBER.

    Each writes one message to a ticket that is solved a day later; those with the fact have a parcel that stood still
    for five days. Their records go through one whole pass in the empty folder `home` with the model of `settings` and
    the shipped policies. Raises RoomtoneError when the pass fails.
    """
    streams: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for number, pair in enumerate(fairness.manners()):
        for manner, text in zip(MANNERS, pair, strict=True):
            for fact in ("fact", "nothing"):
                for stream, record in _records(f"{manner}-{fact}-{number}", text, has_fact=fact == "fact"):
                    streams[stream].append(record)
    for stream, records in streams.items():
        folder = home / "records" / stream
        folder.mkdir(parents=True)
        (folder / "all.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    plain = load_settings(
        {
            "ROOMTONE_HOME": str(home / "home"),
            "ROOMTONE_FILES_DIR": str(home / "records"),
            "ROOMTONE_SOURCES": "files",
            "ROOMTONE_DESTINATIONS": "files",
        }
    )
    plain = replace(plain, model_dir=settings.model_dir)
    report = run_once(plain, _START + timedelta(hours=_JUDGED))
    if report.failures:
        raise RoomtoneError("manners", report.failures[0], "run the pass again; its records are hand-written")
    with warehouse.connect(plain) as connection:
        return {row[0] for row in connection.execute(_ELIGIBLE, {"kinds": list(OFFERS)}).fetchall()}


def _records(customer: str, text: str, *, has_fact: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """(stream, record) of one customer's story."""

    def at(hours: float) -> str:
        return (_START + timedelta(hours=hours)).isoformat()

    yield (
        "customers",
        {
            "id": customer,
            "email": f"{customer}@example.com",
            "email_marketing_consent": True,
            "sms_marketing_consent": True,
            "created_at": at(0),
            "updated_at": at(0),
        },
    )
    if has_fact:
        order = {"id": f"{customer}-o", "customer_id": customer, "placed_at": at(_SHIPPED), "updated_at": at(_SHIPPED)}
        yield "orders", order | {"total": 50, "currency": "EUR", "status": "paid"}
        parcel = {"id": f"{customer}-s", "order_id": f"{customer}-o", "shipped_at": at(_SHIPPED)}
        yield "shipments", parcel | {"updated_at": at(_SHIPPED)}
        for scanned in (_SCANNED, _MOVED):
            yield "shipments", parcel | {"last_scan_at": at(scanned), "updated_at": at(scanned)}
    ticket = {"id": f"{customer}-t", "customer_id": customer, "channel": "email", "created_at": at(_WROTE)}
    yield "tickets", ticket | {"status": "new", "updated_at": at(_WROTE)}
    yield "tickets", ticket | {"status": "solved", "updated_at": at(_SOLVED)}
    message = {"id": f"{customer}-m", "ticket_id": f"{customer}-t", "author": "customer", "body": text}
    yield "messages", message | {"is_public": True, "created_at": at(_WROTE), "updated_at": at(_WROTE)}


if __name__ == "__main__":
    try:
        effective = load_settings()
        rows = benchmark.benchmark(effective)
        with tempfile.TemporaryDirectory() as place:
            rows.append(offer_row(effective, Path(place)))
        print(json.dumps([row.as_dict() for row in rows], indent=2))
    except RoomtoneError as error:
        sys.exit(f"bench-model: {error}")
