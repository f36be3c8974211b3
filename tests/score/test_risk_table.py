"""The risk head in the warehouse: it learns from the brand's own sends and writes each customer's chance."""

from datetime import UTC
from pathlib import Path
from random import Random

from roomtone import status
from roomtone.score import risk, risk_table
from roomtone.settings import PROJECT_ROOT, Settings
from roomtone.stores import warehouse
from roomtone.stores.loading import load_landed
from transform.histories import History, Row, at, query, write

AS_OF = 24.0 * 40


def brand(customers: int, sends: int, seed: int = 1) -> History:
    """Customers of whom one in five buys much; this brand's buyers leave at every fourth promotion, others hardly ever:
    what the declared rule cannot know.
    """
    chance = Random(seed)
    history = History()
    for number in range(customers):
        name, is_buyer = f"c{number}", number % 5 == 0
        history.customer(name, f"{name}@example.com")
        for order in range(3 if is_buyer else 0):
            history.order(f"{name}-o{order}", name, 200.0 + order)
        for send in range(sends):
            hour = 320.0 + 20 * send
            event = {"customer_id": name, "campaign_id": f"campaign-{send}"}
            history._version("marketing_events", at(hour), id=f"{name}-s{send}", type="sent", **event)
            if chance.random() < (0.25 if is_buyer else 0.005):
                history._version("marketing_events", at(hour + 3), id=f"{name}-u{send}", type="unsubscribed", **event)
    return history


def test_a_brand_without_outcomes_goes_by_the_rule(settings: Settings) -> None:
    write(settings, brand(20, 1), AS_OF)
    learned = risk_table.learn(settings, at(AS_OF).replace(tzinfo=UTC))
    assert learned.count_sends == 20
    assert learned.head.version == risk.RULE_VERSION


def weighed(settings: Settings) -> dict[str, Row]:
    """What a pass would load."""
    with warehouse.connect(settings) as connection:
        load_landed(settings, connection)
    rows = query(settings, "select * from raw.customer_risks order by as_of")
    return {row["customer_id"]: row for row in rows}


def test_the_brands_own_sends_teach_and_every_customer_gets_a_chance(settings: Settings) -> None:
    write(settings, brand(400, 5), AS_OF)
    learned = risk_table.learn(settings, at(AS_OF).replace(tzinfo=UTC))
    assert learned.count_sends == 2000
    assert learned.head.trees is not None, learned.line
    line = risk_table.learn_anew(settings, at(AS_OF).replace(tzinfo=UTC))
    assert line == learned.line
    assert status.risk_decision(settings) == f"{learned.head.version}: {line}"
    report = risk_table.refresh(settings, at(420).replace(tzinfo=UTC))
    assert (report.count_weighed, report.count_changed, report.risk_version) == (400, 400, learned.head.version)
    rows = weighed(settings)
    assert {row["risk_version"] for row in rows.values()} == {learned.head.version}
    buyers = [row["risk"] for row in rows.values() if int(row["customer_id"][1:]) % 5 == 0]
    others = [row["risk"] for row in rows.values() if int(row["customer_id"][1:]) % 5]
    assert min(buyers) > max(others)
    assert 0.1 < sum(buyers) / len(buyers) < 0.4
    assert sum(others) / len(others) < 0.03


def test_only_a_chance_that_changed_is_written_again(settings: Settings) -> None:
    history = History()
    for name in ("ann", "bob"):
        history.customer(name, f"{name}@example.com")
        history.ticket(f"{name}-t", name, (1, "new"), (2, "solved"))
    history.message("ann-t", 100)
    write(settings, history, 200)
    at_first = risk_table.refresh(settings, at(50).replace(tzinfo=UTC))
    assert (at_first.count_weighed, at_first.count_changed) == (2, 2)
    assert {name: row["risk"] for name, row in weighed(settings).items()} == {"ann": 0.005, "bob": 0.005}
    later = risk_table.refresh(settings, at(200).replace(tzinfo=UTC))
    assert (later.count_weighed, later.count_changed) == (2, 1)
    rows = weighed(settings)
    assert rows["ann"]["as_of"] == at(200)
    assert 0.03 < rows["ann"]["risk"] < 0.06
    assert rows["bob"]["as_of"] == at(50)
    again = risk_table.refresh(settings, at(200).replace(tzinfo=UTC))
    assert again.count_changed == 0


def test_the_hourly_task_learns_once_a_day(settings: Settings) -> None:
    write(settings, brand(20, 1), AS_OF)
    assert "has not run yet" in status.risk_decision(settings)
    assert risk_table.weigh(settings, at(AS_OF).replace(tzinfo=UTC)).risk_version == risk.RULE_VERSION
    decision = settings.risk_dir / risk_table.DECISION
    assert status.risk_decision(settings).startswith(f"{risk.RULE_VERSION}: 2 of 20 sends ended badly, fewer than 60")
    decision.unlink()
    risk_table.weigh(settings, at(AS_OF).replace(tzinfo=UTC))
    assert not decision.exists()


def test_a_head_that_no_longer_wins_goes(settings: Settings) -> None:
    write(settings, brand(400, 5), AS_OF)
    instant = at(AS_OF).replace(tzinfo=UTC)
    risk_table.learn_anew(settings, instant)
    assert risk_table.head_in_use(settings).trees is not None
    write(settings, brand(20, 1), AS_OF)
    risk_table.learn_anew(settings, instant)
    assert risk_table.head_in_use(settings).version == risk.RULE_VERSION


def test_the_project_states_the_rule_as_it_is_declared() -> None:
    text = (PROJECT_ROOT / "dbt_project" / "dbt_project.yml").read_text(encoding="utf-8")
    for name, value in (
        ("risk_rule_version", risk.RULE_VERSION),
        ("risk_base_log_odds", risk.BASE_LOG_ODDS),
        ("risk_tone_weight", risk.RULE["tone_worst_14d"]),
        ("risk_tone_days", 14),
    ):
        assert f"  {name}: {value}\n" in text


def test_sends_whose_week_has_not_passed_teach_nothing(settings: Settings) -> None:
    write(settings, brand(20, 1), 330)
    assert risk_table.learn(settings, at(330).replace(tzinfo=UTC)).count_sends == 0


def test_a_damaged_head_leaves_the_rule(settings: Settings) -> None:
    write(settings, brand(5, 1), AS_OF)
    settings.risk_dir.mkdir(parents=True)
    (settings.risk_dir / risk.FILE).write_text("{")
    assert risk_table.refresh(settings, at(AS_OF).replace(tzinfo=UTC)).count_weighed == 5
    assert {row["risk_version"] for row in weighed(settings).values()} == {risk.RULE_VERSION}


def test_the_command_says_what_won(settings: Settings, tmp_path: Path) -> None:
    write(settings, brand(400, 5), AS_OF)
    line = risk_table.train(settings, tmp_path / "risk", at(AS_OF).replace(tzinfo=UTC))
    assert "the trees take over; written to" in line
    assert risk.RiskHead.load(tmp_path / "risk").trees is not None
