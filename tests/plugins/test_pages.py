"""The page "Why is this customer quiet?": closed to strangers, safe with hostile text, from published marts only."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

_AIRFLOW_HOME = tempfile.TemporaryDirectory(prefix="roomtone-airflow-")
os.environ.setdefault("AIRFLOW_HOME", _AIRFLOW_HOME.name)

from airflow.api_fastapi.core_api.security import get_user  # noqa: E402 - after its home is set

from roomtone.airflow import pages  # noqa: E402 - after its home is set

HOSTILE = "<script>alert(1)</script>"
MARTS = """
create table roomtone_publication (as_of timestamp);
insert into roomtone_publication values ('2026-03-02 09:15:00');
create table dim_customers (customer_id varchar, churn_risk double, risk_version varchar, risk_weighed_at timestamp,
    value_at_risk double);
insert into dim_customers values ('shop-1001', 0.08, 'risk-rule-1', '2026-03-02 09:11:00', 4.0),
    ('shop-1002', 0.005, 'risk-rule-1', null, 0);
create table dim_customer_links (source_customer_id varchar, customer_id varchar);
insert into dim_customer_links values ('shop-1001', 'shop-1001'), ('shop-1002', 'shop-1002');
create table fct_customer_state_changes (
    customer_id varchar, state varchar, tier int, valid_from timestamp, valid_to timestamp);
insert into fct_customer_state_changes values ('shop-1001', 'negative', 2, '2026-03-02 09:10:00', null);
create table fct_suppressions (customer_id varchar, scope varchar, valid_from timestamp, valid_to timestamp,
    planned_end_at timestamp, tier int, cause_ids varchar);
insert into fct_suppressions values
    ('shop-1001', 'sales', '2026-03-02 09:10:00', null, '2026-03-16 09:10:00', 2, 'cause-1');
create table fct_suppression_causes (cause_id varchar, customer_id varchar, policy_id varchar, policy_version int,
    ticket_id varchar, shipment_id varchar, tier int, scopes varchar, started_at timestamp, ended_at timestamp,
    planned_end_at timestamp, end_reason varchar, evidence_message_id varchar,
    subject_kind varchar, subject_id varchar, planned_end_reason varchar);
insert into fct_suppression_causes values ('cause-1', 'shop-1001', 'open_negative_ticket', 1, 'zendesk-1', null, 2,
    'sales', '2026-03-02 09:10:00', null, '2026-03-16 09:10:00', null, 'zendesk-9', 'ticket',
    'zendesk-1', 'expired');
create table fct_decisions (decision_id varchar, customer_id varchar, action varchar, reason_codes varchar,
    evidence varchar, inputs varchar, inputs_hash varchar, decided_at timestamp, cause_id varchar,
    trigger_id varchar, override_id varchar);
create table fct_message_scores (message_id varchar, sentiment varchar, confidence double, top_reasons varchar,
    model_version varchar, is_in_force boolean, customer_id varchar, ticket_id varchar, created_at timestamp,
    is_abstained boolean, is_ticket_live boolean, repeat_count_30d bigint);
create table fct_recovery_triggers (trigger_id varchar, customer_id varchar, kind varchar, message_class varchar,
    due_at timestamp, expires_at timestamp, status varchar, status_reason varchar);
insert into fct_recovery_triggers values ('t-1', 'shop-1001', 'apology', 'service', '2026-03-02 09:10:00',
    '2026-03-02 11:10:00', 'sent', null);
"""
INPUTS = {
    "decision": "pause",
    "subject_kind": "ticket",
    "start_kind": "sentiment",
    "start_sentiment": "negative",
    "start_min_confidence": 0.8,
    "is_ticket_live": True,
    "is_abstained": False,
    "sentiment": "negative",
    "confidence": 0.97,
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROOMTONE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def marts(home: Path) -> Path:
    (home / "published").mkdir()
    path = home / "published" / "marts.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(MARTS)
        reasons = json.dumps([{"reason": f"says {HOSTILE}", "weight": 1.25}])
        connection.execute(
            "insert into fct_message_scores values ('zendesk-9', 'negative', 0.97, ?, 'mood-1', true,"
            " 'shop-1001', 'zendesk-1', '2026-03-02 09:10:00', false, true, 2)",
            [reasons],
        )
        connection.execute(
            "insert into fct_decisions values ('d-1', 'shop-1001', 'pause', 'sentiment_negative,confidence_reached',"
            " null, ?, 'hash', '2026-03-02 09:15:00', 'cause-1', null, null)",
            [json.dumps(INPUTS)],
        )
    return path


@pytest.fixture
def browser() -> Iterator[TestClient]:
    """The pages mounted as Airflow mounts them, for a person who is logged in."""
    pages._application().dependency_overrides[get_user] = lambda: "somebody"
    outer = FastAPI()
    outer.mount(pages.PREFIX, pages.app)
    yield TestClient(outer)
    pages._application().dependency_overrides.clear()


def test_strangers_see_nothing(home: Path) -> None:
    outer = FastAPI()
    outer.mount(pages.PREFIX, pages.app)
    stranger = TestClient(outer)
    assert stranger.get(pages.PAGE).status_code == 401
    assert stranger.get(f"{pages.PAGE}?customer=shop-1001").status_code == 401
    assert stranger.get(f"{pages.PREFIX}/quiet.css").status_code == 401
    assert stranger.get(f"{pages.PREFIX}/docs").status_code == 404
    assert stranger.get(f"{pages.PREFIX}/openapi.json").status_code == 404


def test_it_says_why(marts: Path, browser: TestClient) -> None:
    answer = browser.get(f"{pages.PAGE}?customer=shop-1001")
    assert answer.status_code == 200
    for told in ("negative (tier 2)", "open_negative_ticket", "zendesk-1", "zendesk-9", "0.97", "sales", "apology"):
        assert told in answer.text, told


def test_hostile_text_stays_text(marts: Path, browser: TestClient) -> None:
    answer = browser.get(f"{pages.PAGE}?customer=shop-1001")
    assert HOSTILE not in answer.text
    assert "says &lt;script&gt;alert(1)&lt;/script&gt; (+1.25)" in answer.text
    unknown = browser.get(pages.PAGE, params={"customer": f'"{HOSTILE}'})
    assert unknown.status_code == 404
    assert HOSTILE not in unknown.text
    assert 'value="&#34;&lt;script&gt;' in unknown.text


def test_nothing_is_loaded_from_elsewhere_or_kept(marts: Path, browser: TestClient) -> None:
    for path in (pages.PAGE, f"{pages.PREFIX}/quiet.css"):
        headers = browser.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "script-src" not in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
    page = browser.get(pages.PAGE).text
    assert "<script" not in page
    assert "style=" not in page


def test_a_calm_customer_and_no_marts_are_told_apart(home: Path, browser: TestClient) -> None:
    missing = browser.get(f"{pages.PAGE}?customer=shop-1002")
    assert missing.status_code == 404
    assert "does not exist; run" in missing.text


def test_a_calm_customer(marts: Path, browser: TestClient) -> None:
    answer = browser.get(f"{pages.PAGE}?customer=shop-1002")
    assert answer.status_code == 200
    assert "calm (tier 0)" in answer.text
    assert "Nothing is paused." in answer.text


def test_the_working_file_is_never_opened(marts: Path, home: Path, browser: TestClient) -> None:
    assert browser.get(f"{pages.PAGE}?customer=shop-1001").status_code == 200
    # The policies that were in force come from the operational store; the warehouse belongs to the passes.
    assert {path.name.split(".")[0] for path in home.iterdir()} == {"published", "operational"}
