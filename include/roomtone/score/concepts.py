"""What a text says, by meaning: its concepts and how much each of them says, whatever else is in the batch.

Words of one meaning (parcel, package; refund, money back) are one concept. Two texts say the same when their concepts
are alike enough; `int_message_threads` compares a customer's messages so.
"""

import hashlib
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from roomtone.score import tokens
from roomtone.score.text import clean_body

SCALE = 1000
"""The weights of one text are whole numbers, the squares of which add up to about the square of this: sums of their
products are exact, so that every engine finds the same.
"""

LEAST_LIKENESS = 300_000
"""Sum of the products of two texts' weights, of at most SCALE squared, from which the later says the earlier again:
a cosine of 0.30, chosen on the odd pairs written by hand.
"""

_COMMON, _RARE, _CONCEPT = 0.15, 1.0, 1.4
_RULES = "1"
Rows = npt.NDArray[np.int64]


def version() -> str:
    """Of the list of concepts and of the rules that read it: texts of two versions cannot be compared."""
    return f"concepts-{hashlib.sha256((_RULES + _list()).encode()).hexdigest()[:8]}"


def pack(texts: list[str]) -> list[str]:
    """Each text's concepts as `code:weight`, sorted and joined by blanks; empty where a text has no word.

    A code is a hash of 48 bits, so that the list repeats no word of a customer's.
    """
    packed: list[list[str]] = [[] for _ in texts]
    message, concept, weight, names = _concepts(texts)
    codes = [hashlib.blake2b(name.encode(), digest_size=6).hexdigest() for name in names]
    for row, number, share in zip(message.tolist(), concept.tolist(), weight.tolist(), strict=True):
        packed[row].append(f"{codes[number]}:{share}")
    return [" ".join(sorted(entries)) for entries in packed]


def likeness(first: str, second: str) -> int:
    """How alike two packed texts are; from LEAST_LIKENESS on they say the same."""
    left, right = (dict(entry.split(":") for entry in packed.split()) for packed in (first, second))
    return sum(int(weight) * int(right[code]) for code, weight in left.items() if code in right)


def _concepts(texts: list[str]) -> tuple[Rows, Rows, Rows, list[str]]:
    """Message, concept and weight of each message's distinct concepts, and the names of the concepts."""
    batch = tokens.encode([clean_body(text) for text in texts], tokens.TypeTable())
    is_word = (batch.kind == tokens.WORD) | (batch.kind == tokens.NUMBER)
    types, place = np.unique(batch.ids[is_word], return_inverse=True)
    # Each distinct word is looked at once.
    concept_of, common = _vocabulary()
    ids: dict[str, int] = {}
    concepts, weights = np.zeros(len(types), np.int64), np.zeros(len(types))
    for row, number in enumerate(types.tolist()):
        stem = _stem(batch.surfaces[number].lower().replace("\u2019", "'"))
        concepts[row] = ids.setdefault(concept_of.get(stem, stem), len(ids))
        weights[row] = _CONCEPT if stem in concept_of else _COMMON if stem in common else _RARE
    size = max(len(ids), 1)
    codes, first = np.unique(batch.message[is_word].astype(np.int64) * size + concepts[place], return_index=True)
    message, weight = codes // size, weights[place[first]]
    lengths = np.sqrt(np.bincount(message, weights=weight * weight, minlength=len(texts)))
    return message, codes % size, np.rint(SCALE * weight / lengths[message]).astype(np.int64), list(ids)


@cache
def _list() -> str:
    return files("roomtone.score").joinpath("concepts.txt").read_text(encoding="utf-8")


@cache
def _vocabulary() -> tuple[dict[str, str], frozenset[str]]:
    """Stems to the concept they stand for, and stems that say little."""
    concept_of: dict[str, str] = {}
    common: set[str] = set()
    for line in _list().splitlines():
        if not line or line.startswith("#"):
            continue
        name, _, words = line.partition(":")
        stems = {_stem(word) for word in words.split()}
        if name == "common":
            common |= stems
        else:
            concept_of |= dict.fromkeys(stems, name)
    return concept_of, frozenset(common)


def _stem(word: str) -> str:
    """A word without its commonest endings: enough to bring deliver, delivered and delivery together."""
    for ending in ("'s", "ing", "ies", "ied", "ed", "es", "ery", "s", "y", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
