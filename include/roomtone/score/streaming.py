"""Scores JSON Lines as they come: first answers at once, full batches under load."""

import json
import select
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from roomtone.score.columns import strings
from roomtone.score.model import Model

MAX_BATCH = 10_000
# How long an incomplete batch waits for more before it is scored.
IDLE_SECONDS = 0.05


def score_lines(source: BinaryIO, model_dir: Path, warn: Callable[[str], None]) -> Iterator[str | None]:
    """One JSON line per input line, in order; None, after a warning that names the line, for one that has no score."""
    model = Model.load(model_dir)
    number = 0
    for lines in _batches(source):
        records: list[dict[str, Any] | None] = []
        for line in lines:
            number += 1
            if line.strip():
                records.append(_record(line, number, warn))
        good = [record for record in records if record is not None]
        answers = iter(_score(model, good))
        for record in records:
            yield None if record is None else next(answers)


def _record(line: bytes, number: int, warn: Callable[[str], None]) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    fault = _fault(record)
    if fault:
        warn(f'line {number}: {fault}; give {{"id": ..., "text": ...}}')
        return None
    return dict(record)


def _fault(record: Any) -> str:
    if not isinstance(record, dict):
        return "is not a JSON object"
    for name in ("id", "text"):
        if name not in record:
            return f"{name} is missing"
        if not isinstance(record[name], str) or not _is_unicode(record[name]):
            return f"{name} is not Unicode text"
    return ""


def _is_unicode(text: str) -> bool:
    # JSON can spell half of a surrogate pair, which no encoding can write again.
    return not any(0xD800 <= ord(letter) <= 0xDFFF for letter in text)


def _score(model: Model, records: list[dict[str, Any]]) -> list[str]:
    if not records:
        return []
    columns = {name: [_text(record.get(name)) for record in records] for name in ("id", "text", "channel", "language")}
    table = pa.Table.from_arrays([strings(values) for values in columns.values()], list(columns))
    answers = []
    for record, row in zip(records, model.score(table).to_pylist(), strict=True):
        row["cues"], row["top_reasons"] = json.loads(row["cues"]), json.loads(row["top_reasons"])
        # What only the warehouse knows about a message stays null unless the caller says it.
        known = {name: record.get(name) for name in ("ticket_id", "customer_id", "repeat_count")}
        answers.append(json.dumps({"id": record["id"], **row, **known}, ensure_ascii=False) + "\n")
    return answers


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _batches(source: BinaryIO) -> Iterator[list[bytes]]:
    """Lines in batches: as many as are there, at most MAX_BATCH, never waiting long for more."""
    buffer: list[bytes] = []
    rest = b""
    can_wait = _is_pollable(source)
    while True:
        if buffer and can_wait and not select.select([source], [], [], IDLE_SECONDS)[0]:
            yield buffer
            buffer = []
        chunk = source.read1(1 << 20) if hasattr(source, "read1") else source.read(1 << 20)
        if not chunk:
            break
        *lines, rest = (rest + chunk).split(b"\n")
        buffer += lines
        while len(buffer) >= MAX_BATCH:
            yield buffer[:MAX_BATCH]
            buffer = buffer[MAX_BATCH:]
    if rest:
        buffer.append(rest)
    if buffer:
        yield buffer


def _is_pollable(source: BinaryIO) -> bool:
    try:
        select.select([source], [], [], 0)
    except (OSError, ValueError, TypeError):
        return False
    return True
