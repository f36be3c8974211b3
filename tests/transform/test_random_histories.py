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

from roomtone.settings import Settings, load_settings
from transform.histories import SCOPES, START, History, at, build, fingerprints, query, write
from transform.oracle import Cause, Customer
from transform.random_lives import AS_OF, customers, make, policies_known_at, second_before

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
    chance = random.Random(SEED)
    settings = load_settings({"ROOMTONE_HOME": str(tmp_path)})
    arrived = History()
    rows = [(name, row) for name in history.tables for row in history.tables[name]]
    chance.shuffle(rows)
    by_hand = {"suppression_policies", "suppression_policy_scopes", "overrides"}
    for sequence, as_of in enumerate((600.0, 1100.0, AS_OF), 1):
        # Each pass finds another third of the records, whatever their dates; people and policies write in order.
        rest = len(rows) if as_of == AS_OF else len(rows) * sequence // 3
        for name, row in rows[sum(map(len, arrived.tables.values())) : rest]:
            arrived.tables[name].append(row)
        now = policies_known_at(history, as_of)
        earlier = History()
        earlier.tables |= {name: arrived.tables[name] for name in history.tables if name not in by_hand}
        earlier.tables |= {name: now.tables[name] for name in by_hand}
        write(settings, earlier, as_of, shuffled=sequence, sequence=sequence)
        build(settings)
    assert fingerprints(settings) == marts
    build(settings)
    assert fingerprints(settings) == marts
