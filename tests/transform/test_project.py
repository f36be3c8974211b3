"""The dbt project as a text: contract columns, descriptions, grains, portable SQL, layers, the page made from it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from roomtone.settings import PROJECT_ROOT
from roomtone.transform.marts_page import PAGE, render
from roomtone.transform.touched import KEPT_BETWEEN_PASSES

PROJECT = PROJECT_ROOT / "dbt_project"
MODELS = sorted((PROJECT / "models").rglob("*.sql"))
# Staging models that a pass over the touched does not narrow.
WHOLE_IN_EVERY_PASS = {
    "stg_current_pass",
    "stg_campaigns",
    "stg_suppression_policies",
    "stg_suppression_policy_scopes",
    "stg_recovery_policies",
    "stg_routing_policies",
    "stg_routing_queues",
    "stg_trigger_outcomes",
    "stg_routing_outcomes",
}
PREFIXES = {
    "staging": ("stg_",),
    "intermediate": ("int_",),
    "marts": ("dim_", "fct_", "rpt_"),
    "activations": ("sync_",),
}

# Contract section 4: these columns come first, in this order.
CONTRACT = {
    "dim_customers": "customer_id first_seen_at orders_count lifetime_value has_email_consent has_sms_consent",
    "dim_customer_states": "customer_id state tier since_at reasons churn_risk model_version policy_version",
    "fct_customer_state_changes": "customer_id state tier valid_from valid_to",
    "fct_message_scores": """
        message_id ticket_id customer_id p_negative p_neutral p_positive sentiment confidence is_abstained
        urgency urgency_score intent intent_confidence cues repeat_count language model_version top_reasons
    """,
    "fct_tickets": """
        ticket_id customer_id status tier priority_score queue first_reply_time_minutes
        final_resolution_minutes count_reopens count_reassignments sla_due_at
    """,
    "fct_suppression_causes": """
        cause_id customer_id policy_id policy_version ticket_id shipment_id tier scopes started_at ended_at
        planned_end_at end_reason evidence_message_id
    """,
    "fct_suppressions": "customer_id scope valid_from valid_to planned_end_at tier cause_ids",
    "fct_recovery_triggers": """
        trigger_id customer_id kind message_class cause_id shipment_id due_at expires_at status
        status_reason
    """,
    "fct_decisions": """
        decision_id customer_id action reason_codes evidence policy_id policy_version model_version
        inputs_hash decided_at
    """,
    "fct_pause_latency": """
        message_created_at received_at scored_at decided_at pushed_at effective_at minutes
    """,
    "fct_tone_deaf_sends": """
        marketing_event_id customer_id campaign_id scope sent_at minutes_after_cause why
    """,
    "sync_suppression_segment": "customer_id scope since_at until_at",
    "sync_ticket_routing": "ticket_id source priority queue tags",
    "sync_recovery_events": "trigger_id customer_id email kind message_class due_at expires_at payload",
}

FORBIDDEN = {
    r"dbt\.(dateadd|datediff|listagg|type_float)": "gave other rows on other engines with all tests green",
    r"\bqualify\b": "not in PostgreSQL",
    r"\bfilter\s*\(": "not on every engine",
    r"\brecursive\b": "not on every engine",
    r"\b(current_timestamp|now\s*\(|current_date|getdate)": "time is an argument",
    r"\b(array_agg|list\s*\(|unnest|list_\w+\s*\()(?<!list_holds\()": "no arrays",
    r"\bbool_(or|and)\b": "not on every engine",
    r"\bvar\(\s*['\"]as_of": "the instant comes from raw.current_pass",
}


def described(path: Path) -> dict[str, Any]:
    models = yaml.safe_load(path.with_suffix(".yml").read_text())["models"]
    assert len(models) == 1
    return dict(models[0])


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_each_model_is_described_beside_itself(path: Path) -> None:
    model = described(path)
    assert model["name"] == path.stem
    assert path.stem.startswith(PREFIXES[path.parent.name])
    assert len(model["description"]) > 10
    columns = model["columns"]
    assert columns
    assert all(column.get("description", "").endswith((".", ")")) for column in columns)
    if path.parent.name in {"marts", "activations"}:
        assert all("data_type" in column for column in columns)
        assert any("grain" in test for test in model["data_tests"])


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_models_are_portable_and_read_like_one_another(path: Path) -> None:
    text = path.read_text()
    code = re.sub(r"\{#.*?#\}|--[^\n]*|'[^']*'", "", text, flags=re.DOTALL).lower()
    for pattern, why in FORBIDDEN.items():
        assert not re.search(pattern, code), f"{pattern}: {why}"
    assert max(map(len, text.splitlines())) <= 140
    assert re.sub(r"\{[#%].*?[#%]\}", "", text, flags=re.DOTALL).lstrip().startswith("with\n")
    assert re.search(r"\n\nselect \* from \w+\n$", text), "the last step is a bare select"


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_only_staging_reads_the_raw_schema(path: Path) -> None:
    text = path.read_text()
    reads_raw = "source(" in text or "known_versions(" in text
    assert reads_raw == (path.parent.name == "staging")
    if path.parent.name == "intermediate":
        assert "ref('sync_" not in text


def is_kept(path: Path) -> bool:
    return described(path).get("config", {}).get("materialized") in {"kept", "remembered"}


def test_the_tables_that_hold_everybody_are_those_that_a_pass_goes_on_from() -> None:
    kept = {path.stem for path in MODELS if path.parent.name == "intermediate" and is_kept(path)}
    assert kept == set(KEPT_BETWEEN_PASSES)


@pytest.mark.parametrize(
    "path", [path for path in MODELS if path.parent.name in {"marts", "activations"}], ids=lambda path: path.stem
)
def test_a_public_table_holds_everybody(path: Path) -> None:
    """It is kept, or computed from kept tables and from what holds everybody in every pass."""
    if is_kept(path):
        return
    by_name = {model.stem: model for model in MODELS}
    read = [by_name[name] for name in re.findall(r"ref\('(\w+)'\)", path.read_text())]
    slices = [model.stem for model in read if not is_kept(model) and model.stem not in WHOLE_IN_EVERY_PASS]
    assert not slices, "make it `materialized: kept`, with of_touched(ref(...)) around the kept tables that it reads"
    assert "of_touched" not in path.read_text()


@pytest.mark.parametrize("name", CONTRACT)
def test_the_contracts_columns_come_first(name: str) -> None:
    (path,) = [path for path in MODELS if path.stem == name]
    promised = CONTRACT[name].split()
    assert [column["name"] for column in described(path)["columns"]][: len(promised)] == promised


def test_every_public_table_has_somebody_who_uses_it() -> None:
    used = {
        name
        for exposure in yaml.safe_load((PROJECT / "models" / "exposures.yml").read_text())["exposures"]
        for name in exposure["depends_on"]
    }
    public = {f"ref('{path.stem}')" for path in MODELS if path.parent.name in {"marts", "activations"}}
    assert used == public


def test_no_module_of_dbts_own_name_and_no_package() -> None:
    assert not list(PROJECT.rglob("__init__.py"))
    assert not list((PROJECT_ROOT / "include").rglob("dbt_*.py"))


def test_the_page_of_the_marts_is_current() -> None:
    assert PAGE.read_text() == render(PROJECT), "run python -m roomtone.transform.marts_page"
