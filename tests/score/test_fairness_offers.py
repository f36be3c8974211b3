"""Who writes rudely gets no more and no less than who writes politely: offers hang on facts and on a closed ticket.

Each pair of hand-written messages goes through the shipped model, the shipped policies and the whole dbt project.
"""

import hashlib
from collections import defaultdict
from datetime import UTC, timedelta

import pyarrow as pa
import pytest

from roomtone.policies.publish import publish
from roomtone.score import fairness
from roomtone.score.model import Model
from roomtone.settings import Settings, load_settings
from roomtone.stores import warehouse
from roomtone.stores.operational import OperationalStore
from roomtone.transform.mirror import mirror
from transform.histories import History, at, build, current_pass, query, write

AS_OF = 945.0


def written(history: History, model: Model, customer: str, text: str, has_fact: bool) -> None:
    """One who writes at 870 and whose ticket is solved at 896; with the fact, a parcel stands still from 864 to 890."""
    history.customer(customer, f"{customer}@example.com")
    if has_fact:
        history.shipment(f"{customer}-s", customer, 700, 744, 890)
    history.ticket(f"{customer}-t", customer, (870, "new"), (896, "solved"))
    history.message(f"{customer}-t", 870)
    message, score = history.tables["messages"][-1], history.tables["message_scores"][-1]
    message["body"] = text
    answer = model.score(pa.table({"id": [message["id"]], "text": [text]})).to_pylist()[0]
    score |= answer | {"body_hash": hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}


@pytest.fixture(scope="module")
def offers(model: Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The offers that each customer may have had: due at some instant up to AS_OF, not held back by a rule."""
    settings = load_settings({"ROOMTONE_HOME": str(tmp_path_factory.mktemp("fair") / "home")})
    found: dict[str, set[str]] = defaultdict(set)
    history = History()
    for number, pair in enumerate(fairness.manners()):
        for manner, text in zip(("polite", "rude"), pair, strict=True):
            for fact in ("fact", "nothing"):
                written(history, model, f"{manner}-{fact}-{number}", text, has_fact=fact == "fact")
    write(settings, history, AS_OF)
    _shipped_policies(settings)
    build(settings)
    sql = (
        "select customer_id, kind from marts.fct_recovery_triggers"
        " where kind in ('discount_code', 'free_shipping') and status in ('due', 'held_out', 'sent', 'expired')"
    )
    for row in query(settings, sql):
        found[row["customer_id"]].add(row["kind"])
    return found


def _shipped_policies(settings: Settings) -> None:
    store = OperationalStore(settings)
    publish(settings, store, at(0).replace(tzinfo=UTC) - timedelta(days=1))
    with warehouse.connect(settings) as connection:
        mirror(settings, connection, store, current_pass(AS_OF))
    store.close()


def test_manners_change_no_offer(offers: dict[str, set[str]]) -> None:
    count = len(fairness.manners())
    eligible = {manner: [bool(offers[f"{manner}-fact-{n}"]) for n in range(count)] for manner in ("polite", "rude")}
    assert eligible["polite"] == eligible["rude"] == [True] * count


def test_nobody_is_paid_for_anger_alone(offers: dict[str, set[str]]) -> None:
    assert not [customer for customer, kinds in offers.items() if "-nothing-" in customer and kinds]
