"""`make bench-brand`: what a brand's labels are worth. Open sources that the recipe never saw stand in for a brand.

Each held-out source is drawn at three shares of its classes. Half of the draw is the inbox that roomtone sees, with or
without labels, the other half is what it is judged on. No message to a company is among them: how large the gains are
on a real inbox is not measured here.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from roomtone.errors import RoomtoneError
from roomtone.score import artefact, brand_artefact, card, learning, train
from roomtone.score.brand_files import Labels
from roomtone.score.claims import Row
from roomtone.score.data import SENTIMENTS, Source
from roomtone.score.features import Doubles
from roomtone.score.label_shift import Classes
from roomtone.score.model import Model
from roomtone.settings import Settings, load_settings

HELD_OUT = ("semeval_sentiment", "vader_tweets", "vader_amazon")
SHARES = {
    "negative-heavy": (0.63, 0.21, 0.16),
    "balanced": (1 / 3, 1 / 3, 1 / 3),
    "neutral-heavy": (0.15, 0.70, 0.15),
}
LABELS = (100, 500, 2_000)
MOST_MESSAGES = 8_000

MOST_LOSS = 0.01
MOST_ERROR = 0.03


@dataclass(frozen=True)
class Base:
    """A model of the recipe in `folder` that never saw the source `held`, and the sources it was trained on."""

    folder: Path
    held: Source
    kept: list[Source]


def rows(settings: Settings, sample: int = 1, held_out: tuple[str, ...] = HELD_OUT) -> list[Row]:
    """Label shift and learning on each of `held_out` at each of `SHARES`.

    Bases are trained on one row in `sample` of each open set. Raises RoomtoneError where the open sets are absent.
    """
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in held_out:
            base = base_without(settings, name, sample, Path(folder))
            for shares in SHARES:
                found += shift_rows(base, shares, Path(folder) / "brand")
                found += label_rows(base, shares, Path(folder) / "brand")
    return found


def drawn(source: Source, shares: str, seed: int = 1) -> tuple[list[str], Classes]:
    """Texts and classes of a source at the class shares `SHARES[shares]`, in random order, at most `MOST_MESSAGES`."""
    marked = [row for row, name in enumerate(source.sentiment) if name is not None]
    target = np.array([SENTIMENTS.index(str(source.sentiment[row])) for row in marked])
    chance = np.random.default_rng(seed)
    wanted = np.array(SHARES[shares])
    total = min(int((np.bincount(target, minlength=len(SENTIMENTS)) / wanted).min()), MOST_MESSAGES)
    parts = [
        chance.choice(np.flatnonzero(target == number), round(total * share), replace=False)
        for number, share in enumerate(wanted)
    ]
    order = chance.permutation(np.concatenate(parts))
    return [source.texts[marked[row]] for row in order], target[order]


def base_without(settings: Settings, name: str, sample: int, folder: Path) -> Base:
    """A model of the recipe without the source `name`, in a folder of that name under `folder`."""
    if not settings.data_dir.is_dir():
        raise RoomtoneError("ROOMTONE_DATA", f"{settings.data_dir} is not a folder", "set it to the open sets' folder")
    sources = {source.name: source for source in train.open_sources(settings.data_dir, 7)}
    held = sources.pop(name)
    kept = [source if source.name == "project" else source.every(sample) for source in sources.values()]
    artefact.write(train.fit(kept, 7), folder / name, 7, [])
    return Base(folder / name, held, kept)


def shift_rows(base: Base, shares: str, folder: Path) -> Iterator[Row]:
    """What unlabelled messages change: macro-F1 against that of the model as it was, calibration error, and recall of
    negative at precision 0.9 (which shares do not move).
    """
    inbox, _, judged, truth = _split(base, shares)
    what = f"{base.held.name}, {shares}"
    plain = _figures(Model.load(base.folder), judged, truth)
    brand_artefact.train_brand(base.folder, folder, None, inbox)
    shifted = _figures(Model.load(folder), judged, truth)
    yield Row(f"{what}: label shift, as it was less {MOST_LOSS}", "macro-F1", plain[0] - MOST_LOSS, shifted[0])
    yield Row(f"{what}: label shift", "calibration error", MOST_ERROR, shifted[1], at_most=True)
    yield Row(f"{what}: label shift, as it was", "recall of negative at precision 0.9", plain[2], shifted[2])


def label_rows(base: Base, shares: str, folder: Path) -> Iterator[Row]:
    """What labels of the inbox add to its unlabelled messages, for each number of `LABELS` that the inbox holds."""
    inbox, known, judged, truth = _split(base, shares)
    what = f"{base.held.name}, {shares}"
    brand_artefact.train_brand(base.folder, folder, None, inbox)
    none = _figures(Model.load(folder), judged, truth)
    for count in LABELS:
        if count > len(inbox):
            continue
        labels = Labels()
        for text, number in zip(inbox[:count], known[:count], strict=True):
            if text not in labels.texts:
                labels.add(text, SENTIMENTS[number])
        brand_artefact.train_brand(base.folder, folder, labels, inbox)
        learned = _figures(Model.load(folder), judged, truth)
        yield Row(f"{what}: {count} labels, none as target", "macro-F1", none[0], learned[0])
        yield Row(f"{what}: {count} labels", "calibration error", MOST_ERROR, learned[1], at_most=True)
        yield Row(f"{what}: {count} labels, none as target", "recall of negative at precision 0.9", none[2], learned[2])


def _split(base: Base, shares: str) -> tuple[list[str], Classes, list[str], Classes]:
    """Texts and classes of the inbox, then of the messages that judge."""
    texts, target = drawn(base.held, shares)
    half = len(texts) // 2
    return texts[:half], target[:half], texts[half:], target[half:]


def _figures(model: Model, texts: list[str], target: Classes) -> tuple[float, float, float]:
    """macro-F1 of the named class, calibration error, recall of negative at precision 0.9."""
    scored = model.score(pa.table({"id": [str(row) for row in range(len(texts))], "text": texts}))
    chances: Doubles = np.column_stack([scored[f"p_{name}"].to_numpy() for name in SENTIMENTS])
    named = np.array([SENTIMENTS.index(name) for name in scored["sentiment"].to_pylist()])
    recall = learning.recall_at_precision(target == 0, chances[:, 0], learning.PRECISION)
    return card.macro_f1(target, named), card.calibration(target, chances)[0], recall


if __name__ == "__main__":
    try:
        print(json.dumps([row.as_dict() for row in rows(load_settings())], indent=2))
    except RoomtoneError as error:
        sys.exit(f"bench-brand: {error}")
