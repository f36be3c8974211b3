"""English or not: function words and known words, counted once per message.

Enough to abstain; not a language detector.
"""

import numpy as np
import numpy.typing as npt

from roomtone.score import lexicon, tokens
from roomtone.score.tokens import Encoded, Mask

UNDETERMINED = "und"
"""BCP 47's code for a language that is not determined."""

ENGLISH = "en"
_ENGLISH_ROW = lexicon.LANGUAGES.index(ENGLISH)
_KNOWN_SHARE = 0.5
_FOREIGN_SHARE = 0.4


def detect(batch: Encoded, known: Mask, hints: list[str | None]) -> npt.NDArray[np.object_]:
    """Language code of each message: one of `lexicon.LANGUAGES`, a hint where the text decides nothing, else `und`.

    `known` marks tokens that are frequent English words of the model; `hints` are codes such as `en` or `pt-BR`, or
    None.
    """

    def count(mask: Mask) -> npt.NDArray[np.int64]:
        return np.bincount(batch.message[mask], minlength=batch.size)

    words = np.maximum(count(batch.kind == tokens.WORD), 1)
    listed = np.flatnonzero(batch.languages != 0)
    bits, owners = batch.languages[listed], batch.message[listed]
    counts = np.column_stack(
        [np.bincount(owners[(bits & (1 << row)) > 0], minlength=batch.size) for row in range(len(lexicon.LANGUAGES))]
    )
    english = counts[:, _ENGLISH_ROW]
    others = counts.copy()
    others[:, _ENGLISH_ROW] = 0
    best = others.argmax(axis=1)
    most = others.max(axis=1)
    known_share = count(known) / words
    foreign = count((batch.flags & tokens.FOREIGN) > 0) / words > _FOREIGN_SHARE
    other = ~foreign & (
        ((most >= 2) & (most > english)) | ((most >= 1) & (english == 0) & (known_share < _KNOWN_SHARE))
    )
    is_english = (
        ~foreign & ~other & ((known_share >= _KNOWN_SHARE) | ((english > 0) & (known_share >= _KNOWN_SHARE / 2)))
    )
    codes = np.array([*lexicon.LANGUAGES, UNDETERMINED], dtype=object)
    found = codes[np.where(is_english, _ENGLISH_ROW, np.where(other, best, len(lexicon.LANGUAGES)))]
    for row, code in enumerate(hints):
        if code is None or found[row] != UNDETERMINED:
            continue
        hint = code.replace("_", "-").split("-")[0].strip().lower()
        if hint.isalpha() and 2 <= len(hint) <= 3 and not foreign[row]:
            found[row] = hint
    return found
