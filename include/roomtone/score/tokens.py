"""Cleaned texts to token arrays: one pass over a whole batch, attributes looked up once per distinct token."""

import hashlib
import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from roomtone.score import keys, lexicon
from roomtone.score.chunks import ChunkTable
from roomtone.score.keys import distinct, run_starts

TEXT_VERSION = 1
"""Raised whenever cleaning, tokens or word lists change what a text turns into; a model of another version is
refused.
"""

Floats = npt.NDArray[np.float32]
Integers = keys.Integers
Hashes = keys.Hashes
Positions = keys.Positions
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
_KINDS = range(EDGE + 1)
_ENDS_SENTENCE = np.array([kind in (EXCLAIM, ASK, ELLIPSIS, STOP) for kind in _KINDS])
_IS_UNIT = np.array([kind in (WORD, NUMBER, EMOJI) for kind in _KINDS])


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


class TypeTable:
    """Distinct tokens and chunks seen so far and what is known of them, so that each is looked at once.

    A cache: emptied when it outgrows its bounds. What it answers does not depend on what it holds.
    """

    def __init__(self) -> None:
        self._empty()

    def _empty(self) -> None:
        self._ids: dict[str, int] = {}
        self._characters = 0
        self.surfaces: list[str] = []
        self.types = _attributes([])
        self.chunks = ChunkTable()

    def encode(self, text: bytes, starts: Positions, ends: Positions) -> Integers:
        """Rows of `chunks` for the chunks text[start:end] of UTF-8 `text`, each ending in its space or line feed."""
        if len(self._ids) > _MOST_TYPES or len(self.chunks) > _MOST_CHUNKS or self._characters > _MOST_CHARACTERS:
            self._empty()
        found = self.chunks.keys_of(text, starts, ends)
        rows = self.chunks.find(found)
        new = np.flatnonzero(rows < 0)
        if len(new):
            firsts, number = distinct(found[new])
            rows[new] = len(self.chunks) + number
            at = new[firsts]
            spans = zip(starts[at].tolist(), ends[at].tolist(), strict=True)
            self.chunks.add(found[at], *self._search([text[start:end] for start, end in spans]))
        return rows

    def _search(self, chunks: list[bytes]) -> tuple[Positions, Positions, Positions]:
        """How many tokens each chunk holds; their rows and the character of the chunk at which each begins."""
        text = (SEPARATOR.encode().join(chunks) + SEPARATOR.encode()).decode("utf-8", "surrogatepass")
        if "@" in text:
            each = text.split(SEPARATOR)
            text = SEPARATOR.join([_EMAIL.sub(_blank, chunk) if "@" in chunk[1:] else chunk for chunk in each])
        # split gives what lies before a token, and the token, in turn; a separator is a token too.
        parts = _PARTS.split(text)
        begins = np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)))[:-1:2]
        found = parts[1::2]
        self._know(found)
        self._characters += len(text)
        rows = np.fromiter(map(self._ids.__getitem__, found), np.int64, len(found))
        is_edge = rows == self._ids[SEPARATOR]
        edges = np.flatnonzero(is_edge)
        counts = np.diff(edges, prepend=-1) - 1
        chunk_begins = np.concatenate([[0], begins[edges[:-1]] + 1])
        return counts, rows[~is_edge], begins[~is_edge] - np.repeat(chunk_begins, counts)

    def _know(self, found: list[str]) -> None:
        new = [token for token in dict.fromkeys(found) if token not in self._ids]
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
    for phrases in lexicon.PHRASES.values():
        for phrase in phrases:
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
    rows = [_facts_of(token, normal) for token, normal in zip(tokens, lexicon.normalise_all(tokens), strict=True)]
    gram, word, kind, valence, flags, languages = zip(*rows, strict=True) if rows else ((),) * 6
    return Types(
        np.array(gram, np.uint64),
        np.array(word, np.uint64),
        np.array(kind, np.int8),
        np.array(valence, np.float32),
        np.array(flags, np.int32),
        np.array(languages, np.int32),
        np.array([len(token) for token in tokens], np.int32),
    )


def _facts_of(token: str, normal: str) -> tuple[int, int, int, float, int, int]:
    """Gram and word key, kind, valence, flags and languages of a token; keys 0 for none."""
    kind = _kind(token, normal)
    if kind == WORD:
        gram = word = key_of(normal)
        valence, flags, languages = _word_facts().get(normal, _NO_FACTS)
        if normal.endswith("n't"):
            flags |= NEGATOR
        if len(token) > 1 and token.isupper():
            flags |= CAPS
        if len(normal) < len(token):
            flags |= ELONGATED
        if ord(token[0]) > _LAST_LATIN:
            flags |= FOREIGN
        return gram, word, kind, valence, flags, languages
    opener = _word_facts().get(normal, _NO_FACTS)[1] & OPENER
    if kind == NUMBER:
        gram = key_of("0num")
        return gram, key_of(token) if len(token) <= 2 else gram, kind, 0.0, QUANTITY | opener, 0
    if kind == EMOJI:
        gram = key_of(normal)
        valence = lexicon.EMOJI_VALENCE.get(token, lexicon.EMOTICON_VALENCE.get(normal, 0.0))
        return gram, gram, kind, valence, opener, 0
    return key_of(normal) if kind in (EXCLAIM, ASK) else 0, 0, kind, 0.0, 0, 0


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
    ids: Positions
    message: Positions
    sentence: Positions
    start: Positions
    negated: Mask
    kind: npt.NDArray[np.int8]
    gram: Hashes
    word: Hashes
    valence: Floats
    flags: Integers
    languages: Integers


def encode(texts: list[str], table: TypeTable) -> Encoded:
    """Tokens of cleaned `texts`.

    No token holds a space and a line feed is one of its own, so the texts are cut at these, and only chunks that
    `table` has not seen are searched for tokens.
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
    before = np.cumsum(counts) - counts
    chunk = np.repeat(np.arange(len(rows)), counts)
    at = np.arange(len(chunk)) + (chunks.starts[rows] - before)[chunk]
    ids = chunks.tokens[at]
    chunk_message = np.cumsum(is_last) - is_last
    characters = _characters(letters, starts) if len(letters) > len(joined) else starts
    opens = characters[np.concatenate([[0], np.flatnonzero(is_last)[:-1] + 1])] if texts else characters
    message = chunk_message[chunk]

    kind, flags = types.kind[ids], types.flags[ids]
    ends_sentence = _ENDS_SENTENCE[kind]
    return Encoded(
        size=len(texts),
        types=types,
        surfaces=table.surfaces,
        ids=ids,
        message=message,
        sentence=np.cumsum(ends_sentence) - ends_sentence + message,
        start=(characters - opens[chunk_message])[chunk] + chunks.offsets[at],
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


def _negation(kind: npt.NDArray[np.int8], flags: Integers, message: Positions) -> Mask:
    if not len(kind):
        return np.zeros(0, np.bool_)
    words = np.cumsum(kind == WORD, dtype=np.int32)
    position = np.arange(len(kind), dtype=np.int32)
    negator = (flags & NEGATOR) > 0
    ends = np.where((kind != WORD) & (kind != NUMBER) | ((flags & CONTRAST) > 0), position, -1)
    opens = run_starts(message)
    ends[opens] = np.maximum(ends[opens], opens - 1)
    last_negator = np.maximum.accumulate(np.where(negator, position, -1))
    inside = (last_negator > np.maximum.accumulate(ends)) & (last_negator < position)
    distance = words - words[np.maximum(last_negator, 0)]
    return np.asarray(inside & (distance <= NEGATION_SCOPE) & ~negator, dtype=np.bool_)


@dataclass(frozen=True)
class Grams:
    """Word uni- and bigrams: key, message, and the first and last token each covers."""

    key: Hashes
    message: Positions
    first: Positions
    last: Positions


def grams(batch: Encoded) -> Grams:
    """Negation-marked uni- and bigrams. Bigrams run over words and numbers of one sentence; commas do not part them."""
    here = np.flatnonzero(batch.gram != 0)
    marked = batch.gram[here]
    marked[batch.negated[here]] ^= _NEGATED
    is_unit = _IS_UNIT[batch.kind[here]]
    unit, words = here[is_unit], marked[is_unit]
    sentence = batch.sentence[unit]
    adjacent = np.flatnonzero(sentence[1:] == sentence[:-1])
    pairs = (words[adjacent] * MULTIPLIER + _OFFSET) ^ words[adjacent + 1]
    opens = unit[adjacent]
    first, last = np.concatenate([here, opens]), np.concatenate([here, unit[adjacent + 1]])
    return Grams(np.concatenate([marked, pairs]), batch.message[first], first, last)


def word_keys(words: list[str]) -> Hashes:
    """The gram keys of normalised `words` outside any negation."""
    return np.array([key_of(word) for word in words], np.uint64)


def negated_keys(keys: Hashes) -> Hashes:
    """The gram keys of the same words inside a negation; the other way round for negated ones."""
    return np.asarray(keys ^ _NEGATED)
