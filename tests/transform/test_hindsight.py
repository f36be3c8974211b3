"""Nothing after an instant influences what is decided for it: later records, and another model's later scores, are as
good as absent."""

from datetime import timedelta

import pytest

from roomtone.settings import Settings, load_settings
from transform.histories import History, at, build, fingerprints, query, write
from transform.random_lives import make, policies_known_at
from transform.test_executed_again import owe

NOW = 800.0
COUNT = 150
FACTS = ("customers", "tickets", "messages", "orders", "shipments", "marketing_events")


def up_to(history: History, instant: float) -> History:
    """The history as it had been recorded by then, its policies as they had been published."""
    earlier = policies_known_at(history, instant)
    for name in FACTS:
        earlier.tables[name] = [row for row in history.tables[name] if row["version_at"] <= at(instant)]
    earlier.tables["message_scores"] = [
        row for row in history.tables["message_scores"] if row["scored_at"] <= at(instant)
    ]
    earlier.tables["overrides"] = [row for row in history.tables["overrides"] if row["starts_at"] <= at(instant)]
    return earlier


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings({"ROOMTONE_HOME": str(tmp_path_factory.mktemp("hindsight"))})


def test_what_comes_after_an_instant_changes_nothing_that_is_decided_for_it(settings: Settings) -> None:
    history = make(9, COUNT)
    owe(history)
    write(settings, up_to(history, NOW), NOW)
    build(settings)
    then = fingerprints(settings)
    assert query(settings, "select count(*) as n from marts.fct_suppression_causes")[0]["n"] > COUNT
    whole = policies_known_at(history, NOW)
    whole.tables |= {name: history.tables[name] for name in history.tables if "polic" not in name}
    # A later model reads everything differently.
    whole.tables["message_scores"] = history.tables["message_scores"] + [
        row | {"model_version": "model-2", "scored_at": at(NOW) + timedelta(hours=1), "sentiment": "positive"}
        for row in history.tables["message_scores"]
    ]
    write(settings, whole, NOW)
    build(settings)
    hindsight = fingerprints(settings)
    # What every model said of a message is told side by side.
    assert {name for name in then if then[name] != hindsight[name]} <= {"fct_message_scores"}
    scores = "select * from marts.fct_message_scores where is_in_force"
    assert all(row["model_version"] == "model-1" for row in query(settings, scores))
