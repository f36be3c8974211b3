"""The loaded mood model: checked files in, one answer per message out."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roomtone.errors import RoomtoneError
from roomtone.score import brand as brands
from roomtone.score import features, language, reasons, tokens
from roomtone.score.columns import flags, joined, numbers, strings
from roomtone.score.data import CUE_HEADS, INTENTS, SENTIMENTS, URGENCIES
from roomtone.score.features import FEATURE_NAMES, HEAD_NAMES, Doubles
from roomtone.score.heads import Heads, softmax
from roomtone.score.keys import union
from roomtone.score.text import clean_bodies
from roomtone.score.trees import Trees
from roomtone.score.weights import Found, WordTable

FORMAT = 2
MANIFEST = "manifest.json"
GOLDEN = "golden.json"
WORDS, INTENT_WORDS, TREES, HEADS = "words.txt", "intents.txt", "sentiment.txt", "heads.json"

CUES = ("frustration", "gratitude", "confusion", "sarcasm", "threat")
OUTPUT = pa.schema(
    [
        ("message_id", pa.string()),
        ("p_negative", pa.float64()),
        ("p_neutral", pa.float64()),
        ("p_positive", pa.float64()),
        ("sentiment", pa.string()),
        ("confidence", pa.float64()),
        ("is_abstained", pa.bool_()),
        ("urgency", pa.string()),
        ("urgency_score", pa.float64()),
        ("intent", pa.string()),
        ("intent_confidence", pa.float64()),
        ("cues", pa.string()),
        ("language", pa.string()),
        ("model_version", pa.string()),
        ("top_reasons", pa.string()),
    ]
)
"""Columns of `Model.score`, in order."""

_ROWS = 5_000
_CHARACTERS = 4_000_000
_GOLDEN_LEAST = 50
_GOLDEN_TOLERANCE = 0.002
_GOLDEN_MISSES = 1
_LARGEST_FILE_BYTES = 20_000_000
# What contents that do not fit together make of the code that reads them.
_UNFIT = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
_SHARES = strings([f"{value / 1000:.3f}" for value in range(1001)])


@dataclass(frozen=True)
class Model:
    """A model folder that passed its checks.

    `score` keeps a cache of distinct words and is not for several threads at once.
    """

    version: str
    manifest: dict[str, Any]
    words: WordTable
    intents: WordTable  # over the same keys as words
    trees: Trees
    heads: Heads
    table: tokens.TypeTable
    brand: brands.Brand | None = None

    @classmethod
    def load(cls, folder: Path) -> "Model":
        """The model in `folder`. SHA-256 of every file is checked before it is read, golden predictions afterwards.

        Raises RoomtoneError for a missing, damaged, truncated, swapped or older model, and for one with another
        feature list.
        """
        model = assemble(folder)
        try:
            return _checked(model, folder)
        except _UNFIT as error:
            raise _unfit(folder, error) from error

    def score(self, messages: pa.Table) -> pa.Table:
        """One row (`OUTPUT`) for each row of `messages`, in order.

        Columns read: `id`, `text` (raw body), optional `language` (a hint). Texts without words and texts that are
        not English are abstained from: they get the prior's probabilities, urgency normal and intent other.
        """
        for column in ("id", "text"):
            if column not in messages.column_names:
                raise RoomtoneError("messages", f"no column {column}", "give a table with id and text")
        ids = messages["id"].to_pylist()
        texts = [text or "" for text in messages["text"].to_pylist()]
        hints = messages["language"].to_pylist() if "language" in messages.column_names else [None] * len(texts)
        parts = []
        start = 0
        while start < len(texts):
            end = start + 1
            characters = len(texts[start])
            while end < len(texts) and end - start < _ROWS and characters + len(texts[end]) <= _CHARACTERS:
                characters += len(texts[end])
                end += 1
            parts.append(self._score(ids[start:end], texts[start:end], hints[start:end]))
            start = end
        return pa.concat_tables(parts) if parts else OUTPUT.empty_table()

    def cold_start(self, texts: list[str]) -> tuple[Doubles, tokens.Mask]:
        """Sentiment probabilities of raw `texts` without what a brand has taught (texts x 3), and which of them the
        model reads: where it abstains because of the language, they are the declared prior's.
        """
        batch = tokens.encode(clean_bodies(texts)[0], self.table)
        surface = features.surface(batch)
        chances = self._cold_chances(self._columns(batch, self.words.find(tokens.grams(batch)), surface))
        _, silent = self._silent(batch, surface, [None] * len(texts))
        chances[silent] = [self.heads.prior[name] for name in SENTIMENTS]
        return chances, ~silent | (surface.words == 0)

    def columns(self, texts: list[str]) -> Doubles:
        """Feature matrix (texts x `FEATURE_NAMES`) of cleaned texts, as the trees see it."""
        batch = tokens.encode(texts, self.table)
        return self._columns(batch, self.words.find(tokens.grams(batch)), features.surface(batch))

    def _columns(self, batch: tokens.Encoded, found: Found, surface: features.Surface) -> Doubles:
        extremes = self.words.sentence_extremes(found, batch.sentence[found.first], batch.size)
        return features.matrix(np.column_stack([self.words.scores(found, batch.size), extremes]), surface.values)

    def _score(self, ids: list[str], raw: list[str], hints: list[str | None]) -> pa.Table:
        size = len(raw)
        cleaned, places = clean_bodies(raw)
        batch = tokens.encode(cleaned, self.table)
        surface = features.surface(batch)
        grams = tokens.grams(batch)
        found = self.words.find(grams)
        columns = self._columns(batch, found, surface)

        languages, silent = self._silent(batch, surface, hints)
        chances, named = self._sentiments(columns, grams, silent)
        confidence = chances[np.arange(size), named]
        abstained = silent | (chances.max(axis=1) < self.manifest["abstain_below"])

        urgency = self.heads.urgency.apply(columns)
        urgency[silent] = [0.0, 1.0, 0.0]
        intents = softmax(self.intents.scores(found, size))
        intent, intent_confidence = _intent(intents, silent, self.manifest["intent_least"])
        cues = self._cues(columns, surface.values, chances)
        urgent = urgency.argmax(axis=1)
        return pa.Table.from_arrays(
            [
                strings(ids),
                *(numbers(chances[:, column]) for column in range(len(SENTIMENTS))),
                strings(SENTIMENTS).take(numbers(named)),
                numbers(confidence),
                flags(abstained),
                strings(URGENCIES).take(numbers(urgent)),
                numbers(urgency @ np.array([0.0, 0.5, 1.0])),
                strings(INTENTS).take(numbers(intent)),
                numbers(intent_confidence),
                _cue_texts(cues, silent),
                strings(languages.tolist()),
                strings([self.version] * size),
                reasons.top_reasons(
                    batch,
                    raw,
                    places,
                    self.words,
                    found,
                    named=named,
                    phrases=surface.phrases,
                    is_urgent=urgent == len(URGENCIES) - 1,
                    is_threat=cues[:, CUES.index("threat")] >= 0.5,
                    silent=silent,
                ),
            ],
            schema=OUTPUT,
        )

    def _silent(
        self, batch: tokens.Encoded, surface: features.Surface, hints: list[str | None]
    ) -> tuple[npt.NDArray[np.object_], tokens.Mask]:
        """Languages, and which messages say nothing that the model reads: no words, or words of another language."""
        languages = language.detect(batch, reasons.known_words(batch, self.words, self.manifest["frequent_idf"]), hints)
        emojis = np.bincount(batch.message[batch.kind == tokens.EMOJI], minlength=batch.size)[: batch.size]
        empty = (surface.words == 0) & (emojis == 0)
        return languages, empty | ((languages != language.ENGLISH) & (surface.words > 0))

    def _cold_chances(self, columns: Doubles) -> Doubles:
        return self.heads.scaling.apply(self.trees.predict(columns))

    def _sentiments(
        self, columns: Doubles, grams: tokens.Grams, silent: tokens.Mask
    ) -> tuple[Doubles, tokens.Integers]:
        """Probabilities of the sentiments and the number of the one that each message is given."""
        chances = self._cold_chances(columns)
        prior = np.array([self.heads.prior[name] for name in SENTIMENTS])
        if self.brand is None:
            chances[silent] = prior
            return chances, chances.argmax(axis=1).astype(np.int32)
        chances = self.brand.chances(chances, columns, grams)
        chances[silent] = self.brand.prior
        return chances, self.brand.named(chances).astype(np.int32)

    def _cues(self, columns: Doubles, values: tokens.Floats, chances: Doubles) -> Doubles:
        """Probabilities of `CUES`.

        Sarcasm and threat have no open training data: hand-set logistic models of the marker phrases.
        """

        def feature(name: str) -> Doubles:
            return np.asarray(values[:, features.SURFACE_NAMES.index(name)], np.float64)

        learned = [self.heads.cues[name].apply(columns)[:, 1] for name in CUE_HEADS]
        negative = chances[:, 0]
        trouble = np.minimum(feature("problem") + feature("phrase_waiting") + feature("persistent"), 3.0)
        clash = np.minimum(feature("valence_mixed"), 3.0)
        ironic = np.minimum(feature("phrase_thanks_for_nothing"), 2.0)
        sarcasm = 0.6 / (
            1.0 + np.exp(4.0 - 2.2 * ironic - 0.5 * trouble * (ironic > 0) - 0.4 * clash - 0.4 * feature("ellipses"))
        )
        threat = 1.0 / (1.0 + np.exp(4.2 - 1.1 * feature("phrase_threat") - 2.8 * negative))
        threat = np.where(feature("phrase_threat") > 0, threat, 0.01)
        return np.column_stack([*learned, sarcasm, threat])


def _intent(chances: Doubles, silent: tokens.Mask, least: float) -> tuple[tokens.Positions, Doubles]:
    """Row of the best intent and its probability; `other` where no intent is likely enough."""
    other = INTENTS.index("other")
    best = np.where(chances.max(axis=1) >= least, chances.argmax(axis=1), other)
    best = np.where(silent, other, best)
    confidence = np.where(silent, 0.0, chances[np.arange(len(chances)), best])
    return best, confidence


def _cue_texts(cues: Doubles, silent: tokens.Mask) -> pa.Array:
    millis = np.rint(np.where(silent[:, None], 0.0, cues) * 1000).astype(np.int32)
    parts: list[pa.Array | str] = []
    for column, name in enumerate(CUES):
        parts += [", " if parts else "{", f'"{name}": ', _SHARES.take(numbers(millis[:, column]))]
    return joined(*parts, "}")


def _refusal(folder: Path, value: str) -> RoomtoneError:
    return RoomtoneError("model", f"{folder}: {value}", "restore the shipped model or run `roomtone train`")


def _unfit(folder: Path, error: Exception) -> RoomtoneError:
    return _refusal(folder, f"its contents do not fit together ({type(error).__name__})")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a model folder, its format, text version, feature list and files checked."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _refusal(folder, f"{MANIFEST} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise _refusal(folder, f"{MANIFEST} cannot be read ({type(error).__name__})") from error
    if (
        not isinstance(manifest, dict)
        or manifest.get("format") != FORMAT
        or manifest.get("text_version") != tokens.TEXT_VERSION
    ):
        raise _refusal(
            folder,
            f"made for another version of roomtone (format {FORMAT} and text version {tokens.TEXT_VERSION} are needed)",
        )
    if manifest.get("features") != list(FEATURE_NAMES):
        raise _refusal(folder, "its feature list is not this version's")
    listed = manifest.get("files")
    if not isinstance(listed, dict) or not {WORDS, INTENT_WORDS, TREES, HEADS, GOLDEN} <= set(listed):
        raise _refusal(folder, f"{MANIFEST} does not name all files")
    return manifest


def _checked_bytes(folder: Path, manifest: dict[str, Any], name: str) -> bytes:
    try:
        if (folder / name).stat().st_size > _LARGEST_FILE_BYTES:
            raise _refusal(folder, f"{name} is larger than any model's")
        content = (folder / name).read_bytes()
    except OSError:
        raise _refusal(folder, f"{name} is missing or unreadable") from None
    if hashlib.sha256(content).hexdigest() != manifest["files"][name]:
        raise _refusal(folder, f"{name} is damaged or swapped (its SHA-256 is not the manifest's)")
    return content


def assemble(folder: Path) -> Model:
    """The model in `folder` with its files checked but not its golden predictions."""
    manifest = read_manifest(folder)
    content = {name: _checked_bytes(folder, manifest, name) for name in (WORDS, INTENT_WORDS, TREES, HEADS, GOLDEN)}
    of_brand = {
        name: _checked_bytes(folder, manifest, name)
        for name in (brands.FILE, brands.WORDS, brands.TREES)
        if name in manifest["files"]
    }
    try:
        small = json.loads(content[HEADS])
        words = WordTable.from_text(content[WORDS], np.array(small["words_bias"]), HEAD_NAMES)
        intents = WordTable.from_text(content[INTENT_WORDS], np.array(small["intents_bias"]), INTENTS)
        keys = union(words.keys, intents.keys)
        return Model(
            version=str(manifest["model_version"]),
            manifest=manifest,
            words=words.over(keys),
            intents=intents.over(keys),
            trees=Trees(content[TREES].decode(), len(FEATURE_NAMES)),
            heads=Heads.from_json(small),
            table=tokens.TypeTable(),
            brand=_brand(of_brand),
        )
    except _UNFIT as error:
        raise _unfit(folder, error) from error


def _brand(content: dict[str, bytes]) -> brands.Brand | None:
    if brands.FILE not in content:
        return None
    return brands.Brand.from_json(
        json.loads(content[brands.FILE]), content.get(brands.WORDS), content.get(brands.TREES)
    )


def _checked(model: Model, folder: Path) -> Model:
    golden = json.loads(_checked_bytes(folder, model.manifest, GOLDEN))
    if len(golden) < _GOLDEN_LEAST:
        raise _refusal(folder, f"it records {len(golden)} golden predictions, not {_GOLDEN_LEAST}")
    answers = golden_answers(model, [row["text"] for row in golden])
    misses = 0
    for row, answer in zip(golden, answers, strict=True):
        close = all(
            abs(row[name] - answer[name]) <= _GOLDEN_TOLERANCE
            for name in ("p_negative", "p_neutral", "p_positive", "urgency_score")
        )
        misses += not (close and row["intent"] == answer["intent"] and row["language"] == answer["language"])
    if misses > _GOLDEN_MISSES:
        raise _refusal(
            folder, f"{misses} of {len(golden)} golden predictions differ from what was recorded at training"
        )
    return model


def golden_answers(model: Model, texts: list[str]) -> list[dict[str, Any]]:
    """What the model says of `texts`, in the columns that golden predictions record."""
    ids = [str(number) for number in range(len(texts))]
    table = model.score(pa.Table.from_arrays([strings(ids), strings(texts)], ["id", "text"]))
    names = ["p_negative", "p_neutral", "p_positive", "urgency_score", "intent", "language"]
    return [
        {key: round(value, 6) if isinstance(value, float) else value for key, value in row.items()}
        for row in table.select(names).to_pylist()
    ]
