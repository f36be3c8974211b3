"""All training rows as arrays, cleaned and encoded once."""

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from roomtone.score import data, features, service, tokens
from roomtone.score.data import CUE_MARKS, INTENTS, SENTIMENTS, Source
from roomtone.score.text import clean_body
from roomtone.score.tokens import Floats, Hashes

FOLDS = 3
_CHUNK = 10_000


@dataclass
class Corpus:
    """All training rows, encoded once. `sentiment` and `intent` hold class numbers, -1 where a row has none."""

    texts: list[str]
    source: npt.NDArray[np.object_]
    sentiment: npt.NDArray[np.int64]
    urgency: npt.NDArray[np.int64]
    intent: npt.NDArray[np.int64]
    cues: npt.NDArray[np.int64]  # rows x CUE_MARKS, -1 unknown
    surface: Floats
    key: Hashes
    row: npt.NDArray[np.int64]
    sentence: npt.NDArray[np.int64]
    fold: npt.NDArray[np.int64]
    weak: npt.NDArray[np.int64]  # class numbers of weak labels, -1 where there is none or the text shows feeling
    repeats: npt.NDArray[np.int64]


def corpus(sources: list[Source], seed: int) -> Corpus:
    """Cleans and encodes the sources; texts of one group share a fold."""
    texts: list[str] = []
    names: list[str] = []
    groups: list[str] = []
    repeats: list[int] = []
    marks: dict[str, list[int]] = {"sentiment": [], "urgency": [], "intent": [], "weak": []}
    cue_rows: list[list[int]] = []
    orders = {"sentiment": SENTIMENTS, "urgency": data.URGENCIES, "intent": INTENTS, "weak": SENTIMENTS}
    for source in sources:
        texts += [clean_body(text) for text in source.texts]
        names += [source.name] * len(source.texts)
        groups += [group or text for group, text in zip(source.groups, source.texts, strict=True)]
        repeats += source.repeats
        for mark, order in orders.items():
            marks[mark] += [order.index(value) if value else -1 for value in getattr(source, mark)]
        cue_rows += [
            [-1] * len(CUE_MARKS) if cues is None else [int(name in cues) for name in CUE_MARKS] for cues in source.cues
        ]
    table = tokens.TypeTable()
    surfaces, keys, rows, sentences = [], [], [], []
    count_sentences = 0
    for start in range(0, len(texts), _CHUNK):
        batch = tokens.encode(texts[start : start + _CHUNK], table)
        surfaces.append(features.surface(batch).values)
        grams = tokens.grams(batch)
        keys.append(grams.key)
        rows.append(grams.message.astype(np.int64) + start)
        sentences.append(batch.sentence[grams.first].astype(np.int64) + count_sentences)
        count_sentences += int(batch.sentence.max(initial=0)) + 1
    surface = np.concatenate(surfaces)
    return Corpus(
        texts=texts,
        source=np.array(names, dtype=object),
        sentiment=np.array(marks["sentiment"]),
        urgency=np.array(marks["urgency"]),
        intent=np.array(marks["intent"]),
        cues=np.array(cue_rows).reshape(-1, len(CUE_MARKS)),
        surface=surface,
        key=np.concatenate(keys),
        row=np.concatenate(rows),
        sentence=np.concatenate(sentences),
        fold=np.array([zlib.crc32(f"{seed}:{group.lower()}".encode("utf-8", "replace")) % FOLDS for group in groups]),
        weak=np.where(service.feeling(texts, surface), -1, np.array(marks["weak"])),
        repeats=np.array(repeats),
    )
