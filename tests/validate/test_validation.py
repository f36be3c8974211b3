"""Whole validations: the verdict, what is kept of it, what is looked at again, and that it fails closed."""

import json
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from roomtone.contract import SCOPES
from roomtone.errors import RoomtoneError
from roomtone.settings import Settings
from roomtone.stores import warehouse
from roomtone.stores.operational import OperationalStore, Pass
from roomtone.validate import ValidationReport, slices, validate
from roomtone.validate.expectations import Evaluator
from roomtone.validate.report import TableResult
from validate.warehouse_by_hand import (
    AS_OF,
    CANARY,
    acknowledge,
    build,
    change,
    count_extracted,
    kept_results,
    land_message,
    next_pass,
    touched_pass,
)


def is_marked_valid(settings: Settings, current: Pass) -> bool:
    store = OperationalStore(settings)
    try:
        return store.pass_is_valid(current)
    finally:
        store.close()


def refused(settings: Settings, current: Pass) -> ValidationReport:
    """Validate; the pass must be refused in the report, in the store, and with a line that says what next."""
    report = validate(settings, current)
    assert not report.is_valid
    assert not is_marked_valid(settings, current)
    assert report.critical
    for line in report.critical:
        assert line.count(": ") >= 2
        assert "; " in line
    return report


def test_a_pass_in_which_everything_holds_is_valid(settings: Settings) -> None:
    current = build(settings)
    report = validate(settings, current)
    assert (report.critical, report.warnings) == ((), ())
    assert report.is_valid
    assert is_marked_valid(settings, current)
    assert report.count_evaluated > 180
    assert json.dumps(asdict(report), default=str)


def test_results_are_kept_for_each_table_and_pass(settings: Settings) -> None:
    current = build(settings)
    change(settings, "update marts.fct_message_scores set confidence = 1.5")
    report = refused(settings, current)
    kept = {row["table_name"]: row for row in kept_results(settings)}
    assert set(kept) == {table.table for table in report.tables}
    scores = kept["marts.fct_message_scores"]
    assert (scores["pass_sequence"], scores["boundary"], scores["is_valid"]) == (current.sequence, "marts", False)
    (failure,) = scores["results"]["failures"]
    assert failure["name"] == "confidence in [0, 1]"
    assert failure["columns"] == ["confidence"]
    assert failure["observed"] == "1 of 1 rows do not fit"
    assert failure["severity"] == "critical"
    assert kept["marts.dim_customers"]["is_valid"]


MISSING = "table and its columns are there: the table is missing"
PROFILES, ROUTING = "activations.sync_profile_properties", "activations.sync_ticket_routing"


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        (f"insert into {PROFILES} select * from {PROFILES}", f"{PROFILES}: one row per customer_id: "),
        ("delete from marts.dim_customers", "marts.dim_customers: empty although raw.customers has rows: "),
        ("drop table marts.fct_suppressions", f"marts.fct_suppressions: {MISSING}"),
        ("drop table raw.current_pass", f"raw.current_pass: {MISSING}"),
        ("drop table raw.loads", f"raw.loads: {MISSING}"),
        (
            f"alter table {ROUTING} drop column queue",
            f"{ROUTING}: table and its columns are there: missing columns: queue",
        ),
        (
            "update raw.current_pass set as_of = as_of - interval 1 hour",
            "raw.current_pass: rows that are not this pass",
        ),
        (
            "drop schema marts cascade",
            "wanted: could be compared with what destinations hold: the marts cannot be read",
        ),
    ],
    ids=lambda text: text.split(":")[0].replace(" ", "-"),
)
def test_what_is_broken_or_missing_is_refused_by_name(settings: Settings, statement: str, line: str) -> None:
    current = build(settings)
    change(settings, statement)
    assert any(told.startswith(line) for told in refused(settings, current).critical)


def test_warnings_tell_and_do_not_stop(settings: Settings) -> None:
    current = build(settings)
    change(settings, "update marts.dim_customer_states set churn_risk = 1.5")
    report = validate(settings, current)
    assert report.is_valid
    assert is_marked_valid(settings, current)
    (line,) = report.warnings
    assert line.startswith("marts.dim_customer_states: churn_risk in [0, 1]: 2 of 2 rows do not fit; ")


def test_only_new_loads_are_looked_at_again(settings: Settings) -> None:
    def looked_at(report: ValidationReport) -> int:
        return next(table.count_rows for table in report.tables if table.table == "raw.messages")

    assert looked_at(validate(settings, build(settings))) == 1
    land_message(settings, "load-2")
    land_message(settings, "load-3", author="robot")
    assert looked_at(refused(settings, next_pass(settings))) == 2
    change(settings, "update raw.messages set author = 'customer'")
    after_refusal = validate(settings, next_pass(settings, 10))
    assert after_refusal.is_valid
    assert looked_at(after_refusal) == 2
    assert looked_at(validate(settings, next_pass(settings, 15))) == 0


_STATES = "marts.dim_customer_states"


def states(report: ValidationReport) -> TableResult:
    return next(table for table in report.tables if table.table == _STATES)


def broken_for(customer: str) -> str:
    return f"update {_STATES} set tier = 7 where customer_id = '{customer}'"


def test_what_a_pass_has_computed_is_looked_at_and_the_rest_was(settings: Settings) -> None:
    first = build(settings)
    assert states(validate(settings, first)).count_rows == 2
    change(settings, broken_for("customer-1"))
    second = touched_pass(settings, first, "customer-0")
    report = validate(settings, second)
    assert (report.is_valid, states(report).count_rows) == (True, 1)
    change(settings, broken_for("customer-0"))
    third = touched_pass(settings, second, "customer-0", 10)
    (failure,) = states(refused(settings, third)).failures
    assert failure.observed == "1 of 1 rows do not fit"


def test_a_row_beside_a_computed_one_of_its_key_is_found(settings: Settings) -> None:
    first = build(settings)
    assert validate(settings, first).is_valid
    second = touched_pass(settings, first, "customer-0")
    scores = "marts.fct_message_scores"
    change(settings, f"insert into {scores} select * replace ('customer-1' as customer_id) from {scores}")
    assert f"{scores}: one row per message_id x model_version: 1 of 2 rows" in refused(settings, second).critical[0]


def test_everything_is_looked_at_after_an_invalid_pass_after_one_between_and_in_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(settings)
    assert validate(settings, first).is_valid
    change(settings, broken_for("customer-1"))
    between = touched_pass(settings, first, "customer-0")
    assert states(refused(settings, touched_pass(settings, between, "customer-0", 10))).count_rows == 2
    invalid = touched_pass(settings, first, "customer-0", 20)
    change(settings, broken_for("customer-0"))
    refused(settings, invalid)
    assert states(refused(settings, touched_pass(settings, invalid, "customer-0", 30))).count_rows == 2
    change(settings, f"update {_STATES} set tier = 0")
    whole = next_pass(settings, 40)
    assert validate(settings, whole).is_valid
    monkeypatch.setattr(slices, "_WHOLE_EVERY", timedelta(minutes=5))
    for minutes, count_rows in ((42, 1), (44, 1), (46, 2)):
        later = touched_pass(settings, whole, "customer-0", minutes)
        report = validate(settings, later)
        assert (report.critical, states(report).count_rows) == ((), count_rows)
        whole = later


def test_extract_counts_must_add_up(settings: Settings) -> None:
    current = build(settings)
    assert validate(settings, current).is_valid
    store = OperationalStore(settings)
    count_extracted(store, "load-2", read=10, landed=0, duplicate=9)
    report = refused(settings, next_pass(settings))
    assert report.critical[0].startswith("raw.loads: extract runs whose counts do not add up: 1; ")
    store.close()


def test_a_large_quarantine_is_told_once(settings: Settings) -> None:
    current = build(settings)
    store = OperationalStore(settings)
    count_extracted(store, "load-2", read=100, landed=0, duplicate=90, quarantined=10)
    store.close()
    report = validate(settings, current)
    assert report.is_valid
    assert report.warnings[0].startswith("raw.loads: share of records quarantined: 0.09")
    assert validate(settings, next_pass(settings)).warnings == ()


@pytest.mark.parametrize("broken", ["evaluate", "__init__"])
def test_a_crash_of_great_expectations_is_a_refusal(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def crash(*_: Any) -> None:
        raise ValueError(CANARY)

    current = build(settings)
    assert validate(settings, current).is_valid
    monkeypatch.setattr(Evaluator, broken, crash)
    report = refused(settings, current)
    assert not any(table.is_valid for table in report.tables if table.boundary != "releases")
    assert "could not be evaluated: failed with ValueError" in report.critical[0]
    assert CANARY not in str(report)


def test_an_earlier_verdict_does_not_outlive_a_validation_that_breaks_off(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = build(settings)
    assert validate(settings, current).is_valid
    monkeypatch.setattr(warehouse, "connect", _refusing)
    with pytest.raises(RoomtoneError, match="warehouse"):
        validate(settings, current)
    assert not is_marked_valid(settings, current)


def _refusing(_: Settings) -> None:
    raise RoomtoneError("warehouse", "is held by another run", "wait for it")


def test_nothing_that_a_customer_wrote_is_in_the_results(
    settings: Settings, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    current = build(settings)
    land_message(settings, "load-2", author=CANARY, id=f"message {CANARY}", ticket_id=CANARY)
    change(
        settings,
        f"update marts.dim_customers set customer_id = '{CANARY}'",
        f"update activations.sync_recovery_events set kind = '{CANARY}', payload = '{CANARY}'",
        f"update marts.fct_suppressions set scope = '{CANARY}', cause_ids = '{CANARY}'",
        f"alter table marts.fct_tickets alter tier type varchar using '{CANARY}'",
    )
    report = refused(settings, current)
    assert len(report.critical) > 5
    told = capfd.readouterr()
    everything = "\n".join([str(asdict(report)), str(kept_results(settings)), caplog.text, told.out, told.err])
    assert CANARY not in everything
    for path in Path(settings.home).rglob("*"):
        if path.is_file() and not path.name.startswith("warehouse.duckdb"):
            assert CANARY.encode() not in path.read_bytes(), path


def test_great_expectations_is_quiet_and_leaves_nothing_behind(
    settings: Settings, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert validate(settings, build(settings)).is_valid
    told = capfd.readouterr()
    assert (told.out, told.err) == ("", "")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert {path.name for path in settings.home.iterdir()} <= {
        *("operational.db", "operational.db-wal", "operational.db-shm", "operational.db.lock"),
        *("warehouse.duckdb", "warehouse.duckdb.lock", "warehouse.duckdb.wal"),
    }


def test_an_emptied_segment_releases_nobody(settings: Settings) -> None:
    current = build(settings, customers=60)
    for number in range(20):
        acknowledge(settings, "klaviyo", f"customer-{number + 100}", SCOPES, AS_OF.replace(day=15))
    (line,) = refused(settings, current).critical
    assert line.startswith("klaviyo: customers released without a reason: 20 of 20, at most 5; ")


def test_a_destination_that_holds_nothing_yet_does_not_hold_a_pass_back(settings: Settings) -> None:
    current = build(settings)
    assert [table.table for table in validate(settings, current).tables if table.boundary == "releases"] == []
