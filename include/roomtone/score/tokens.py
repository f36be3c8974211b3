"""Cleaned texts to token arrays: one pass over a whole batch, attributes looked up once per distinct token."""

import hashlib
import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from roomtone.score import lexicon

TEXT_VERSION = 1
"""Raised whenever cleaning, tokens or word lists change what a text turns into; a model of another version is
refused.
"""

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

SEPARATOR = "\x1e"
_TOKEN = re.compile(
    "\x1e"
    r"|https?://\S+|www\.\S+"
    r"|@\w{1,40}"
    r"|[^\W\d_]+(?:['\u2019][^\W\d_]+)*"
    r"|\d+(?:[.,:/-]\d+)*"
    r"|>?[:;=]['-]?[()DPp/\\|](?![a-z])|</?3"
    r"|[!?]+|\.{2,}|[.;:,\n]"
    "|[\u2600-\u27bf\u2b50\u2b55\U0001f000-\U0001faff]"
)
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,64}")

WORD, NUMBER, EMOJI, EXCLAIM, ASK, ELLIPSIS, STOP, COMMA, LINK, MENTION, EDGE = range(11)
"""Kinds of token. EDGE separates messages; EXCLAIM, ASK, ELLIPSIS, STOP and EDGE end a sentence."""

CAPS, ELONGATED, NEGATOR, BOOSTER, DAMPENER, CONTRAST, FIRST, SECOND, POLITE, ASKING, PERSISTENT, THANKS, APOLOGY = (
    1 << i for i in range(13)
)
PRAISE, CONFUSED, PROBLEM, SWEARING, QUANTITY, UNIT, FOREIGN = (1 << i for i in range(13, 20))
_LISTS = (
    (NEGATOR, lexicon.NEGATORS),
    (BOOSTER, lexicon.BOOSTERS),
    (DAMPENER, lexicon.DAMPENERS),
    (CONTRAST, lexicon.CONTRAST),
    (FIRST, lexicon.FIRST_PERSON),
    (SECOND, lexicon.SECOND_PERSON),
    (POLITE, lexicon.POLITE),
    (ASKING, lexicon.ASKING),
    (PERSISTENT, lexicon.PERSISTENT),
    (THANKS, lexicon.THANKS),
    (APOLOGY, lexicon.APOLOGY),
    (PRAISE, lexicon.PRAISE),
    (CONFUSED, lexicon.CONFUSED),
    (PROBLEM, lexicon.PROBLEM),
    (SWEARING, lexicon.SWEARING),
    (QUANTITY, lexicon.NUMBER_WORDS),
    (UNIT, lexicon.TIME_UNITS),
)
NEGATION_SCOPE = 4
"""Words after a negator that count as negated, unless punctuation or a contrast word ends the scope first."""

_SIGNS = {
    SEPARATOR: EDGE,
    "@": MENTION,
    "!": EXCLAIM,
    "?": ASK,
    ".": STOP,
    ";": STOP,
    "\n": STOP,
    ",": COMMA,
    ":": COMMA,
}
_NEGATED = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER = np.uint64(0xD6E8FEB86659FD93)
_OFFSET = np.uint64(0xA0761D6478BD642F)
_LAST_LATIN = 0x24F
_MOST_TYPES = 200_000


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "little")


@dataclass(frozen=True)
class Types:
    """Attributes of distinct tokens, one row each."""

    gram: Hashes
    word: Hashes
    kind: npt.NDArray[np.int8]
    valence: Floats
    flags: Integers
    languages: Integers


class TypeTable:
    """Distinct tokens seen so far and their attributes. A cache: emptied when it grows beyond `_MOST_TYPES`."""

    def __init__(self) -> None:
        self._empty()

    def _empty(self) -> None:
        self._ids: dict[str, int] = {}
        self._surfaces: list[str] = []
        self._types = _attributes([])

    def encode(self, tokens: list[str]) -> tuple[Integers, Types, list[str]]:
        """Row numbers of `tokens`, the attribute rows, and the surface form of each row."""
        if len(self._ids) > _MOST_TYPES:
            self._empty()
        ids = self._ids
        new = sorted(set(tokens) - ids.keys())
        if new:
            first = len(ids)
            ids.update((token, first + offset) for offset, token in enumerate(new))
            self._surfaces.extend(new)
            self._types = _joined(self._types, _attributes(new))
        found = np.fromiter(map(ids.__getitem__, tokens), dtype=np.int32, count=len(tokens))
        return found, self._types, self._surfaces


def _attributes(tokens: list[str]) -> Types:
    valences = lexicon.valences()
    language_sets = [lexicon.FUNCTION_WORDS[name] for name in lexicon.LANGUAGES]
    size = len(tokens)
    gram = np.zeros(size, np.uint64)
    word = np.zeros(size, np.uint64)
    kind = np.zeros(size, np.int8)
    valence = np.zeros(size, np.float32)
    flags = np.zeros(size, np.int32)
    languages = np.zeros(size, np.int32)
    for row, token in enumerate(tokens):
        normal = lexicon.normalise(token)
        kind[row] = sort = _kind(token, normal)
        if sort == WORD:
            gram[row] = word[row] = _hash(normal)
            valence[row] = valences.get(normal, 0.0)
            bits = sum(bit for bit, words in _LISTS if normal in words)
            if normal.endswith("n't"):
                bits |= NEGATOR
            if len(token) > 1 and token.isupper():
                bits |= CAPS
            if len(normal) < len(token):
                bits |= ELONGATED
            if ord(token[0]) > _LAST_LATIN:
                bits |= FOREIGN
            flags[row] = bits
            languages[row] = sum(1 << i for i, words in enumerate(language_sets) if normal in words)
        elif sort == NUMBER:
            gram[row] = _hash("0num")
            word[row] = _hash(token) if len(token) <= 2 else _hash("0num")
            flags[row] = QUANTITY
        elif sort == EMOJI:
            gram[row] = word[row] = _hash(normal)
            valence[row] = lexicon.EMOJI_VALENCE.get(token, lexicon.EMOTICON_VALENCE.get(normal, 0.0))
        elif sort in (EXCLAIM, ASK):
            gram[row] = _hash(normal)
    return Types(gram, word, kind, valence, flags, languages)


def _kind(surface: str, normal: str) -> int:
    first = surface[0]
    kind = EMOJI
    if first in _SIGNS:
        kind = _SIGNS[first]
        if kind == STOP and first == "." and len(surface) > 1:
            kind = ELLIPSIS
        if kind == EXCLAIM and "?" in surface:
            kind = ASK
        if kind in (COMMA, STOP) and len(surface) > 1 and first in ":;":
            kind = EMOJI
    elif first.isalpha():
        kind = LINK if normal.startswith(("http://", "https://", "www.")) else WORD
    elif first.isdigit():
        kind = NUMBER
    return kind


def _joined(old: Types, new: Types) -> Types:
    return Types(
        np.concatenate([old.gram, new.gram]),
        np.concatenate([old.word, new.word]),
        np.concatenate([old.kind, new.kind]),
        np.concatenate([old.valence, new.valence]),
        np.concatenate([old.flags, new.flags]),
        np.concatenate([old.languages, new.languages]),
    )


@dataclass(frozen=True)
class Encoded:
    """A batch of texts as arrays over tokens (edges between messages left out), in order of message.

    `message` and `sentence` number the message and, over the whole batch, the sentence of each token; `negated`
    marks words in a negation scope.
    """

    size: int
    ids: Integers
    surfaces: list[str]
    message: Integers
    sentence: Integers
    negated: Mask
    kind: npt.NDArray[np.int8]
    gram: Hashes
    word: Hashes
    valence: Floats
    flags: Integers
    languages: Integers


def encode(texts: list[str], table: TypeTable) -> Encoded:
    """Tokens of cleaned `texts`."""
    joined = SEPARATOR.join([_EMAIL.sub(" ", text) if "@" in text else text for text in texts])
    ids, types, surfaces = table.encode(_TOKEN.findall(joined))
    kind = types.kind[ids]
    edge = kind == EDGE
    message = np.cumsum(edge, dtype=np.int32)
    ends = (kind == EXCLAIM) | (kind == ASK) | (kind == ELLIPSIS) | (kind == STOP) | edge
    sentence = (np.cumsum(ends, dtype=np.int32) - ends).astype(np.int32)
    flags = types.flags[ids]
    negated = _negation(kind, flags)
    kept = ~edge
    ids = ids[kept]
    return Encoded(
        size=len(texts),
        ids=ids,
        surfaces=surfaces,
        message=message[kept],
        sentence=sentence[kept],
        negated=negated[kept],
        kind=kind[kept],
        gram=types.gram[ids],
        word=types.word[ids],
        valence=types.valence[ids],
        flags=flags[kept],
        languages=types.languages[ids],
    )


def _negation(kind: npt.NDArray[np.int8], flags: Integers) -> Mask:
    words = np.cumsum(kind == WORD, dtype=np.int32)
    position = np.arange(len(kind), dtype=np.int32)
    negator = (flags & NEGATOR) > 0
    ends = (kind != WORD) & (kind != NUMBER) | ((flags & CONTRAST) > 0)
    last_negator = np.maximum.accumulate(np.where(negator, position, -1)) if len(kind) else position
    last_end = np.maximum.accumulate(np.where(ends, position, -1)) if len(kind) else position
    inside = (last_negator > last_end) & (last_negator < position)
    distance = words - words[np.maximum(last_negator, 0)]
    return np.asarray(inside & (distance <= NEGATION_SCOPE) & ~negator, dtype=np.bool_)


@dataclass(frozen=True)
class Grams:
    """Word uni- and bigrams: key, message, and the first and last token each covers."""

    key: Hashes
    message: Integers
    first: Integers
    last: Integers


def grams(batch: Encoded) -> Grams:
    """Negation-marked uni- and bigrams. Bigrams run over words and numbers of one sentence; commas do not part them."""
    kinds = batch.kind
    unit = np.flatnonzero((batch.gram != 0) & (kinds != EXCLAIM) & (kinds != ASK))
    signs = np.flatnonzero((kinds == EXCLAIM) | (kinds == ASK))
    marked = batch.gram[unit] ^ np.where(batch.negated[unit], _NEGATED, np.uint64(0))
    adjacent = np.flatnonzero(batch.sentence[unit][1:] == batch.sentence[unit][:-1])
    pairs = (marked[adjacent] * _MULTIPLIER + _OFFSET) ^ marked[adjacent + 1]
    first = np.concatenate([unit, signs, unit[adjacent]]).astype(np.int32)
    last = np.concatenate([unit, signs, unit[adjacent + 1]]).astype(np.int32)
    return Grams(np.concatenate([marked, batch.gram[signs], pairs]), batch.message[first], first, last)


@cache
def _phrase_table() -> tuple[tuple[Hashes, Integers, Floats], ...]:
    """For phrases of 1, 2, 3 and 4 words: sorted keys, category number, weight."""
    entries: list[list[tuple[int, int, float]]] = [[], [], [], []]
    for number, phrases in enumerate(lexicon.PHRASES.values()):
        for phrase, weight in phrases.items():
            words = _TOKEN.findall(phrase)
            key = np.zeros(1, np.uint64)
            for word in words:
                value = _hash(lexicon.normalise(word))
                key = key * _MULTIPLIER + np.uint64(value)
            entries[len(words) - 1].append((int(key[0]), number, weight))
    tables = []
    for rows in entries:
        rows.sort()
        tables.append(
            (
                np.array([row[0] for row in rows], np.uint64),
                np.array([row[1] for row in rows], np.int32),
                np.array([row[2] for row in rows], np.float32),
            )
        )
    return tuple(tables)


@dataclass(frozen=True)
class Phrases:
    """Marker phrases found: category (row of `lexicon.PHRASES`), weight, message, first and last token."""

    category: Integers
    weight: Floats
    message: Integers
    first: Integers
    last: Integers


def phrases(batch: Encoded) -> Phrases:
    """Marker phrases whose first word no negation covers."""
    unit = np.flatnonzero(batch.word != 0).astype(np.int32)
    words = batch.word[unit]
    sentence = batch.sentence[unit]
    found: list[tuple[Integers, Floats, Integers, Integers]] = []
    rolling = np.zeros(len(unit), np.uint64)
    for length, (keys, categories, weights) in enumerate(_phrase_table(), start=1):
        count = len(unit) - length + 1
        if count <= 0:
            break
        rolling = rolling[:count] * _MULTIPLIER + words[length - 1 :]
        place = np.minimum(np.searchsorted(keys, rolling), len(keys) - 1)
        hit = np.flatnonzero(
            (keys[place] == rolling) & (sentence[:count] == sentence[length - 1 :]) & ~batch.negated[unit[:count]]
        )
        found.append((categories[place[hit]], weights[place[hit]], unit[hit], unit[hit + length - 1]))
    if not found:
        empty = np.zeros(0, np.int32)
        return Phrases(empty, np.zeros(0, np.float32), empty, empty, empty)
    category, weight, first, last = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Phrases(category, weight, batch.message[first], first, last)


def word_keys(words: list[str]) -> Hashes:
    """The gram keys of normalised `words` outside any negation."""
    return np.array([_hash(word) for word in words], np.uint64)


def negated_keys(keys: Hashes) -> Hashes:
    """The gram keys of the same words inside a negation; the other way round for negated ones."""
    return np.asarray(keys ^ _NEGATED)
