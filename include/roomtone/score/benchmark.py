"""What the shipped model reaches against what it should, a row per claim (`make bench-model` prints them).

Figures of the shipped model stand first, then, for each open source that can be left out, those of a model of the same
recipe that never saw it: against the baselines, and with the class shares of unlabelled texts.

Speed is a ratio to VADER (Hutto and Gilbert 2014), timed in the same process, on the same texts, in CPU seconds of one
thread, the runs alternating: on a shared machine a ratio holds where a rate does not.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from roomtone.errors import RoomtoneError
from roomtone.score import anchors, brand_benchmark, checks, data, evaluate, fairness, intent_benchmark
from roomtone.score.claims import Row
from roomtone.score.model import Model
from roomtone.settings import Settings, process_environment

SPEED_BATCH = 10_000
CUE_TARGETS = {"gratitude": 0.92, "confusion": 0.38, "frustration": 0.52}
BLIND_TARGET = 0.80
MOST_FLIPS = 1 / 12
_RUNS = 5
_COLD_START = "from roomtone.cli import main; main()"


def benchmark(settings: Settings, sample: int = 1, held_out: tuple[str, ...] = brand_benchmark.HELD_OUT) -> list[Row]:
    """All rows for the model of `settings` and for its recipe.

    The recipe is trained on one row in `sample` of each open set without each of `held_out` in turn. Raises
    RoomtoneError where the open sets are absent.
    """
    anchors.require()
    model = Model.load(settings.model_dir)
    if not settings.data_dir.is_dir():
        raise RoomtoneError("ROOMTONE_DATA", f"{settings.data_dir} is not a folder", "set it to the open sets' folder")
    texts = data.semeval(settings.data_dir).texts[:SPEED_BATCH]
    rows = [
        Row("messages a second, all features", "x VADER", 2.0, speed_ratio(model, texts)),
        Row("cold start to first score", "CPU s", 1.0, cold_start_seconds(settings), at_most=True),
        Row("model on disk", "MB", 5.0, size_megabytes(settings.model_dir), at_most=True),
        *cue_rows(evaluate.evaluate(model, settings.data_dir)["cues"]),
        Row("Banking77, official test", "accuracy", 0.92, intent_benchmark.accuracy(settings.data_dir)),
        *check_rows(model),
        *flip_rows(model),
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name in held_out:
            base = brand_benchmark.base_without(settings, name, sample, Path(folder))
            rows += transfer_rows(name, evaluate.against_anchors(Model.load(base.folder), base.held, base.kept))
            for shares in brand_benchmark.SHARES:
                rows += brand_benchmark.shift_rows(base, shares, Path(folder) / "brand")
    return rows


def check_rows(model: Model) -> Iterator[Row]:
    """The blind half of the behavioural checks, whole and by kind and expectation, and the urgency set."""
    for group, share in checks.behaviour_figures(model, "blind").items():
        yield Row(f"behavioural checks, blind half: {group}", "share passed", BLIND_TARGET, share)
    urgency = checks.urgency_figures(model)
    for measure in ("accuracy", "macro_f1"):
        yield Row("urgency, 300 hand-written messages, one class for all as target", measure, 1 / 3, urgency[measure])


def flip_rows(model: Model) -> Iterator[Row]:
    """For each group of names and each dialect the share of messages whose sentiment changes; a twelfth is the bound
    that the tests hold names to.
    """
    for group, (changed, count) in fairness.flips(model).items():
        yield Row(f"sentiment flips, {group}", "share changed", MOST_FLIPS, changed / count, at_most=True)


def cue_rows(cues: dict[str, dict[str, float]]) -> list[Row]:
    """A row for each cue with a target, from the figures of `evaluate`."""
    return [
        Row(f"GoEmotions {cue}, official test", "F1", target, cues[cue]["f1"]) for cue, target in CUE_TARGETS.items()
    ]


def transfer_rows(name: str, figures: dict[str, dict[str, float]]) -> list[Row]:
    """A row against each baseline, whose figure is the target, from `evaluate.against_anchors` of the source `name`."""
    measure = "macro_recall" if name == "semeval_sentiment" else "macro_f1"
    return [
        Row(f"transfer to {name}, against {anchor}", measure, figures[anchor][measure], figures["stack"][measure])
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
