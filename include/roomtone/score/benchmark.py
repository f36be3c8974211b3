"""`make bench-model`: what the shipped model reaches against what it should, one JSON object with a row per claim.

Speed is a ratio to VADER (Hutto and Gilbert 2014), timed in the same process, on the same texts, in CPU seconds of one
thread, the runs alternating: on a shared machine a ratio holds where a rate does not.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from roomtone.errors import RoomtoneError
from roomtone.score import anchors, data, evaluate, intent_benchmark
from roomtone.score.model import Model
from roomtone.settings import Settings, load_settings, process_environment

SPEED_BATCH = 10_000
CUE_TARGETS = {"gratitude": 0.92, "confusion": 0.38, "frustration": 0.52}
_RUNS = 5
_COLD_START = "from roomtone.cli import main; main()"


@dataclass(frozen=True)
class Row:
    """One claim: `figure` against `target`, in `unit`; `is_reached` compares them in the direction of `at_most`."""

    what: str
    unit: str
    target: float
    figure: float
    at_most: bool = False

    @property
    def is_reached(self) -> bool:
        return self.figure <= self.target if self.at_most else self.figure >= self.target

    def as_dict(self) -> dict[str, object]:
        rounded = {"target": round(self.target, 4), "figure": round(self.figure, 4)}
        return asdict(self) | rounded | {"is_reached": self.is_reached}


def benchmark(settings: Settings, transfer_sample: int = 2) -> list[Row]:
    """All rows for the model of `settings` and for its recipe.

    Transfer trains on one row in `transfer_sample` of each open set. Raises RoomtoneError where the open sets are
    absent.
    """
    anchors.require()
    model = Model.load(settings.model_dir)
    if not settings.data_dir.is_dir():
        raise RoomtoneError("ROOMTONE_DATA", f"{settings.data_dir} is not a folder", "set it to the open sets' folder")
    texts = data.semeval(settings.data_dir).texts[:SPEED_BATCH]
    return [
        Row("messages a second, all features", "x VADER", 2.0, speed_ratio(model, texts)),
        Row("cold start to first score", "CPU s", 1.0, cold_start_seconds(settings), at_most=True),
        Row("model on disk", "MB", 5.0, size_megabytes(settings.model_dir), at_most=True),
        *cue_rows(evaluate.evaluate(model, settings.data_dir)["cues"]),
        Row("Banking77, official test", "accuracy", 0.92, intent_benchmark.accuracy(settings.data_dir)),
        *transfer_rows(evaluate.transfer(settings.data_dir, sample=transfer_sample)),
    ]


def cue_rows(cues: dict[str, dict[str, float]]) -> list[Row]:
    """A row for each cue with a target, from the figures of `evaluate`."""
    return [
        Row(f"GoEmotions {cue}, official test", "F1", target, cues[cue]["f1"]) for cue, target in CUE_TARGETS.items()
    ]


def transfer_rows(held_out: dict[str, Any]) -> list[Row]:
    """For each source held out of the recipe a row against each baseline, whose figure is the target."""
    return [
        Row(f"transfer to {name}, against {anchor}", measure, figures[anchor][measure], figures["stack"][measure])
        for name, figures in held_out.items()
        for measure in ["macro_recall" if name == "semeval_sentiment" else "macro_f1"]
        for anchor in anchors.NAMES
    ]


def speed_ratio(model: Model, texts: list[str]) -> float:
    """Messages a CPU second of `model` over VADER's, medians of alternating runs over the same `texts`."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    vader = SentimentIntensityAnalyzer()
    table = pa.table({"id": [str(row) for row in range(len(texts))], "text": texts})

    def by_vader() -> None:
        for text in texts:
            vader.polarity_scores(text)

    model.score(table)
    taken = [(_cpu_seconds(by_vader), _cpu_seconds(lambda: model.score(table))) for _ in range(_RUNS)]
    return statistics.median(vader_s for vader_s, _ in taken) / statistics.median(model_s for _, model_s in taken)


def cold_start_seconds(settings: Settings) -> float:
    """CPU seconds, user and system, of `roomtone score` on one message, imports included; median of a few runs."""
    message = json.dumps({"id": "1", "text": "Where is my parcel?"})
    command = [sys.executable, "-c", _COLD_START, "score", "--model", str(settings.model_dir)]
    taken = []
    for _ in range(_RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            command, input=message, text=True, check=True, stdout=subprocess.DEVNULL, env=process_environment()
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return statistics.median(taken)


def size_megabytes(folder: Path) -> float:
    """Size of all files of a model folder, in millions of bytes."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file()) / 1e6


def _cpu_seconds(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


if __name__ == "__main__":
    try:
        print(json.dumps([row.as_dict() for row in benchmark(load_settings())], indent=2))
    except RoomtoneError as error:
        sys.exit(f"bench-model: {error}")
