"""Reads what the rules need from the warehouse and turns Great Expectations' verdicts into table results.

Everything fails closed: a table, a column, a count or a verdict that cannot be had is a failed critical expectation.
"""

# ruff: noqa: S608 - every name in a query comes from the suites of this package; values are bound

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import duckdb

from roomtone.validate.expectations import Expectation, Verdict
from roomtone.validate.report import Failure, TableResult
from roomtone.validate.rules import ROWS, Measure, RowRule, Suite

if TYPE_CHECKING:
    import pandas as pd

# Up to here Great Expectations sees the rows themselves; beyond, DuckDB counts the rows that break each rule and Great
# Expectations judges the counts. The copy into pandas and its checks grow with the rows, the counts hardly do.
MAX_FRAME_ROWS = 2_000

Evaluate = Callable[[str, "pd.DataFrame", Sequence[Expectation]], list[Verdict]]
Rule = RowRule | Measure

_PRESENCE_WHY = "What is not there cannot be checked, and what is not checked is not sent."


@dataclass(frozen=True)
class _Asked:
    """One rule of one table with the number that decides it (None: it could not be had) and how a person reads it."""

    suite: Suite
    rule: Rule
    value: float | None
    observed: str
    maximum: float = 0


def existing_columns(connection: duckdb.DuckDBPyConnection) -> Mapping[str, frozenset[str]]:
    """Column names of every table of the warehouse, by `schema.table`."""
    rows = connection.execute(
        "select table_schema || '.' || table_name, list(column_name) from information_schema.columns group by all"
    ).fetchall()
    return {table: frozenset(columns) for table, columns in rows}


def judge(
    connection: duckdb.DuckDBPyConnection,
    evaluate: Evaluate,
    suites: Sequence[Suite],
    parameters: Mapping[str, object],
    max_frame_rows: int = MAX_FRAME_ROWS,
) -> list[TableResult]:
    """One result for each suite.

    `parameters` are the values that measures name ($as_of, $received_until, $pass_sequence). The counts of all tables
    are judged in one call, because a call costs more than the counts in it.
    """
    known = existing_columns(connection)
    asked: list[_Asked] = []
    failures: dict[str, list[Failure]] = {suite.table: [] for suite in suites}
    evaluated = dict.fromkeys(failures, 0)
    count_rows = dict.fromkeys(failures, 0)
    for suite in suites:
        present = known.get(suite.table, frozenset())
        asked.append(_presence(suite, present))
        if not present:
            continue
        rules = [rule for rule in suite.rules if present.issuperset(rule.columns)]
        count = _number(connection, f"select count(*) from {suite.rows}", {})
        if isinstance(count, str):
            asked += [_Asked(suite, rule, None, count) for rule in rules]
        else:
            count_rows[suite.table] = int(count)
            if 0 < count <= max_frame_rows:
                evaluated[suite.table] += len(rules)
                failures[suite.table] += _judged_rows(connection, evaluate, suite, rules, int(count))
            elif count:
                asked += _counted_rows(connection, suite, rules, int(count))
        is_empty_slice = suite.is_slice and count == 0
        asked += [
            _measured(connection, suite, measure, known, parameters)
            for measure in suite.measures
            if not (is_empty_slice and ROWS in measure.sql)
        ]
    for item, is_met in _judged_counts(evaluate, asked):
        evaluated[item.suite.table] += 1
        if not is_met:
            is_counted = item.value is not None
            failures[item.suite.table].append(
                _blamed(connection, item.suite, item.rule, item.observed)
                if is_counted
                else _failure(item.suite, item.rule, item.observed)
            )
    return [
        TableResult(
            suite.boundary, suite.table, count_rows[suite.table], evaluated[suite.table], tuple(failures[suite.table])
        )
        for suite in suites
    ]


def refused(suites: Sequence[Suite], observed: str) -> list[TableResult]:
    """Every suite failed for one reason that kept its rules from being asked at all."""
    rule = Measure("could be validated", "critical", _PRESENCE_WHY, "")
    return [TableResult(suite.boundary, suite.table, 0, 0, (_failure(suite, rule, observed),)) for suite in suites]


def failure_kind(error: BaseException) -> str:
    """What went wrong, without the message: those of databases and data frames quote values of rows."""
    return f"failed with {type(error).__name__}"


def _presence(suite: Suite, present: frozenset[str]) -> _Asked:
    rule = Measure("table and its columns are there", "critical", _PRESENCE_WHY, "", suite.columns)
    missing = [column for column in suite.columns if column not in present]
    if not present:
        return _Asked(suite, rule, 1, "the table is missing")
    return _Asked(suite, rule, len(missing), f"missing columns: {', '.join(missing)}")


def _judged_rows(
    connection: duckdb.DuckDBPyConnection, evaluate: Evaluate, suite: Suite, rules: Sequence[RowRule], count: int
) -> Iterator[Failure]:
    columns = {name: expression for rule in rules for name, expression in rule.frame.items()}
    selected = ", ".join(f'{expression} as "{name}"' for name, expression in columns.items())
    wanted = [Expectation(rule.name, rule.severity, rule.expectation, rule.arguments) for rule in rules]
    if not wanted:
        return
    try:
        frame = connection.execute(f"select {selected} from {suite.rows}").df()
        verdicts = evaluate(suite.table, frame, wanted)
    except Exception as error:  # noqa: BLE001 - whatever breaks, the pass must not count as validated
        yield from (_failure(suite, rule, f"could not be evaluated: {failure_kind(error)}") for rule in rules)
        return
    for rule, verdict in zip(rules, verdicts, strict=True):
        if verdict.is_met:
            continue
        if verdict.observed is None:
            yield _failure(suite, rule, "could not be evaluated")
        else:
            yield _blamed(connection, suite, rule, f"{verdict.observed:g} of {count} rows do not fit")


def _blamed(connection: duckdb.DuckDBPyConnection, suite: Suite, rule: Rule, observed: str) -> Failure:
    """The failure of a broken rule, narrowed to the columns that broke it where the rule covers several."""
    failure = _failure(suite, rule, observed)
    if not isinstance(rule, RowRule) or not rule.blame:
        return failure
    counts = connection.execute(f"select count(*), {', '.join(rule.blame.values())} from {suite.rows}").fetchone()
    total, *found = counts or (0,)
    blamed = {column: count for column, count in zip(rule.blame, found, strict=True) if count}
    told = ", ".join(f"{column} in {count}" for column, count in blamed.items())
    return replace(failure, columns=tuple(blamed), observed=f"{told} of {total} rows")


def _counted_rows(
    connection: duckdb.DuckDBPyConnection, suite: Suite, rules: Sequence[RowRule], count: int
) -> Iterator[_Asked]:
    try:
        row = (
            connection.execute(f"select {', '.join(rule.violations for rule in rules)} from {suite.rows}").fetchone()
            if rules
            else ()
        )
    except duckdb.Error as error:
        yield from (_Asked(suite, rule, None, f"could not be counted: {failure_kind(error)}") for rule in rules)
        return
    for rule, value in zip(rules, row or (), strict=True):
        yield _Asked(suite, rule, float(value), f"{value} of {count} rows do not fit")


def _measured(
    connection: duckdb.DuckDBPyConnection,
    suite: Suite,
    measure: Measure,
    known: Mapping[str, frozenset[str]],
    parameters: Mapping[str, object],
) -> _Asked:
    missing = [table for table in measure.tables if table not in known]
    if missing:
        return _Asked(suite, measure, None, f"could not be counted: {', '.join(missing)} is missing")
    is_needless = _number(connection, measure.unless.replace(ROWS, suite.rows), {}) if measure.unless else 0.0
    value: float | str = 0.0
    if isinstance(is_needless, str):
        value = is_needless
    elif not is_needless:
        value = _number(connection, measure.sql.replace(ROWS, suite.rows), parameters)
    if isinstance(value, str):
        return _Asked(suite, measure, None, value)
    limit = f" (at most {measure.maximum:g})" if measure.maximum else ""
    return _Asked(suite, measure, value, f"{value:.4g}{limit}" if value % 1 else f"{value:.0f}{limit}", measure.maximum)


def _number(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, object]) -> float | str:
    """The one number that `sql` selects, or why there is none."""
    named = {name: parameters[name] for name in re.findall(r"\$([a-z_]+)", sql)}
    try:
        row = connection.execute(sql, named).fetchone()
    except duckdb.Error as error:
        return f"could not be counted: {failure_kind(error)}"
    return "could not be counted: no number came back" if row is None or row[0] is None else float(row[0])


def _judged_counts(evaluate: Evaluate, asked: Sequence[_Asked]) -> Iterator[tuple[_Asked, bool]]:
    """Each item with whether it is met: all in one expectation, and only where that fails those that look broken each
    in one of its own, and the others in one again.
    """
    numbers = {str(position): item.value for position, item in enumerate(asked) if item.value is not None}
    met: dict[str, bool] = {}
    broken: str | None = None
    try:
        met = _met(evaluate, asked, numbers)
    except Exception as error:  # noqa: BLE001 - whatever breaks, the pass must not count as validated
        broken = f"could not be evaluated: {failure_kind(error)}"
    for position, item in enumerate(asked):
        told = item if broken is None else replace(item, value=None, observed=broken)
        yield told, met.get(str(position), False)


def _met(evaluate: Evaluate, asked: Sequence[_Asked], numbers: Mapping[str, float | None]) -> dict[str, bool]:
    if _all_met(evaluate, asked):
        return dict.fromkeys(numbers, True)
    fitting = [item for item in asked if item.value is not None and item.value <= item.maximum]
    if not _all_met(evaluate, fitting):
        return _met_each(evaluate, asked, numbers)
    others = {position: value for position, value in numbers.items() if asked[int(position)] not in fitting}
    return dict.fromkeys(numbers, True) | _met_each(evaluate, asked, others)


def _all_met(evaluate: Evaluate, asked: Sequence[_Asked]) -> bool:
    import pandas as pd

    counted = [(item.maximum, item.value) for item in asked if item.value is not None]
    arguments = {"column_A": "maximum", "column_B": "observed", "or_equal": True}
    wanted = Expectation("no count above its maximum", "critical", "ExpectColumnPairValuesAToBeGreaterThanB", arguments)
    [verdict] = evaluate("counts", pd.DataFrame(counted, columns=["maximum", "observed"], dtype="float64"), [wanted])
    return verdict.is_met


def _met_each(evaluate: Evaluate, asked: Sequence[_Asked], numbers: Mapping[str, float | None]) -> dict[str, bool]:
    import pandas as pd

    wanted = [
        Expectation(
            asked[int(position)].rule.name,
            asked[int(position)].rule.severity,
            "ExpectColumnMaxToBeBetween",
            {"column": position, "max_value": asked[int(position)].maximum},
        )
        for position in numbers
    ]
    verdicts = evaluate("counts", pd.DataFrame([numbers]), wanted)
    return {position: verdict.is_met for position, verdict in zip(numbers, verdicts, strict=True)}


def _failure(suite: Suite, rule: Rule, observed: str) -> Failure:
    return Failure(rule.name, rule.columns, rule.severity, observed, rule.why, suite.next_step)
