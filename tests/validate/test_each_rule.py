"""Every rule of every suite is broken by itself and must say so, on rows as on counts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from roomtone.contract import STREAMS
from roomtone.settings import Settings, load_settings
from roomtone.stores import warehouse
from roomtone.validate import slices
from roomtone.validate.activation_suites import activation_suites
from roomtone.validate.boundary import judge
from roomtone.validate.expectations import Evaluator
from roomtone.validate.mart_suites import mart_suites
from roomtone.validate.raw_suites import raw_suites
from roomtone.validate.report import TableResult
from roomtone.validate.rules import Measure, RowRule, Suite
from validate.breakages import MEASURES, breakages, empty_mart
from validate.warehouse_by_hand import NOW, build

SUITES = (*raw_suites(), *mart_suites(), *activation_suites())
RUN = slices.ExtractCounts("files", "customers", "load-1", 6, 2, 4, 0)

ROWS, COUNTS = 200_000, 0
# The rules of the raw streams come out of one function, so two of them stand for all on the slower path.
ON_COUNTS_ONLY = {f"raw.{name}" for name in STREAMS} - {"raw.tickets", "raw.satisfaction_ratings"}

ROW_RULES = [
    pytest.param(suite, rule, statements, id=f"{suite.table}-{rule.name}-{number}")
    for suite in SUITES
    for rule in suite.rules
    for number, statements in enumerate(breakages(suite, rule))
]
MEASURE_RULES = [
    pytest.param(suite, measure, id=f"{suite.table}-{measure.name}") for suite in SUITES for measure in suite.measures
]

Judged = Callable[[Suite, Sequence[str], int], TableResult]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings({"ROOMTONE_HOME": str(tmp_path_factory.mktemp("rules") / "home")})


@pytest.fixture(scope="module")
def connection(home: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    build(home)
    with warehouse.connect(home) as connection:
        slices.prepare(connection, [RUN])
        yield connection


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    return Evaluator()


@pytest.fixture
def judged(connection: duckdb.DuckDBPyConnection, evaluator: Evaluator) -> Iterator[Judged]:
    """Break the warehouse, judge one suite, and leave the warehouse as it was."""
    connection.begin()

    def run(suite: Suite, statements: Sequence[str], max_frame_rows: int) -> TableResult:
        for statement in statements:
            connection.execute(
                statement.replace(suite.table, suite.rows) if suite.is_slice and suite.rules else statement
            )
        parameters = {"as_of": NOW, "pass_sequence": 1, "received_until": NOW + timedelta(minutes=5)}
        return judge(connection, evaluator.evaluate, [suite], parameters, max_frame_rows)[0]

    yield run
    connection.rollback()


@pytest.mark.parametrize("max_frame_rows", [ROWS, COUNTS], ids=["rows", "counts"])
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.table)
def test_nothing_is_found_where_everything_holds(judged: Judged, suite: Suite, max_frame_rows: int) -> None:
    result = judged(suite, [], max_frame_rows)
    assert result.failures == ()
    assert result.count_evaluated == 1 + len(suite.rules) + len(suite.measures)


@pytest.mark.parametrize(("suite", "rule", "statements"), ROW_RULES)
def test_a_broken_row_rule_is_found(
    judged: Judged, connection: duckdb.DuckDBPyConnection, suite: Suite, rule: RowRule, statements: Sequence[str]
) -> None:
    alone = replace(suite, rules=(rule,), measures=())
    result = judged(alone, statements, COUNTS if suite.table in ON_COUNTS_ONLY else ROWS)
    (failure,) = result.failures
    assert (failure.name, failure.severity) == (rule.name, rule.severity)
    assert result.is_valid == (rule.severity != "critical")
    if rule.blame:
        assert failure.observed == f"{failure.columns[0]} in {result.count_rows} of {result.count_rows} rows"
        assert f'"{failure.columns[0]}"' in statements[0]
    else:
        assert failure.observed.endswith(" rows do not fit")
    counted = connection.execute(f"select {rule.violations} from {suite.rows}").fetchone()
    assert counted is not None
    assert counted[0] > 0, "the count made in SQL does not agree with Great Expectations"


@pytest.mark.parametrize(("suite", "measure"), MEASURE_RULES)
def test_a_broken_measure_is_found(judged: Judged, suite: Suite, measure: Measure) -> None:
    emptied = measure.name.startswith("empty although")
    statements = empty_mart(suite.table) if emptied else MEASURES[suite.table, measure.name]
    alone = replace(suite, rules=(), measures=(measure,))
    result = judged(alone, statements, 0)
    (failure,) = result.failures
    assert (failure.name, failure.severity) == (measure.name, measure.severity)
    assert failure.observed[0].isdigit()


def test_names_are_unique_within_a_suite() -> None:
    for suite in SUITES:
        names = [item.name for item in (*suite.rules, *suite.measures)]
        assert len(names) == len(set(names)), suite.table


def test_every_rule_says_why_and_what_next() -> None:
    for suite in SUITES:
        assert suite.next_step, suite.table
        for item in (*suite.rules, *suite.measures):
            assert item.why.endswith("."), (suite.table, item.name)


def test_the_breakages_name_rules_that_exist() -> None:
    known = {(suite.table, measure.name) for suite in SUITES for measure in suite.measures}
    assert set(MEASURES) <= known


def test_only_one_module_imports_great_expectations() -> None:
    folder = Path(__file__).parents[2] / "include" / "roomtone"
    importing = [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.py")
        if "great_expectations" in path.read_text(encoding="utf-8") and "airflow" not in path.parts
    ]
    assert importing == ["validate/expectations.py"]
