"""Random lives of many customers, and the same lives as the oracle reads them.

Times are whole hours, so that ends, starts, reopenings and merges often meet in one instant.
"""

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from roomtone.contract import SCOPES
from roomtone.transform.mirror import MIRRORED
from transform.histories import History, Row, at
from transform.oracle import Customer

AS_OF = 1500.0
SPAN = 1600  # some of it after the pass
RELIEF = {"relief_sentiment": "positive", "relief_min_confidence": 0.8, "relief_after_hours": 12.0}
SOFT = ("discount", "celebration")


def publish(history: History) -> None:
    """Rules of every kind; some with versions that are published while causes last, one that is retired."""
    history.policy("upset", {"sentiment": "negative", "min_confidence": 0.8}, SCOPES, **RELIEF)
    for version, (least, cool_off, first, last) in enumerate(
        [(0.6, 12.0, None, 400), (0.9, 48.0, 400, 700), (0.7, 6.0, 700, 760), (0.8, 24.0, 760, None)], 1
    ):
        history.policy(
            "mild", {"sentiment": "negative", "min_confidence": least}, SOFT, version, tier=1,
            applies_from=first, applies_to=last, cool_off_hours=cool_off, max_days=6.0 + version,
            relief_sentiment="positive", relief_min_confidence=0.7, relief_after_hours=2.0,
        )  # fmt: skip
    history.policy(
        "retired", {"sentiment": "neutral", "min_confidence": 0.7}, ("sms",), applies_to=900, cool_off_hours=0.0
    )
    for version, (days, first, last) in enumerate([(5.0, None, 600), (3.0, 600, None)], 1):
        history.policy(
            "stalled", {"fact": "shipment_stalled", "days": days}, ("upsell", "celebration"), version, tier=1,
            applies_from=first, applies_to=last, cool_off_hours=12.0, max_days=10.0,
        )  # fmt: skip
    history.policy("late", {"fact": "shipment_late", "days": 2.0}, ("upsell",), tier=1, cool_off_hours=12.0)
    history.policy("threat", {"fact": "threat"}, SCOPES, tier=3, cool_off_hours=72.0, max_days=21.0)
    history.policy(
        "repeat", {"fact": "repeat_contact", "count": 3, "days": 4.0}, ("review_request",), max_days=7.0, **RELIEF
    )
    history.policy("spam", {"fact": "marked_spam"}, ("sales",), cool_off_hours=240.0, max_days=30.0)
    history.policy("refund", {"fact": "refund"}, ("recommendation",), tier=1, cool_off_hours=48.0)


def make(seed: int, count: int) -> History:
    """`count` lives; some records came twice, some twice with contents that disagree."""
    chance = random.Random(seed)
    history = History()
    publish(history)
    for number in range(count):
        live_through(chance, history, f"c{number}", f"c{max(number - 1, 0)}")
    for name in ("tickets", "messages", "customers", "shipments"):
        history.tables[name] += chance.sample(history.tables[name], len(history.tables[name]) // 10)
    return history


def live_through(chance: random.Random, history: History, customer_id: str, neighbour: str) -> None:
    """One customer's life; a few are known by two ids, and a few tickets merge into the neighbour's."""
    ids = [customer_id]
    if chance.random() < 0.1:
        ids.append(f"{customer_id}-again")
    for hour, name in enumerate(ids):
        history.customer(name, f"{customer_id}@example.com", hour)
    names = [f"{customer_id}-{letter}" for letter in "abcd"[: chance.choice([1, 1, 1, 2, 2, 3, 4])]]
    for name in names:
        opened = _ticket(chance, history, name, chance.choice(ids), [*names, f"{neighbour}-a"])
        written = opened - chance.choice([0, 0, 0, 0, 3])
        for number in range(chance.randrange(1, 9)):
            written += chance.choice([0, 0, 0.5, 1, 2, 12, 24, 47, 48, 72, 144, 336])
            _message(chance, history, name, f"{name}-{number}", written)
    if chance.random() < 0.25:
        _parcel(chance, history, f"{customer_id}-parcel", chance.choice(ids))
    for _ in range(chance.choice([0, 0, 0, 0, 0, 1, 2])):
        history.marketing_event(chance.choice(ids), chance.randrange(SPAN), "marked_spam")
    for _ in range(chance.choice([0, 0, 0, 1, 2, 3])):
        start = chance.randrange(SPAN)
        scopes = chance.choice([SCOPES, SCOPES, SOFT, ("sales",)])
        action = chance.choice(["pause", "release"])
        history.override(chance.choice(ids), action, start, start + chance.choice([1, 24, 100, 700]), scopes)


def _ticket(chance: random.Random, history: History, name: str, customer_id: str, others: list[str]) -> int:
    opened = chance.randrange(SPAN - 200)
    # Some sources show a ticket only some hours after it was created.
    hour, statuses = opened + chance.choice([0, 0, 0, 2]), []
    status = "new"
    for _ in range(chance.randrange(1, 7)):
        statuses.append((hour, status))
        hour += chance.choice([1, 6, 12, 24, 25, 48, 120, 300])
        status = chance.choice(["open", "pending", "solved", "solved", "solved", "closed", "hold", "deleted", "merged"])
        if status == "merged":
            status = f"merged:{chance.choice([*others, *others, 'nobody'])}"
    history.ticket(name, customer_id, *statuses, created=opened)
    if chance.random() < 0.1:
        # Two records with one id and one instant that disagree.
        history.ticket(name, customer_id, (chance.choice(statuses)[0], "open"), created=opened, subject="again")
    return opened


def _message(chance: random.Random, history: History, ticket: str, message_id: str, written: float) -> None:
    score: Row = {"is_abstained": chance.random() < 0.05}
    if chance.random() < 0.04:
        score["cues"] = '{"threat": 0.8}'
    for edited in (None, *([written + chance.choice([1, 5, 100])] if chance.random() < 0.15 else [])):
        history.message(
            ticket, written, chance.choice(["negative", "negative", "positive", "neutral"]),
            chance.choice([0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]), edited, message_id=message_id, **score,
        )  # fmt: skip


def _parcel(chance: random.Random, history: History, name: str, customer_id: str) -> None:
    shipped = hour = chance.randrange(SPAN - 400)
    scans = []
    for _ in range(chance.randrange(5)):
        hour += chance.choice([12, 24, 71, 72, 73, 120, 121, 240])
        scans.append(hour)
    dates: dict[str, float] = {"promised": shipped + chance.choice([48, 72, 200])} if chance.random() < 0.7 else {}
    if chance.random() < 0.6:
        dates["delivered"] = hour + chance.choice([1, 24, 120, 150])
    history.shipment(name, customer_id, shipped, *scans, **dates)
    if chance.random() < 0.2:
        history.order(f"order-of-{name}", customer_id, hour + 30, refunded=20)


def known(rows: list[Row]) -> list[Row]:
    """The versions that exist as of the pass, one for each instant, oldest first."""
    chosen: dict[tuple[str, datetime], Row] = {}
    for row in rows:
        if row["version_at"] <= at(AS_OF):
            rival = chosen.get((row["id"], row["version_at"]))
            if rival is None or rival["record_hash"] < row["record_hash"]:
                chosen[row["id"], row["version_at"]] = row
    return sorted(chosen.values(), key=lambda row: row["version_at"])


def customers(history: History, count: int) -> Iterator[tuple[str, Customer]]:
    """The same lives as the oracle reads them."""
    tickets: dict[str, list[Row]] = defaultdict(list)
    for row in known(history.tables["tickets"]):
        tickets[row["id"]].append(
            row | {"merged_into": row["merged_into"] if row["merged_into"] != row["id"] else None}
        )
    own: dict[str, list[str]] = defaultdict(list)
    for name, versions in tickets.items():
        own[_person(versions[-1]["customer_id"])].append(name)
    scores = {(row["message_id"], row["body_hash"]): row for row in history.tables["message_scores"]}
    messages: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in known(history.tables["messages"]):
        score = scores[row["id"], hashlib.md5(row["body"].encode()).hexdigest()]
        has_threat = "0.8" in score["cues"]
        messages[row["ticket_id"].split("-")[0]][row["id"]] = row | score | {"has_threat": has_threat}
    decisions: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in history.tables["overrides"]:
        if row["starts_at"] <= at(AS_OF):
            decision = decisions[_person(row["customer_id"])].setdefault(row["override_id"], row | {"scopes": set()})
            decision["scopes"].add(row["scope"])
    periods = _periods(history)
    rules = _rules(history)
    for number in range(count):
        name = f"c{number}"
        written = [row for row in messages[name].values() if row["created_at"] <= at(AS_OF)]
        yield (
            name,
            Customer(own[name], tickets, written, list(decisions[name].values()), rules, at(AS_OF), periods[name]),
        )


def _person(customer_id: str) -> str:
    return customer_id.removesuffix("-again")


def _rules(history: History) -> list[list[Row]]:
    scopes: dict[str, set[str]] = defaultdict(set)
    for row in history.tables["suppression_policy_scopes"]:
        scopes[row["policy_id"]].add(row["scope"])
    rules: dict[str, list[Row]] = defaultdict(list)
    for row in history.tables["suppression_policies"]:
        rules[row["policy_id"]].append(
            dict.fromkeys(MIRRORED["suppression_policies"].names)
            | row
            | {
                "scopes": scopes[row["policy_id"]],
                "applies_from": row["applies_from"] or at(-1e5),
                "applies_to": row["applies_to"] or at(1e5),
            }
        )
    return list(rules.values())


def _periods(history: History) -> dict[str, dict[tuple[str, str], list[tuple[datetime, datetime | None]]]]:
    """By customer and (fact, subject): when a parcel stood still or was late, money went back, spam was marked."""
    found: dict[str, dict[tuple[str, str], list[tuple[datetime, datetime | None]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    orders = {row["id"]: row for row in known(history.tables["orders"])}
    parcels: dict[str, list[Row]] = defaultdict(list)
    for row in known(history.tables["shipments"]):
        parcels[row["id"]].append(row)
    for name, versions in parcels.items():
        latest = versions[-1]
        person = found[_person(orders[latest["order_id"]]["customer_id"])]
        over = latest["delivered_at"]
        scans = {row["last_scan_at"] for row in versions} | {latest["shipped_at"], over}
        moved = sorted(scan for scan in scans if scan is not None and scan <= at(AS_OF))
        person["shipment_stalled", name] = [
            (scan, following)
            for scan, following in zip(moved, [*moved[1:], None], strict=True)
            if over is None or scan < over
        ]
        promised = latest["promised_at"]
        if promised and promised <= at(AS_OF) and (over is None or promised < over):
            person["shipment_late", name] = [(promised, over)]
    refunded: dict[str, datetime] = {}
    for row in known(history.tables["orders"]):
        if row["refunded_amount"]:
            refunded.setdefault(row["id"], row["version_at"])
    for name, instant in refunded.items():
        found[_person(orders[name]["customer_id"])]["refund", name] = [(instant, instant)]
    for row in known(history.tables["marketing_events"]):
        person = _person(row["customer_id"])
        found[person]["marked_spam", person].append((row["occurred_at"], row["occurred_at"]))
    return found


def policies_known_at(history: History, instant: float) -> History:
    """The same history with the policies that a pass at an earlier instant finds: later versions are unpublished."""
    earlier = History()
    earlier.tables |= history.tables
    rows = [
        row | {"applies_to": row["applies_to"] if row["applies_to"] and row["applies_to"] <= at(instant) else None}
        for row in history.tables["suppression_policies"]
        if row["applies_from"] is None or row["applies_from"] <= at(instant)
    ]
    versions = {(row["policy_id"], row["policy_version"]) for row in rows}
    earlier.tables["suppression_policies"] = rows
    earlier.tables["suppression_policy_scopes"] = [
        row
        for row in history.tables["suppression_policy_scopes"]
        if (row["policy_id"], row["policy_version"]) in versions
    ]
    return earlier


def second_before(instant: datetime) -> datetime:
    return instant - timedelta(seconds=1)
