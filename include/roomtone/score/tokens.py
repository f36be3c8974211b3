"""Cleaned texts to token arrays: one pass over a whole batch, attributes looked up once per distinct token."""

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from roomtone.score import lexicon
from roomtone.score.keys import Hashes, Integers, KeyTable

TEXT_VERSION = 1
"""Raised whenever cleaning, tokens or word lists change what a text turns into; a model of another version is
refused.
"""

Floats = npt.NDArray[np.float32]
Positions = npt.NDArray[np.int64]
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
_PARTS = re.compile(f"({_TOKEN.pattern})")
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,64}")

WORD, NUMBER, EMOJI, EXCLAIM, ASK, ELLIPSIS, STOP, COMMA, LINK, MENTION, EDGE = range(11)
"""Kinds of token. EDGE separates messages; EXCLAIM, ASK, ELLIPSIS, STOP and EDGE end a sentence."""

CAPS, ELONGATED, NEGATOR, BOOSTER, DAMPENER, CONTRAST, FIRST, SECOND, POLITE, ASKING, PERSISTENT, THANKS, APOLOGY = (
    1 << i for i in range(13)
)
PRAISE, CONFUSED, PROBLEM, SWEARING, QUANTITY, UNIT, FOREIGN, OPENER = (1 << i for i in range(13, 21))
"""Flags of a token. OPENER marks the first words of marker phrases."""

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
MULTIPLIER = np.uint64(0xD6E8FEB86659FD93)
_OFFSET = np.uint64(0xA0761D6478BD642F)
_LAST_LATIN = 0x24F
_MOST_TYPES = 200_000
_MOST_CHUNKS = 400_000
_MOST_CHARACTERS = 16_000_000
_NO_FACTS = (0.0, 0, 0)

_SPACE, _LINE_FEED, _EDGE = ord(" "), ord("\n"), ord(SEPARATOR)
_HALF = np.uint64(32)
_LONG = np.uint64(1 << 63)
_LOW_BYTES = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
_KINDS = np.arange(EDGE + 1)
_ENDS_SENTENCE = np.isin(_KINDS, (EXCLAIM, ASK, ELLIPSIS, STOP))
_IS_SIGN = np.isin(_KINDS, (EXCLAIM, ASK))


def split(text: str) -> list[str]:
    """Tokens of a text."""
    return _TOKEN.findall(text)


def key_of(text: str) -> int:
    """Key of a normalised word in the weight tables."""
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
    length: Integers


@dataclass(frozen=True)
class _Chunks:
    """Distinct chunks (what stands between spaces, with the space): where each one's tokens lie in `tokens`, rows of
    `Types`, and at which character of the chunk each token begins.
    """

    starts: Integers
    counts: Integers
    tokens: Integers
    offsets: Integers


class TypeTable:
    """Distinct tokens and chunks seen so far and what is known of them, so that each is looked at once.

    A cache: emptied when it outgrows its bounds. What it answers does not depend on what it holds.
    """

    def __init__(self) -> None:
        # Nobody can choose a text whose chunks take the place of another customer's: the salt is drawn at each start.
        self._salt = np.uint64(int.from_bytes(os.urandom(8), "little") | 1)
        self._empty()

    def _empty(self) -> None:
        self._ids: dict[str, int] = {}
        self.surfaces: list[str] = []
        self.types = _attributes([])
        nothing = np.zeros(0, np.int32)
        self._keys = KeyTable()
        self._characters = 0
        self.chunks = _Chunks(nothing, nothing, nothing, nothing)

    def encode(self, text: bytes, starts: Positions, ends: Positions) -> Integers:
        """Rows of `chunks` for the chunks text[start:end] of UTF-8 `text`, each ending in its space or line feed."""
        if len(self._ids) > _MOST_TYPES or len(self._keys) > _MOST_CHUNKS or self._characters > _MOST_CHARACTERS:
            self._empty()
        keys = self._chunk_keys(text, starts, ends)
        rows = self._keys.find(keys)
        new = np.flatnonzero(rows < 0)
        if len(new):
            distinct, at, inverse = np.unique(keys[new], return_index=True, return_inverse=True)
            first = len(self._keys)
            at = new[at]
            self._learn([text[start:end] for start, end in zip(starts[at].tolist(), ends[at].tolist(), strict=True)])
            self._keys.add(distinct)
            rows[new] = first + inverse
        return rows

    def _chunk_keys(self, text: bytes, starts: Positions, ends: Positions) -> Hashes:
        """A key for each chunk: its bytes themselves up to eight of them, a salted 63-bit hash for longer ones.

        The two kinds cannot meet: the eighth byte of a short chunk is its space, its line feed, or nothing.
        """
        windows = np.ndarray((len(text) + 1,), "<u8", buffer=text + bytes(8), strides=(1,))
        lengths = ends - starts
        keys: Hashes = windows[starts] & _LOW_BYTES[np.minimum(lengths, 8)]
        rows = np.flatnonzero(lengths > 8)
        if not len(rows):
            return keys
        at, left, key = starts[rows], lengths[rows], keys[rows]
        while len(at):
            key = (key ^ (key >> _HALF)) * self._salt
            at, left = at + 8, left - 8
            key ^= windows[at] & _LOW_BYTES[np.minimum(left, 8)]
            done = left <= 8
            keys[rows[done]] = key[done]
            rows, at, left, key = rows[~done], at[~done], left[~done], key[~done]
        long = lengths > 8
        mixed = keys[long] * self._salt
        keys[long] = (mixed ^ (mixed >> _HALF)) | _LONG
        return keys

    def _learn(self, chunks: list[bytes]) -> None:
        texts = b"".join([chunk + SEPARATOR.encode() for chunk in chunks]).decode("utf-8", "surrogatepass")
        parts = _PARTS.split(_EMAIL.sub(_blank, texts) if "@" in texts else texts)
        # split gives what lies before each token, and the token, in turn
        lengths = np.fromiter(map(len, parts), np.int32, len(parts))
        places = np.cumsum(lengths, dtype=np.int32)[:-1:2]
        found = parts[1::2]
        self._know(found)
        edges = np.flatnonzero(np.fromiter((token == SEPARATOR for token in found), np.bool_, len(found)))
        # An edge stands after each chunk; between edges lie the chunk's tokens.
        ids = np.fromiter(map(self._ids.__getitem__, found), np.int32, len(found))
        kept = np.ones(len(found), np.bool_)
        kept[edges] = False
        begins = np.concatenate([[0], places[edges[:-1]] + 1]).astype(np.int32)
        counts = np.diff(edges, prepend=-1).astype(np.int32) - 1
        old = self.chunks
        starts = len(old.tokens) + np.cumsum(counts, dtype=np.int32) - counts
        offsets = places[kept] - np.repeat(begins, counts)
        self.chunks = _Chunks(
            np.concatenate([old.starts, starts]),
            np.concatenate([old.counts, counts]),
            np.concatenate([old.tokens, ids[kept]]),
            np.concatenate([old.offsets, offsets]),
        )
        self._characters += len(texts)

    def _know(self, found: list[str]) -> None:
        new = sorted(set(found) - self._ids.keys())
        first = len(self._ids)
        self._ids.update((token, first + offset) for offset, token in enumerate(new))
        self.surfaces.extend(new)
        self.types = _joined(self.types, _attributes(new))


def _blank(found: re.Match[str]) -> str:
    return " " * len(found[0])


@cache
def _word_facts() -> dict[str, tuple[float, int, int]]:
    """Valence, list flags and languages of each normalised word that a list holds."""
    valences = lexicon.valences()
    flags: dict[str, int] = {}
    for bit, words in _LISTS:
        for word in words:
            flags[word] = flags.get(word, 0) | bit
    for words in lexicon.PHRASES.values():
        for phrase in words:
            opener = lexicon.normalise(split(phrase)[0])
            flags[opener] = flags.get(opener, 0) | OPENER
    languages: dict[str, int] = {}
    for row, name in enumerate(lexicon.LANGUAGES):
        for word in lexicon.FUNCTION_WORDS[name]:
            languages[word] = languages.get(word, 0) | 1 << row
    return {
        word: (valences.get(word, 0.0), flags.get(word, 0), languages.get(word, 0))
        for word in valences.keys() | flags.keys() | languages.keys()
    }


def _attributes(tokens: list[str]) -> Types:
    facts = _word_facts()
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
            gram[row] = word[row] = key_of(normal)
            valence[row], bits, languages[row] = facts.get(normal, _NO_FACTS)
            if normal.endswith("n't"):
                bits |= NEGATOR
            if len(token) > 1 and token.isupper():
                bits |= CAPS
            if len(normal) < len(token):
                bits |= ELONGATED
            if ord(token[0]) > _LAST_LATIN:
                bits |= FOREIGN
            flags[row] = bits
        elif sort == NUMBER:
            gram[row] = key_of("0num")
            word[row] = key_of(token) if len(token) <= 2 else key_of("0num")
            flags[row] = QUANTITY | facts.get(token, _NO_FACTS)[1] & OPENER
        elif sort == EMOJI:
            gram[row] = word[row] = key_of(normal)
            flags[row] = facts.get(normal, _NO_FACTS)[1] & OPENER
            valence[row] = lexicon.EMOJI_VALENCE.get(token, lexicon.EMOTICON_VALENCE.get(normal, 0.0))
        elif sort in (EXCLAIM, ASK):
            gram[row] = key_of(normal)
    length = np.fromiter(map(len, tokens), np.int32, size)
    return Types(gram, word, kind, valence, flags, languages, length)


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
        np.concatenate([old.length, new.length]),
    )


@dataclass(frozen=True)
class Encoded:
    """A batch of texts as arrays over tokens, in order of message.

    `ids` are rows of `types` and `surfaces`; `message` and `sentence` number the message and, over the whole batch, the
    sentence of each token; `start` is the character of its text at which it begins; `negated` marks words in a negation
    scope.
    """

    size: int
    types: Types
    surfaces: list[str]
    ids: Integers
    message: Integers
    sentence: Integers
    start: Integers
    negated: Mask
    kind: npt.NDArray[np.int8]
    gram: Hashes
    word: Hashes
    valence: Floats
    flags: Integers
    languages: Integers


def encode(texts: list[str], table: TypeTable) -> Encoded:
    """Tokens of cleaned `texts`.

    No token holds a space and a line feed is one of its own, so the texts are cut at these, and only chunks that `table`
    has not seen are searched for tokens.
    """
    joined = SEPARATOR.join(texts) + SEPARATOR if texts else ""
    if joined.count(SEPARATOR) != len(texts):
        return encode([text.replace(SEPARATOR, " ") for text in texts], table)
    letters = np.frombuffer(joined.encode("utf-8", "surrogatepass"), np.uint8).copy()
    spaces = np.flatnonzero((letters == _SPACE) | (letters == _LINE_FEED) | (letters == _EDGE))
    is_last = letters[spaces] == _EDGE
    letters[spaces[is_last]] = _SPACE
    ends = spaces + 1
    starts = np.concatenate([[0], ends[:-1]])[: len(ends)]
    rows = table.encode(letters.tobytes(), starts, ends)

    chunks, types = table.chunks, table.types
    counts = chunks.counts[rows]
    before = np.cumsum(counts, dtype=np.int32) - counts
    at = np.arange(counts.sum(), dtype=np.int32) + np.repeat(chunks.starts[rows] - before, counts)
    ids = chunks.tokens[at]
    chunk_message = np.cumsum(is_last, dtype=np.int32) - is_last
    characters = _characters(letters, starts) if len(letters) > len(joined) else starts
    opens = characters[np.concatenate([[0], np.flatnonzero(is_last)[:-1] + 1])] if len(texts) else characters
    chunk_start = (characters - opens[chunk_message]).astype(np.int32)
    message = np.repeat(chunk_message, counts).astype(np.int32)

    kind, flags = types.kind[ids], types.flags[ids]
    ends_sentence = _ENDS_SENTENCE[kind]
    return Encoded(
        size=len(texts),
        types=types,
        surfaces=table.surfaces,
        ids=ids,
        message=message,
        sentence=np.cumsum(ends_sentence, dtype=np.int32) - ends_sentence + message,
        start=np.repeat(chunk_start, counts) + chunks.offsets[at],
        negated=_negation(kind, flags, message),
        kind=kind,
        gram=types.gram[ids],
        word=types.word[ids],
        valence=types.valence[ids],
        flags=flags,
        languages=types.languages[ids],
    )


def _characters(letters: npt.NDArray[np.uint8], starts: Positions) -> Positions:
    """Characters before each of the bytes at `starts` of UTF-8 `letters`."""
    begins = (letters & 0xC0) != 0x80
    return np.asarray((np.cumsum(begins, dtype=np.int32) - begins)[starts], np.int64)


def _negation(kind: npt.NDArray[np.int8], flags: Integers, message: Integers) -> Mask:
    if not len(kind):
        return np.zeros(0, np.bool_)
    words = np.cumsum(kind == WORD, dtype=np.int32)
    position = np.arange(len(kind), dtype=np.int32)
    negator = (flags & NEGATOR) > 0
    ends = np.where((kind != WORD) & (kind != NUMBER) | ((flags & CONTRAST) > 0), position, -1)
    opens = np.flatnonzero(np.diff(message, prepend=-1))
    ends[opens] = np.maximum(ends[opens], opens - 1)
    last_negator = np.maximum.accumulate(np.where(negator, position, -1))
    inside = (last_negator > np.maximum.accumulate(ends)) & (last_negator < position)
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
    """Negation-marked uni- and bigrams, in order of their first token. Bigrams run over words and numbers of one
    sentence; commas do not part them.
    """
    kinds = batch.kind
    here = np.flatnonzero(batch.gram)
    is_sign = _IS_SIGN[kinds[here]]
    unit = here[~is_sign]
    marked = batch.gram[here]
    marked[batch.negated[here]] ^= _NEGATED
    words = marked[~is_sign]
    sentence = batch.sentence[unit]
    adjacent = np.flatnonzero(sentence[1:] == sentence[:-1])
    pairs = (words[adjacent] * MULTIPLIER + _OFFSET) ^ words[adjacent + 1]
    # Each token has a place for its unigram and one for the bigram that it begins.
    places = np.concatenate([2 * here, 2 * unit[adjacent] + 1])
    taken = np.full(2 * len(kinds), -1, np.int32)
    taken[places] = np.arange(len(places), dtype=np.int32)
    order = taken[taken >= 0]
    first = np.concatenate([here, unit[adjacent]])[order].astype(np.int32)
    last = np.concatenate([here, unit[adjacent + 1]])[order].astype(np.int32)
    return Grams(np.concatenate([marked, pairs])[order], batch.message[first], first, last)
