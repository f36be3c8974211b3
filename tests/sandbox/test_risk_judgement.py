"""The judgement of the risk head says what it is and finds the planted hazards' order."""

from roomtone.sandbox.risk_judgement import judge
from roomtone.score.model import Model
from roomtone.settings import load_settings


def test_a_small_brand_is_judged_by_the_rule_and_said_to_be_simulated() -> None:
    found = judge(Model.load(load_settings({}).model_dir), customers=250, days=28)
    assert found["is_simulated"] is True
    assert found["in_use"] == "risk-rule-1"
    assert "the declared rule stays" in found["decision"]
    assert found["head"] == found["rule"]
    assert found["rule"]["auc_upset"] > 0.8
    assert found["planted"]["calibration_error_planted"] == 0.0
    assert found["sends"] > found["sends_judged"] > 300
