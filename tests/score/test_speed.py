"""Cheap guards of the speed; `make bench-model` measures it."""

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from roomtone.score.benchmark import speed_ratio
from roomtone.score.model import Model
from roomtone.score.streaming import MAX_BATCH


def lines() -> list[str]:
    """Short messages, written for this project, with their own numbers so that few are alike."""
    folder = Path(__file__).parents[2] / "include" / "roomtone" / "score"
    texts = [line for line in (folder / "support_messages.txt").read_text(encoding="utf-8").splitlines() if line]
    return [f"{text.split(chr(9))[-1]} order {row * 7919 % 9973}" for row in range(4) for text in texts]


def test_several_times_as_fast_as_vader(model: Model) -> None:
    """The target is 2 on a quiet core; tests beside it and coverage cost the model more than VADER."""
    assert speed_ratio(model, lines()) > 1.2


def seconds(action: Callable[[], object]) -> float:
    begun = time.process_time()
    action()
    return time.process_time() - begun


def test_time_grows_with_the_batch_and_no_faster(model: Model) -> None:
    texts = lines()[:2000]
    few, many = (pa.table({"id": [str(row) for row in range(len(part))], "text": part}) for part in (texts, texts * 8))
    model.score(few)
    assert min(seconds(lambda: model.score(many)) for _ in range(3)) < 16 * min(
        seconds(lambda: model.score(few)) for _ in range(3)
    )


@pytest.mark.parametrize("count", [1, 10])
def test_a_few_messages_take_milliseconds(model: Model, count: int) -> None:
    table = pa.table({"id": [str(row) for row in range(count)], "text": lines()[:count]})
    model.score(table)
    assert min(seconds(lambda: model.score(table)) for _ in range(5)) < 0.05


def test_memory_does_not_grow_with_the_stream(model: Model) -> None:
    def batch(number: int) -> pa.Table:
        texts = [f"new{number}w{row} where is parcel {number}-{row}?" for row in range(MAX_BATCH // 5)]
        return pa.table({"id": [str(row) for row in range(len(texts))], "text": texts})

    for number in range(3):
        model.score(batch(number))
    tracemalloc.start()
    try:
        for number in range(3, 6):
            model.score(batch(number))
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Only the cache of words may grow, and it is bounded: 6,000 batches' worth of new words never add up.
    assert grown < 30_000_000
