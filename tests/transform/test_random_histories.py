"""Random histories, one customer each, in one build: every cause and every second of every pause against the oracle.

`ROOMTONE_TEST_HISTORIES` asks for more of them, `ROOMTONE_TEST_SEED` for others.
"""

import itertools
import os
import random
from collections import defaultdict
from datetime import datetime
from pathlib import Path

import pytest

from roomtone.contract import STREAMS
from roomtone.settings import Settings, load_settings
from transform.histories import SCOPES, START, History, Row, at, build, fingerprints, query, take_in, write
from transform.oracle import Cause, Customer
from transform.random_lives import AS_OF, customers, make, second_before

SEED = int(os.environ.get("ROOMTONE_TEST_SEED", "20260302"))
CUSTOMERS = int(os.environ.get("ROOMTONE_TEST_HISTORIES", "2000"))


@pytest.fixture(scope="module")
def history() -> History:
    return make(SEED, CUSTOMERS)


@pytest.fixture(scope="module")
def people(history: History) -> dict[str, tuple[Customer, list[Cause]]]:
    return {name: (customer, list(customer.causes())) for name, customer in customers(history, CUSTOMERS)}


@pytest.fixture(scope="module")
def built(history: History, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = load_settings({"ROOMTONE_HOME": str(tmp_path_factory.mktemp("random"))})
    write(settings, history, AS_OF)
    build(settings)
    return settings


@pytest.fixture(scope="module")
def marts(built: Settings) -> dict[str, str]:
    """The fingerprints of the marts as the first build left them."""
    return fingerprints(built)


def test_causes_are_the_oracles(built: Settings, people: dict[str, tuple[Customer, list[Cause]]]) -> None:
    found = defaultdict(set)
    for row in query(built, "select * from marts.fct_suppression_causes"):
        found[row["customer_id"]].add(
            (row["policy_id"], row["policy_version"], row["subject_id"], row["started_at"], row["planned_end_at"])
        )
    by_rule: dict[str, int] = defaultdict(int)
    for name, (_, causes) in people.items():
        assert found[name] == {cause[:5] for cause in causes}, f"seed {SEED}, customer {name}"
        for cause in causes:
            by_rule[f"{cause[0]} version {cause[1]}"] += 1
    assert sum(map(len, found.values())) == sum(by_rule.values())
    # Every version of every rule has decided something, or the histories are too tame to show anything.
    assert len(by_rule) == 13
    assert min(by_rule.values()) >= CUSTOMERS // 200


def test_pauses_are_the_oracles_at_every_second(
    built: Settings, people: dict[str, tuple[Customer, list[Cause]]]
) -> None:
    intervals: dict[tuple[str, str], list[tuple[datetime, datetime]]] = defaultdict(list)
    for row in query(built, "select * from marts.fct_suppressions order by valid_from"):
        intervals[row["customer_id"], row["scope"]].append((row["valid_from"], row["planned_end_at"]))
    for name, (customer, causes) in people.items():
        paused = customer.paused()
        instants = {instant for cause in causes for instant in cause[3:5]}
        instants |= {row[edge] for row in customer.overrides for edge in ("starts_at", "ends_at")}
        # Between two edges nothing changes, so these are all the seconds there are.
        looked_at = {moment for edge in instants for moment in (second_before(edge), edge)} | {at(AS_OF), START}
        for scope in SCOPES:
            mine = intervals[name, scope]
            assert all(earlier[1] < later[0] for earlier, later in itertools.pairwise(mine)), "touching intervals join"
            for instant in looked_at:
                if instant > at(AS_OF) and not any(first <= at(AS_OF) and instant < last for first, last in mine):
                    continue  # what begins after the pass is not known yet
                is_paused = any(first <= instant < last for first, last in mine)
                assert is_paused == paused(scope, instant), f"seed {SEED}, {name}, {scope}, {instant}"


def test_any_order_any_batches_and_any_repetition_give_the_same_marts(
    history: History, marts: dict[str, str], tmp_path: Path
) -> None:
    settings = load_settings({"ROOMTONE_HOME": str(tmp_path)})
    streams = [name for name in history.tables if name in STREAMS or name == "message_scores"]
    rows = [(name, row) for name in streams for row in history.tables[name]]
    random.Random(SEED).shuffle(rows)
    # The policies are published by then, or the pass that finds new ones computes everybody anyway.
    instants = (1000.0, 1000.5, 1250.0, AS_OF)
    size = len(rows) // 50
    edges = [0, len(rows) - 3 * size, len(rows) - 2 * size, len(rows) - size, len(rows)]
    for sequence, (as_of, (first, last)) in enumerate(zip(instants, itertools.pairwise(edges), strict=True), 1):
        arrived: dict[str, list[Row]] = defaultdict(list)
        for name, row in rows[first:last]:
            arrived[name].append(row)
        mirrored = {name: history.tables[name] for name in history.tables if name not in streams}
        mirrored["overrides"] = [row for row in mirrored["overrides"] if row["starts_at"] <= at(as_of)]
        scope = take_in(settings, arrived, mirrored, as_of, sequence)
        assert scope.is_whole == (sequence == 1), scope.whole_because
    # After passes over the touched the marts are those of one pass over everything, and stay so when it is repeated.
    assert fingerprints(settings) == marts
    take_in(settings, {}, mirrored, AS_OF, sequence + 1)
    assert fingerprints(settings) == marts
