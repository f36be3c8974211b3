"""How a rule is written: once, as a Great Expectations expectation and as the SQL that counts the rows breaking it.

A `RowRule` is judged by Great Expectations on the rows themselves while the table is small, and on the count that
DuckDB made once it is large; `tests/validate` shows that both give the same verdict. A `Measure` needs more than one
row or more than one table, so it is always a count made in SQL, which Great Expectations then compares with its limit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from roomtone.validate.report import Boundary, Severity

# In a measure's SQL: the rows that the suite looks at.
ROWS = "{rows}"
_UNIQUE = "one row per "


@dataclass(frozen=True)
class RowRule:
    """One rule over the columns of one table.

    `expectation` is the name of a Great Expectations class, `arguments` its arguments over the frame's columns; `frame`
    gives each column of the frame as an SQL expression over the table's `columns`; `violations` is an SQL aggregate
    over the table. `blame` counts for each column by itself, asked only once the rule is broken, which of them did it.
    """

    name: str
    severity: Severity
    why: str
    columns: tuple[str, ...]
    expectation: str
    arguments: Mapping[str, Any]
    frame: Mapping[str, str]
    violations: str
    blame: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measure:
    """One number that must not exceed `maximum`.

    `sql` selects exactly one number and may use $as_of (the pass's instant) and $received_until (the latest instant at
    which a record can have been received), and {rows} for the rows that the suite's row rules look at; `tables` are the
    other tables it reads. Where `unless`, which may use {rows} too, selects true, the number is 0 and is not counted.
    """

    name: str
    severity: Severity
    why: str
    sql: str
    columns: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    maximum: float = 0
    unless: str = ""


@dataclass(frozen=True)
class Suite:
    """The rules of one table.

    With `is_slice` the row rules, and what measures call {rows}, look only at what was loaded or computed since the
    last validated pass.
    """

    boundary: Boundary
    table: str
    grain: str
    rules: tuple[RowRule, ...]
    measures: tuple[Measure, ...] = ()
    extra_columns: tuple[str, ...] = ()
    is_slice: bool = False
    next_step: str = field(default="", kw_only=True)

    @property
    def rows(self) -> str:
        """The table, or the temporary one that holds its slice."""
        return f"new_{self.table.rpartition('.')[2]}" if self.is_slice else self.table

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that the first rule wants to be unique."""
        first = self.rules[0] if self.rules else None
        return first.columns if first is not None and first.name.startswith(_UNIQUE) else ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that the rules read or that a destination relies on, sorted."""
        read = [rule.columns for rule in self.rules] + [measure.columns for measure in self.measures]
        return tuple(sorted({column for columns in read for column in columns} | set(self.extra_columns)))


def not_null(*columns: str, why: str, severity: Severity = "critical") -> tuple[RowRule, ...]:
    """Every column holds a value in every row.

    One rule for all of them: each expectation costs milliseconds in every pass.
    """
    empty = {column: f'count(*) filter (where "{column}" is null)' for column in columns}
    any_empty = " or ".join(f'"{column}" is null' for column in columns)
    fields = " + ".join(f'("{column}" is null)::integer' for column in columns)
    target = f"empty fields among {', '.join(columns)}"
    return (
        RowRule(
            name=f"no empty {', '.join(columns)}",
            severity=severity,
            why=why,
            columns=columns,
            expectation="ExpectColumnMaxToBeBetween",
            arguments={"column": target, "max_value": 0},
            frame={target: fields},
            violations=f"count(*) filter (where {any_empty})",
            blame=empty,
        ),
    )


def unique(*columns: str, why: str, severity: Severity = "critical") -> tuple[RowRule, ...]:
    """No two rows agree in all of `columns`. Nulls are another rule's."""
    listed = ", ".join(f'"{column}"' for column in columns)
    filled = " and ".join(f'"{column}" is not null' for column in columns)
    return (
        RowRule(
            name=f"{_UNIQUE}{' x '.join(columns)}",
            severity=severity,
            why=why,
            columns=columns,
            expectation="ExpectColumnValuesToBeUnique" if len(columns) == 1 else "ExpectCompoundColumnsToBeUnique",
            arguments={"column": columns[0]}
            if len(columns) == 1
            else {"column_list": list(columns), "ignore_row_if": "any_value_is_missing"},
            frame={column: f'"{column}"' for column in columns},
            violations=f"count(*) filter (where {filled}) - count(distinct ({listed})) filter (where {filled})",
        ),
    )


def one_of(column: str, values: Sequence[Any], *, why: str, severity: Severity = "critical") -> tuple[RowRule, ...]:
    """Every value that is there is one of `values`."""
    listed = ", ".join(_literal(value) for value in values)
    return (
        RowRule(
            name=f"{column} is one of {', '.join(str(value) for value in values)}",
            severity=severity,
            why=why,
            columns=(column,),
            expectation="ExpectColumnValuesToBeInSet",
            arguments={"column": column, "value_set": list(values)},
            frame={column: f'"{column}"'},
            violations=f'count(*) filter (where "{column}" not in ({listed}))',
        ),
    )


def between(
    column: str, minimum: float, maximum: float | None = None, *, why: str, severity: Severity = "critical"
) -> tuple[RowRule, ...]:
    """Every value that is there is a finite number in [minimum, maximum]."""
    upper = 1e300 if maximum is None else maximum
    shown = f">= {minimum:g} and finite" if maximum is None else f"in [{minimum:g}, {maximum:g}]"
    # Great Expectations skips NaN as if it were null: in the frame it stands as minus infinity, which no range admits.
    number = f'cast("{column}" as double)'
    value = f"case when isnan({number}) then '-inf'::double else {number} end"
    return (_ranged(f"{column} {shown}", severity, why, (column,), f"{column} as number", value, minimum, upper),)


def sums_to(
    columns: Sequence[str], total: float, tolerance: float, *, why: str, severity: Severity = "critical"
) -> tuple[RowRule, ...]:
    """The columns of every row are finite and add up to `total` within `tolerance`."""
    added = " + ".join(f'"{column}"' for column in columns)
    value = f"case when isfinite({added}) then {added} else '-inf'::double end"
    name = f"{' + '.join(columns)} = {total:g} within {tolerance:g}"
    return (_ranged(name, severity, why, tuple(columns), "sum", value, total - tolerance, total + tolerance),)


def _ranged(  # noqa: PLR0917 - a range has these parts
    name: str,
    severity: Severity,
    why: str,
    columns: tuple[str, ...],
    target: str,
    value: str,
    minimum: float,
    maximum: float,
) -> RowRule:
    return RowRule(
        name=name,
        severity=severity,
        why=why,
        columns=columns,
        expectation="ExpectColumnValuesToBeBetween",
        arguments={"column": target, "min_value": minimum, "max_value": maximum},
        frame={target: value},
        violations=f"count(*) filter (where not (({value}) between {minimum!r}::double and {maximum!r}::double))",
    )


def before(first: str, second: str, *, why: str, severity: Severity = "critical") -> tuple[RowRule, ...]:
    """Where both are there, `first` lies before `second`: no empty and no backward interval."""
    return (
        RowRule(
            name=f"{first} is before {second}",
            severity=severity,
            why=why,
            columns=(first, second),
            expectation="ExpectColumnPairValuesAToBeGreaterThanB",
            arguments={"column_A": second, "column_B": first, "ignore_row_if": "either_value_is_missing"},
            frame={first: f'"{first}"', second: f'"{second}"'},
            violations=f'count(*) filter (where not ("{first}" < "{second}"))',
        ),
    )


def counted(
    name: str,
    sql: str,
    *,
    why: str,
    columns: Sequence[str] = (),
    tables: Sequence[str] = (),
    severity: Severity = "critical",
    maximum: float = 0,
    unless: str = "",
) -> Measure:
    """A number made in SQL that must not exceed `maximum` (by default: no such row)."""
    return Measure(name, severity, why, sql, tuple(columns), tuple(tables), maximum, unless)


def _literal(value: Any) -> str:
    """A constant of this package as an SQL literal."""
    return f"'{value}'" if isinstance(value, str) else str(value)
