"""A brand's own messages from files: labels and unlabelled texts, JSON Lines, read line by line.

A line that cannot be used is left out and counted, and the rest goes on: one warning for each kind of fault names the
first such line.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roomtone.errors import RoomtoneError
from roomtone.score.data import SENTIMENTS

MOST_UNLABELLED = 20_000
"""Of a longer file a random sample of so many texts is kept; shares of classes need no more."""

MOST_LINE_BYTES = 1 << 20
_SHOWN = 40

Warn = Callable[[str], None]


@dataclass
class Labels:
    """Distinct texts with one sentiment each, and how much it weighs (at most 1)."""

    texts: list[str] = field(default_factory=list)
    sentiments: list[str] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, text: str, sentiment: str, weight: float = 1.0) -> None:
        self.texts.append(text)
        self.sentiments.append(sentiment)
        self.weights.append(weight)

    @property
    def fault(self) -> str:
        """Why nothing can be learned from these labels; empty when something can."""
        classes = sorted(set(self.sentiments))
        if len(classes) > 1:
            return ""
        return f"{len(self.texts)} usable lines, only {classes[0]}" if classes else "no usable line"


@dataclass
class _Faults:
    """Lines left out, by kind of fault: how many, and the first."""

    thing: str
    path: Path
    next_step: str
    found: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, kind: str, first: str) -> None:
        count, known = self.found.get(kind, (0, first))
        self.found[kind] = (count + 1, known)

    def tell(self, warn: Warn) -> None:
        for kind, (count, first) in self.found.items():
            warn(f"{self.thing}: {self.path} has {count} lines left out, {kind} (first: {first}); {self.next_step}")


def read_labels(path: Path, warn: Warn) -> Labels:
    """Labels of a JSON Lines file with `text` and `sentiment`, in order of the file.

    Left out with a warning: lines that are no such record, unknown sentiments, and texts with answers that disagree
    (all of their lines). Raises RoomtoneError when the file cannot be read.
    """
    faults = _Faults("labels", path, f"write id, text and sentiment ({', '.join(SENTIMENTS)})")
    answers: dict[str, set[str]] = {}
    first_line: dict[str, int] = {}
    for number, row in _rows(path, "labels", faults):
        sentiment = row.get("sentiment")
        if sentiment not in SENTIMENTS:
            faults.add("an unknown sentiment", f"line {number}, {str(sentiment)[:_SHOWN]!r}")
            continue
        answers.setdefault(row["text"], set()).add(sentiment)
        first_line.setdefault(row["text"], number)
    labels = Labels()
    for text, given in answers.items():
        if len(given) > 1:
            faults.add("a text with answers that disagree", f"line {first_line[text]}, {' and '.join(sorted(given))}")
            continue
        labels.add(text, next(iter(given)))
    faults.tell(warn)
    return labels


def joined(parts: list[Labels], warn: Warn) -> Labels:
    """Labels of several origins; a text whose origins disagree is left out with a warning."""
    answers: dict[str, dict[str, float]] = {}
    for part in parts:
        for text, sentiment, weight in zip(part.texts, part.sentiments, part.weights, strict=True):
            given = answers.setdefault(text, {})
            given[sentiment] = max(weight, given.get(sentiment, 0.0))
    labels = Labels()
    for text, given in answers.items():
        if len(given) == 1:
            labels.add(text, *next(iter(given.items())))
    if len(labels.texts) < len(answers):
        lost = len(answers) - len(labels.texts)
        warn(f"labels: the file and the reviews disagree on {lost} texts; they are left out")
    return labels


def read_unlabelled(path: Path, warn: Warn, seed: int, most: int = MOST_UNLABELLED) -> list[str]:
    """Texts of a JSON Lines file with `text`, of a long one a random sample of `most` (reservoir sampling).

    The file is never held whole. Raises RoomtoneError when it cannot be read or holds no text.
    """
    faults = _Faults("unlabelled messages", path, "write one JSON object with id and text a line")
    chance = random.Random(seed)  # noqa: S311 - no secret hangs on it
    kept: list[str] = []
    for count, (_, row) in enumerate(_rows(path, "unlabelled messages", faults), start=1):
        if len(kept) < most:
            kept.append(row["text"])
        elif (place := chance.randrange(count)) < most:
            kept[place] = row["text"]
    faults.tell(warn)
    if not kept:
        raise RoomtoneError("unlabelled messages", f"{path} holds no usable line", "give messages with id and text")
    return kept


def _rows(path: Path, thing: str, faults: _Faults) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and records whose `text` is text with something in it."""
    try:
        with path.open("rb") as source:
            number = 0
            while line := source.readline(MOST_LINE_BYTES):
                number += 1
                if len(line) == MOST_LINE_BYTES and not line.endswith(b"\n"):
                    faults.add("longer than a message can be", f"line {number}")
                    while (rest := source.readline(MOST_LINE_BYTES)) and not rest.endswith(b"\n"):
                        pass
                elif line.strip():
                    row = _row(line)
                    if row is None:
                        faults.add("no JSON object with a text", f"line {number}")
                    else:
                        yield number, row
    except OSError as error:
        raise RoomtoneError(thing, f"{path} cannot be read ({error.strerror})", "give a JSON Lines file") from error


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not isinstance(text := row.get("text"), str) or not text.strip():
        return None
    # JSON can spell half of a surrogate pair, which no encoding can write again.
    return None if any(0xD800 <= ord(letter) <= 0xDFFF for letter in text) else row
