"""Why a message got its score: the known words that weighed most, and the marker phrases, with their place in the
raw text.
"""

import json
from functools import lru_cache

import numpy as np

from roomtone.score import lexicon, tokens
from roomtone.score.data import SENTIMENTS
from roomtone.score.keys import Integers
from roomtone.score.phrases import Phrases
from roomtone.score.tokens import Encoded, Mask
from roomtone.score.weights import Found, WordTable

MOST = 3
_CANDIDATES = 6
_LEAST_WEIGHT = 0.05
_GAP = 24
_CATEGORIES = tuple(lexicon.PHRASES)
_URGENT = [_CATEGORIES.index(name) for name in ("urgent", "occasion", "near")]
_THREAT = _CATEGORIES.index("threat")

Reason = tuple[str, float, int, int]
"""Label, weight, first and last token."""


def top_reasons(
    batch: Encoded,
    raw: list[str],
    table: WordTable,
    found: Found,
    *,
    named: Integers,
    phrases: Phrases,
    is_urgent: Mask,
    is_threat: Mask,
    silent: Mask,
) -> list[str]:
    """JSON text for each message: at most `MOST` of {"reason", "weight", "span"}, the span being [start, end) in
    the raw text.

    A word's weight is its share of the linear score of the named sentiment over the mean of the three; a phrase's
    weight is its own. A span that the raw text does not show as such (markup inside it) covers the whole text.
    Silent (abstained) messages get none.
    """
    chosen: list[list[Reason]] = [[] for _ in raw]
    _add_phrases(chosen, phrases, is_urgent, is_threat)
    _add_words(chosen, batch, table, found, named=named, silent=silent)
    surfaces, ids = batch.surfaces, batch.ids
    answers = []
    for text, reasons, quiet in zip(raw, chosen, silent.tolist(), strict=True):
        if quiet or not reasons:
            answers.append("[]")
            continue
        rows = []
        for label, weight, first, last in reasons[:MOST]:
            words = [surfaces[row] for row in ids[first : last + 1].tolist()]
            shown = " ".join(word.lower() for word in words if word[0].isalnum() or len(words) == 1)
            start, end = locate(text, words)
            rows.append(
                f'{{"reason": {_quoted(f"{label}: {shown}")}, "weight": {weight:.3f}, "span": [{start}, {end}]}}'
            )
        answers.append(f"[{', '.join(rows)}]")
    return answers


@lru_cache(maxsize=50_000)
def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def locate(text: str, words: list[str]) -> tuple[int, int]:
    """[start, end) of the first place where `words` follow one another in `text`; the whole text when there is none."""
    start = text.find(words[0])
    while start >= 0:
        end = start + len(words[0])
        opens = start == 0 or not (text[start - 1].isalnum() and words[0][0].isalnum())
        for word in words[1:]:
            following = text.find(word, end, end + _GAP + len(word))
            if following < 0:
                opens = False
                break
            end = following + len(word)
        if opens and (end >= len(text) or not (text[end].isalnum() and words[-1][-1].isalnum())):
            return start, end
        start = text.find(words[0], start + 1)
    return 0, len(text)


def _add_phrases(chosen: list[list[Reason]], phrases: Phrases, is_urgent: Mask, is_threat: Mask) -> None:
    rank = np.full(len(_CATEGORIES), -1)
    rank[_URGENT] = np.arange(len(_URGENT))
    urgent = is_urgent[phrases.message] & (rank[phrases.category] >= 0)
    threat = is_threat[phrases.message] & (phrases.category == _THREAT)
    for label, mask in (("threat", threat), ("urgent", urgent)):
        rows = np.flatnonzero(mask)
        order = rows[
            np.lexsort(
                (phrases.first[rows], rank[phrases.category[rows]], -phrases.weight[rows], phrases.message[rows])
            )
        ]
        _, firsts = np.unique(phrases.message[order], return_index=True)
        for row in order[firsts].tolist():
            chosen[int(phrases.message[row])].append(
                (label, float(phrases.weight[row]), int(phrases.first[row]), int(phrases.last[row]))
            )


def _add_words(
    chosen: list[list[Reason]], batch: Encoded, table: WordTable, found: Found, *, named: Integers, silent: Mask
) -> None:
    if not len(found.row):
        return
    heads = table.weights[:, : len(SENTIMENTS)]
    share = (heads[found.row, named[found.message]] - heads[found.row].mean(axis=1)) / table.norms(found, batch.size)[
        found.message
    ]
    single = found.first == found.last
    function_word = (batch.languages[found.first] & 1) > 0
    share = np.where(single & function_word, 0.0, share)
    rows = np.flatnonzero((share > _LEAST_WEIGHT) & ~silent[found.message])
    order = rows[np.lexsort((-share[rows], found.message[rows]))]
    message = found.message[order]
    starts = np.flatnonzero(np.diff(message, prepend=-1)) if len(order) else np.zeros(0, np.int64)
    place = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    order = order[place < _CANDIDATES]
    for to, weight, first, last in zip(
        found.message[order].tolist(),
        share[order].tolist(),
        found.first[order].tolist(),
        found.last[order].tolist(),
        strict=True,
    ):
        reasons = chosen[to]
        if len(reasons) < MOST and all(last < before[2] or first > before[3] for before in reasons):
            reasons.append((SENTIMENTS[named[to]], weight, first, last))


def known_words(batch: Encoded, table: WordTable, rarest_idf: float) -> Mask:
    """Marks tokens whose plain word the table knows as a frequent one."""
    unique, inverse = np.unique(batch.gram, return_inverse=True)
    place = table.place(unique)
    frequent = (place >= 0) & (table.idf[place] <= rarest_idf)
    return np.asarray(frequent[inverse] & (batch.kind == tokens.WORD))
