"""The risk head: features as of the send, a declared rule, trees that take over only when they win."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from roomtone.errors import RoomtoneError
from roomtone.score import risk
from roomtone.score.risk_features import FEATURES, SCHEMAS, Facts, describe

START = datetime(2026, 3, 2)  # noqa: DTZ001 -- the warehouse holds UTC without zone


def at(days: float) -> datetime:
    return START + timedelta(days=days)


def table(name: str, *rows: tuple) -> pa.Table:
    schema = SCHEMAS[name]
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)


HISTORY = {
    "messages": table(
        "messages", ("ann", "t", at(1), 0.2, 0.0), ("ann", "t", at(8), 0.9, 0.6), ("bob", "u", at(2), 0.1, 0.0)
    ),
    "replies": table("replies", ("t", at(3))),
    "tickets": table("tickets", ("ann", at(1), None), ("bob", at(2), at(4))),
    "orders": table("orders", ("ann", at(0), 99.0), ("ann", at(20), 1.0)),
    "shipments": table("shipments", ("ann", at(5), at(9)), ("bob", at(5), None)),
    "promotions": table("promotions", ("ann", at(2), "sent"), ("ann", at(2.1), "opened"), ("ann", at(10), "sent")),
}


def row(customer: str, day: float, history: dict[str, pa.Table] = HISTORY) -> dict[str, float]:
    moments = table("moments", (customer, at(day)))
    return dict(zip(FEATURES, describe(moments, Facts.of(history))[0].tolist(), strict=True))


def test_features_say_what_was_known_at_the_instant() -> None:
    found = row("ann", 9)
    assert found["tone_worst_14d"] == found["tone_last_30d"] == 0.9
    assert found["tone_mean_30d"] == pytest.approx(0.55)
    assert found["threat_30d"] == 0.6
    assert (found["contacts_7d"], found["contacts_30d"]) == (1, 2)
    assert found["days_since_contact"] == pytest.approx(1.0)
    assert found["open_tickets"] == 1
    assert found["unanswered_hours"] == pytest.approx(24.0)
    assert (found["orders_count"], found["value_log"]) == (1, pytest.approx(np.log(100)))
    assert found["late_shipments"] == 1
    assert (found["promotions_7d"], found["promotions_30d"]) == (1, 1)
    assert found["opened_share_90d"] == 1.0


def test_a_customer_of_whom_nothing_is_known_has_a_row() -> None:
    found = row("zoe", 9)
    assert found["days_since_contact"] == found["days_since_order"] == found["days_since_promotion"] == 90.0
    assert sum(found.values()) == 270.0


@pytest.mark.parametrize("day", [1.0, 2.0, 5.5, 8.0, 10.0, 20.0])
def test_nothing_at_or_after_the_instant_is_seen(day: float) -> None:
    before = {}
    for name, rows in HISTORY.items():
        instant = {"tickets": "live_from", "shipments": "promised_at"}.get(name, "occurred_at")
        kept = [dict(values) for values in rows.to_pylist() if values[instant] < at(day)]
        for values in kept:
            for end in ("live_to", "delivered_at"):
                if values.get(end) is not None and values[end] >= at(day):
                    values[end] = None
        before[name] = pa.Table.from_pylist(kept, SCHEMAS[name])
    for customer in ("ann", "bob"):
        assert row(customer, day, before) == row(customer, day)


def planted(count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray]:
    """Sends whose chance depends on the tone in a way that the rule does not know; outcomes; customers; the chances."""
    chance = np.random.default_rng(seed)
    columns = np.zeros((count, len(FEATURES)))
    columns[:, FEATURES.index("tone_worst_14d")] = chance.random(count)
    columns[:, FEATURES.index("orders_count")] = chance.integers(0, 6, count)
    truth = np.where(columns[:, FEATURES.index("orders_count")] >= 4, 0.20, 0.01)
    return columns, chance.random(count) < truth, [f"c{number % (count // 4)}" for number in range(count)], truth


def test_without_outcomes_the_declared_rule_answers() -> None:
    columns, _, customers, _ = planted(100)
    learned = risk.learn(columns, np.zeros(100, np.bool_), customers)
    assert learned.head.version == risk.RULE_VERSION
    assert "fewer than 60: the declared rule stays" in learned.line
    assert learned.head.apply(columns).tolist() == risk.by_rule(columns).tolist()


def test_the_rule_rises_with_each_of_its_features_and_stays_a_chance() -> None:
    calm = np.zeros((1, len(FEATURES)))
    for name in risk.RULE:
        upset = calm.copy()
        upset[0, FEATURES.index(name)] = 1.0
        assert risk.by_rule(upset)[0] > risk.by_rule(calm)[0]
    assert 0.001 < risk.by_rule(calm)[0] < 0.01
    assert risk.by_rule(np.full((1, len(FEATURES)), 100.0))[0] < 1


def test_trees_take_over_when_they_know_better_and_are_calibrated(tmp_path: Path) -> None:
    learned = risk.learn(*planted(6000)[:3])
    assert learned.head.trees is not None
    assert learned.loss_trees < learned.loss_rule
    columns, _, _, truth = planted(4000, seed=2)
    chances = learned.head.apply(columns)
    for low, high in ((0.0, 0.05), (0.05, 1.0)):
        inside = (chances >= low) & (chances < high)
        assert chances[inside].mean() == pytest.approx(truth[inside].mean(), abs=0.02)
    learned.head.save(tmp_path)
    assert risk.RiskHead.load(tmp_path).apply(columns) == pytest.approx(chances, abs=1e-5)
    again = risk.learn(*planted(6000)[:3])
    assert again.head.trees_text == learned.head.trees_text


def test_trees_that_learn_noise_are_refused() -> None:
    columns, _, customers, _ = planted(3000)
    chance = np.random.default_rng(3)
    columns = chance.normal(size=columns.shape)
    learned = risk.learn(columns, chance.random(3000) < 0.03, customers)
    assert learned.head.trees is None
    assert learned.line.endswith("the declared rule stays")


def test_a_damaged_head_is_refused_in_one_line(tmp_path: Path) -> None:
    risk.learn(*planted(6000)[:3]).head.save(tmp_path)
    text = (tmp_path / risk.TREES).read_text()
    for damage in (text[: len(text) // 2], text.replace("num_leaves=7", "num_leaves=6", 1)):
        (tmp_path / risk.TREES).write_text(damage)
        with pytest.raises(RoomtoneError, match="is damaged or of another version; train it again"):
            risk.RiskHead.load(tmp_path)


def test_no_head_yet_is_the_rule(tmp_path: Path) -> None:
    assert risk.RiskHead.load(tmp_path / "none").version == risk.RULE_VERSION
