"""One validation: both boundaries and the releases judged, the results kept, the pass marked with the verdict."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import duckdb
import sqlalchemy as sa

from roomtone.errors import RoomtoneError
from roomtone.policies.versions import policies_in_force
from roomtone.settings import Settings
from roomtone.stores import warehouse
from roomtone.stores.operational import OperationalStore, Pass, extract_runs, passes, validations
from roomtone.validate import slices
from roomtone.validate.acknowledged import read_held, read_wanted
from roomtone.validate.activation_suites import activation_suites
from roomtone.validate.boundary import MAX_FRAME_ROWS, failure_kind, judge, refused
from roomtone.validate.expectations import Evaluator, Expectation, Verdict
from roomtone.validate.mart_suites import mart_suites
from roomtone.validate.raw_suites import raw_suites
from roomtone.validate.releases import judged
from roomtone.validate.report import Failure, TableResult, ValidationReport, results_json

if TYPE_CHECKING:
    import pandas as pd

# Clocks of two machines differ; more than this is a wrong one.
_CLOCK_TOLERANCE = timedelta(minutes=5)

_LOADS = "raw.loads"
_RUNS_THROUGH = "extract_run_id_through"


def validate(settings: Settings, current: Pass) -> ValidationReport:
    """Judge one pass: raw in, marts out, releases. The verdict is kept and the pass marked with it.

    Bad data never raises: it is a report that is not valid. Raises RoomtoneError only where a store cannot be opened at
    all; the pass is then left marked as not valid.
    """
    begun = time.perf_counter()
    store = OperationalStore(settings)
    try:
        # An earlier verdict on this pass does not count while it is looked at again.
        store.mark_pass(current, "validated", is_valid=False)
        runs, runs_through = _new_extract_runs(store)
        with warehouse.connect(settings) as connection:
            tables = [
                *_boundaries(connection, current, runs),
                *_releases(connection, store, current),
            ]
            is_valid = all(table.is_valid for table in tables)
            _keep(store, current, tables, runs_through)
            store.mark_pass(current, "validated", is_valid=is_valid)
            if is_valid:
                slices.remember(connection, current)
    finally:
        store.close()
    return ValidationReport(
        current.sequence, current.as_of, tuple(tables), round(time.perf_counter() - begun, 3), is_valid
    )


def _boundaries(
    connection: duckdb.DuckDBPyConnection, current: Pass, runs: Sequence[slices.ExtractCounts]
) -> list[TableResult]:
    computed = [*mart_suites(), *activation_suites()]
    parameters = {
        "as_of": _naive(current.as_of),
        "pass_sequence": current.sequence,
        "received_until": _naive(max(current.as_of, datetime.now(UTC)) + _CLOCK_TOLERANCE),
    }
    try:
        slices.prepare(connection, runs)
        computed = slices.narrowed(connection, current, computed)
    except duckdb.Error as error:
        return refused([*raw_suites(), *computed], f"the new loads cannot be read: {failure_kind(error)}")
    # Between two whole looks a pass is judged by counts alone: rows cost Great Expectations half a second.
    most_rows = 0 if any(suite.is_slice for suite in computed) else MAX_FRAME_ROWS
    return judge(connection, _Evaluation(), [*raw_suites(), *computed], parameters, most_rows)


def _releases(connection: duckdb.DuckDBPyConnection, store: OperationalStore, current: Pass) -> list[TableResult]:
    held = read_held(store, current.as_of)
    paused = {customer for each in held for customer, scopes in each.pauses.items() if scopes}
    try:
        wanted = read_wanted(connection, current, paused)
    except duckdb.Error as error:
        return [
            _not_compared(
                f"the marts cannot be read: {failure_kind(error)}", "repair the marts named above and run again"
            )
        ]
    try:
        limit = policies_in_force(store, current.as_of).guardrails.vanished
    except RoomtoneError as error:
        return [_not_compared(f"{error.thing} {error.value}", error.next_step)]
    return [judged(limit, wanted, each) for each in held]


def _not_compared(observed: str, next_step: str) -> TableResult:
    why = "What is not compared with what destinations hold could release everybody."
    failure = Failure("could be compared with what destinations hold", (), "critical", observed, why, next_step)
    return TableResult("releases", "wanted", 0, 0, (failure,))


class _Evaluation:
    """Great Expectations, started on first use, so that a failing start is a failed expectation like any other."""

    def __init__(self) -> None:
        self._evaluator: Evaluator | None = None

    def __call__(self, table: str, frame: "pd.DataFrame", wanted: Sequence[Expectation]) -> list[Verdict]:
        if self._evaluator is None:
            self._evaluator = Evaluator()
        return self._evaluator.evaluate(table, frame, wanted)


def _new_extract_runs(store: OperationalStore) -> tuple[list[slices.ExtractCounts], int]:
    """The extract runs that no valid pass has looked at, and the last one's number."""
    runs = extract_runs.c
    with store.begin() as connection:
        looked_at = connection.execute(
            sa.select(validations.c.results)
            .join(passes, passes.c.sequence == validations.c.pass_sequence)
            .where(passes.c.is_valid.is_(True), validations.c.table_name == _LOADS)
            .order_by(validations.c.validation_id.desc())
            .limit(1)
        ).scalar_one_or_none()
        after = json.loads(looked_at)[_RUNS_THROUGH] if looked_at else 0
        rows = connection.execute(
            sa.select(
                runs.extract_run_id,
                runs.source,
                runs.stream,
                runs.load_id,
                runs.count_read,
                runs.count_landed,
                runs.count_duplicate,
                runs.count_quarantined,
            )
            .where(runs.extract_run_id > after)
            .order_by(runs.extract_run_id)
        ).all()
    return [slices.ExtractCounts(*row[1:]) for row in rows], (rows[-1][0] if rows else after)


def _keep(store: OperationalStore, current: Pass, tables: Sequence[TableResult], runs_through: int) -> None:
    validated_at = datetime.now(UTC)
    rows = []
    for table in tables:
        results = results_json(table)
        if table.table == _LOADS:
            results[_RUNS_THROUGH] = runs_through
        rows.append(
            {
                "pass_sequence": current.sequence,
                "boundary": table.boundary,
                "table_name": table.table,
                "is_valid": table.is_valid,
                "results": json.dumps(results, sort_keys=True),
                "validated_at": validated_at,
            }
        )
    with store.begin() as connection:
        connection.execute(validations.insert(), rows)


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)
