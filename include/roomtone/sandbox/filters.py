"""Klaviyo's filter language, as far as the endpoints here allow it.

`equals(field,"x")`, `any(field,["x","y"])`, `greater-or-equal(datetime,2026-03-02T09:00:00Z)` and its like, joined by
commas or `and(...)`.
"""

import re
from dataclasses import dataclass
from typing import Any

from roomtone.sandbox.web import RefusedError

_CLAUSE = re.compile(r"([a-z-]+)\(([\w.]+),(.*)\)$", re.DOTALL)
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'|([^,\[\]"\']+)')


@dataclass(frozen=True)
class Clause:
    """One condition: `equals`, `any`, `less-than` ... on a field; `values` are texts."""

    operator: str
    field: str
    values: tuple[str, ...]

    def holds(self, value: Any) -> bool:
        """Whether a value meets the condition; comparisons are of like with like, as the caller prepares them."""
        if self.operator in {"equals", "any"}:
            return value is not None and str(value) in self.values
        if self.operator == "contains":
            return self.values[0] in str(value)
        raise ValueError(self.operator)


def read_filter(text: str, allowed: dict[str, set[str]]) -> list[Clause]:
    """The clauses of a filter. Raises RefusedError 400 for what cannot be read or is not allowed on the endpoint."""
    text = text.strip()
    if text.startswith("and(") and text.endswith(")"):
        text = text[4:-1]
    clauses = []
    for part in _split(text):
        match = _CLAUSE.match(part.strip())
        if match is None:
            raise RefusedError(400, "invalid", f"Invalid filter: {part[:80]}", parameter="filter")
        operator, field, rest = match.groups()
        if operator not in allowed.get(field, set()):
            raise RefusedError(400, "invalid", f"{operator} is not allowed on {field} here", parameter="filter")
        values = tuple(next(g for g in found.groups() if g is not None) for found in _TOKEN.finditer(rest))
        if not values and operator != "any":
            raise RefusedError(400, "invalid", f"{operator} needs a value", parameter="filter")
        clauses.append(Clause(operator, field, tuple(_unquoted(value) for value in values)))
    return clauses


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value).strip()


def _split(text: str) -> list[str]:
    """Splits at the commas that stand outside brackets and quotation marks."""
    parts, depth, quote, current, is_escaped = [], 0, "", "", False
    for char in text:
        if quote:
            if is_escaped:
                is_escaped = False
            elif char == "\\":
                is_escaped = True
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        elif char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(current)
            current = ""
            continue
        current += char
    return [*parts, current]
