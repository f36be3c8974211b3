"""What one validation found: per table how many expectations were evaluated and which of them failed, never a row."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

Severity = Literal["critical", "warning", "info"]
Boundary = Literal["raw", "marts", "releases"]


@dataclass(frozen=True)
class Failure:
    """One failed expectation. `observed` is a count, a measured number or a short state, never a value from a row."""

    name: str
    columns: tuple[str, ...]
    severity: Severity
    observed: str
    why: str
    next_step: str


@dataclass(frozen=True)
class TableResult:
    """The verdict on one table at one boundary. `count_rows` is what the rules looked at."""

    boundary: Boundary
    table: str
    count_rows: int
    count_evaluated: int
    failures: tuple[Failure, ...] = ()

    @property
    def is_valid(self) -> bool:
        return not any(failure.severity == "critical" for failure in self.failures)


@dataclass(frozen=True)
class ValidationReport:
    """The verdict on one pass. `is_valid` is false as soon as one critical expectation of any table failed."""

    pass_sequence: int
    as_of: datetime
    tables: tuple[TableResult, ...]
    seconds: float
    is_valid: bool

    @property
    def count_evaluated(self) -> int:
        return sum(table.count_evaluated for table in self.tables)

    @property
    def critical(self) -> tuple[str, ...]:
        """One line for each failed critical expectation: the thing, what was observed, the next step."""
        return self._lines({"critical"})

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line for each failed expectation that only tells."""
        return self._lines({"warning", "info"})

    def _lines(self, severities: set[str]) -> tuple[str, ...]:
        return tuple(
            f"{table.table}: {failure.name}: {failure.observed}; {failure.next_step}"
            for table in self.tables
            for failure in table.failures
            if failure.severity in severities
        )


def results_json(table: TableResult) -> dict[str, Any]:
    """A table's result as the JSON that the operational store keeps."""
    return {
        "count_rows": table.count_rows,
        "count_evaluated": table.count_evaluated,
        "failures": [asdict(failure) for failure in table.failures],
    }
