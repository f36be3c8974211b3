"""The risk head in the warehouse: it learns from the brand's own sends and writes each customer's chance."""

from datetime import UTC
from random import Random

from roomtone.score import risk, risk_table
from roomtone.settings import Settings
from roomtone.stores import warehouse
from transform.histories import History, at, write

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


def test_the_brands_own_sends_teach_and_every_customer_gets_a_chance(settings: Settings) -> None:
    write(settings, brand(400, 5), AS_OF)
    instant = at(AS_OF).replace(tzinfo=UTC)
    learned = risk_table.learn(settings, instant)
    assert learned.count_sends == 2000
    assert learned.head.trees is not None, learned.line
    learned.head.save(risk_table.head_folder(settings))
    with warehouse.connect(settings) as connection:
        assert risk_table.refresh(settings, connection, at(420).replace(tzinfo=UTC)) == 400
        assert risk_table.refresh(settings, connection, at(420).replace(tzinfo=UTC)) == 400
        rows = connection.execute("select customer_id, risk, risk_version from raw.customer_risks").fetchall()
    assert {row[2] for row in rows} == {learned.head.version}
    buyers = [row[1] for row in rows if int(row[0][1:]) % 5 == 0]
    others = [row[1] for row in rows if int(row[0][1:]) % 5]
    assert min(buyers) > max(others)
    assert 0.1 < sum(buyers) / len(buyers) < 0.4
    assert sum(others) / len(others) < 0.03


def test_sends_whose_week_has_not_passed_teach_nothing(settings: Settings) -> None:
    write(settings, brand(20, 1), 330)
    assert risk_table.learn(settings, at(330).replace(tzinfo=UTC)).count_sends == 0
