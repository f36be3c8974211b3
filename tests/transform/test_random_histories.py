"""Random histories, one customer each, in one build: every cause and every second of every pause against the oracle."""

import hashlib
import itertools
import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from roomtone.settings import Settings, load_settings
from transform.histories import SCOPES, START, History, Row, at, build, fingerprints, query, write
from transform.oracle import Customer

SEED = 20260302
CUSTOMERS = 300
AS_OF = 1500.0
SPAN = 1600  # some of it after the pass
RELIEF = {"relief_sentiment": "positive", "relief_min_confidence": 0.8, "relief_after_hours": 12.0}


def publish(history: History) -> None:
    history.policy("upset", {"sentiment": "negative", "min_confidence": 0.8}, SCOPES, **RELIEF)
    # Three versions, published while causes last.
    for version, (least, cool_off, first, last) in enumerate(
        [(0.6, 12.0, None, 400), (0.9, 48.0, 400, 700), (0.7, 6.0, 700, None)], 1
    ):
        history.policy(
            "mild", {"sentiment": "negative", "min_confidence": least}, ("discount", "celebration"), version, tier=1,
            applies_from=first, applies_to=last, cool_off_hours=cool_off, max_days=6.0 + version,
            relief_sentiment="positive", relief_min_confidence=0.7, relief_after_hours=2.0,
        )  # fmt: skip


def live_through(chance: random.Random, history: History, customer_id: str) -> None:
    """One customer's life. Times are whole hours, so that ends, starts and reopenings often meet in one instant."""
    names = [f"{customer_id}-{letter}" for letter in "abc"[: chance.choice([1, 1, 2, 3])]]
    for name in names:
        opened = chance.randrange(SPAN - 200)
        hour, statuses = opened, [(opened, "new")]
        for _ in range(chance.randrange(6)):
            hour += chance.choice([1, 6, 12, 24, 25, 48, 120, 300])
            status = chance.choice(
                ["open", "pending", "solved", "solved", "solved", "closed", "hold", "deleted", "merged"]
            )
            if status == "merged":
                status = f"merged:{chance.choice(names)}"
            statuses.append((hour, status))
        if any(status.endswith(f":{name}") for _, status in statuses):
            statuses = [(hour, status) for hour, status in statuses if not status.endswith(f":{name}")]
        history.ticket(name, customer_id, *statuses)
        written = opened
        for number in range(chance.randrange(1, 9)):
            written += chance.choice([0, 0, 1, 2, 12, 24, 47, 48, 72, 144, 336])
            identity = {"message_id": f"{name}-{number}", "is_abstained": chance.random() < 0.05}
            for edited in (None, *([written + chance.choice([1, 5, 100])] if chance.random() < 0.15 else [])):
                history.message(
                    name, written, chance.choice(["negative", "negative", "positive", "neutral"]),
                    chance.choice([0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]), edited, **identity,
                )  # fmt: skip
    for _ in range(chance.choice([0, 0, 0, 1, 2, 3])):
        start = chance.randrange(SPAN)
        scopes = chance.choice([SCOPES, SCOPES, ("discount", "celebration"), ("sales",)])
        history.override(
            customer_id, chance.choice(["pause", "release"]), start, start + chance.choice([1, 24, 100, 700]), scopes
        )


def make(seed: int) -> History:
    chance = random.Random(seed)
    history = History()
    publish(history)
    for number in range(CUSTOMERS):
        history.customer(f"c{number}")
        live_through(chance, history, f"c{number}")
    for name in ("tickets", "messages", "customers"):
        history.tables[name] += chance.sample(history.tables[name], len(history.tables[name]) // 10)
    return history


def customers(history: History) -> Iterator[tuple[str, Customer]]:
    """The same histories as the oracle reads them: known versions only, in order."""
    scopes: dict[str, set[str]] = defaultdict(set)
    for row in history.tables["suppression_policy_scopes"]:
        scopes[row["policy_id"]].add(row["scope"])
    rules = [
        row
        | {
            "scopes": scopes[row["policy_id"]],
            "applies_from": row["applies_from"] or at(-1e5),
            "applies_to": row["applies_to"] or at(1e5),
        }
        for row in history.tables["suppression_policies"]
    ]
    by_policy = [[rule for rule in rules if rule["policy_id"] == name] for name in sorted(scopes)]
    known: dict[str, list[Row]] = {
        name: sorted(
            (row for row in history.tables[name] if row["version_at"] <= at(AS_OF)),
            key=lambda row: row["version_at"],
        )
        for name in ("tickets", "messages")
    }
    tickets: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in known["tickets"]:
        tickets[row["customer_id"]][row["id"]].append(row)
    scores = {(row["message_id"], row["body_hash"]): row for row in history.tables["message_scores"]}
    messages: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in known["messages"]:
        score = next(
            score
            for (name, _), score in scores.items()
            if name == row["id"] and score["body_hash"] == _md5(row["body"])
        )
        messages[row["ticket_id"].split("-")[0]][row["id"]] = row | score
    decisions: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in history.tables["overrides"]:
        if row["starts_at"] <= at(AS_OF):
            decision = decisions[row["customer_id"]].setdefault(row["override_id"], row | {"scopes": set()})
            decision["scopes"].add(row["scope"])
    for number in range(CUSTOMERS):
        name = f"c{number}"
        written = [row for row in messages[name].values() if row["created_at"] <= at(AS_OF)]
        yield name, Customer(tickets[name], written, list(decisions[name].values()), by_policy)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def history() -> History:
    return make(SEED)


@pytest.fixture(scope="module")
def built(history: History, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = load_settings({"ROOMTONE_HOME": str(tmp_path_factory.mktemp("random"))})
    write(settings, history, AS_OF)
    build(settings)
    return settings


def test_causes_are_the_oracles(built: Settings, history: History) -> None:
    found = defaultdict(set)
    for row in query(built, "select * from marts.fct_suppression_causes"):
        found[row["customer_id"]].add(
            (row["policy_id"], row["policy_version"], row["ticket_id"], row["started_at"], row["planned_end_at"])
        )
    count = 0
    for name, customer in customers(history):
        expected = {cause[:5] for cause in customer.causes()}
        assert found[name] == expected, f"seed {SEED}, customer {name}"
        count += len(expected)
    assert count > CUSTOMERS, "the histories are too tame to show anything"


def test_pauses_are_the_oracles_at_every_second(built: Settings, history: History) -> None:
    intervals: dict[tuple[str, str], list[tuple[datetime, datetime]]] = defaultdict(list)
    for row in query(built, "select * from marts.fct_suppressions order by valid_from"):
        intervals[row["customer_id"], row["scope"]].append((row["valid_from"], row["planned_end_at"]))
    second = timedelta(seconds=1)
    for name, customer in customers(history):
        paused = customer.paused()
        instants = {cause[3] for cause in customer.causes()} | {cause[4] for cause in customer.causes()}
        instants |= {row["starts_at"] for row in customer.overrides} | {row["ends_at"] for row in customer.overrides}
        for scope in SCOPES:
            mine = intervals[name, scope]
            assert all(earlier[1] < later[0] for earlier, later in itertools.pairwise(mine)), "touching intervals join"
            for instant in {moment for edge in instants for moment in (edge - second, edge)} | {at(AS_OF), START}:
                if instant > at(AS_OF) and not any(first <= at(AS_OF) and instant < last for first, last in mine):
                    continue  # what begins after the pass is not known yet
                is_paused = any(first <= instant < last for first, last in mine)
                assert is_paused == paused(scope, instant), f"seed {SEED}, {name}, {scope}, {instant}"


def test_order_of_arrival_and_repetition_change_nothing(built: Settings, history: History) -> None:
    before = fingerprints(built)
    build(built)
    assert fingerprints(built) == before
    write(built, history, AS_OF, shuffled=7)
    build(built)
    assert fingerprints(built) == before
