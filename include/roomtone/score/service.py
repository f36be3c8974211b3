"""Service language: what customers say in the course of a calm conversation, as weak labels for training and as a
held-out set.

Nobody judged the mood of these rows. A turn that answers, greets, closes, orders or reports a problem is weakly
neutral, a turn that thanks is weakly positive, unless `feeling` or the frustration head finds feeling in it.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roomtone.score import features, lexicon
from roomtone.score.data import DIALOGUE_INTENTS, Source, read_rows
from roomtone.score.model import Model
from roomtone.score.tokens import Floats

HELD_OUT_SHARE = 5
"""One MultiDoGO conversation in so many is never trained on."""

MARKED_STEP = 4
"""One distinct turn in so many carries an intent: acted dialogues must not drown the shop's own intents."""

_THANKING = frozenset({"thankyou", "closinggreeting", "confirmation", "openinggreeting"})
_GATES = (0.80, 0.60)


@dataclass(frozen=True)
class Turn:
    """One customer turn of a MultiDoGO conversation; `intents` are the set's own."""

    conversation: str
    text: str
    intents: frozenset[str]


def turns(data_dir: Path, *, held_out: bool) -> list[Turn]:
    """Customer turns of the conversations held out, or of all others, repeats included."""
    columns = ["conversation_id", "text", "intent", "level"]
    return [
        Turn(row["conversation_id"], row["text"], frozenset(filter(None, (row["intent"] or "").split("<div>"))))
        for row in read_rows(data_dir, "multidogo/multidogo_train_dev.parquet", columns)
        if row["level"] == "turn" and row["text"] and is_held_out(row["conversation_id"]) == held_out
    ]


def is_held_out(conversation: str) -> bool:
    """Whether a conversation belongs to the held-out part; depends on its id alone."""
    return zlib.crc32(conversation.encode()) % HELD_OUT_SHARE == 0


def multidogo(data_dir: Path) -> Source:
    """Distinct customer turns of the training conversations: weak sentiment, how often each was said, and for one
    in `MARKED_STEP` the intent.
    """
    source = Source("multidogo")
    places: dict[str, int] = {}
    for turn in turns(data_dir, held_out=False):
        place = places.setdefault(turn.text.lower().strip(), len(source.texts))
        if place < len(source.texts):
            source.repeats[place] += 1
            continue
        intent = DIALOGUE_INTENTS.get(next(iter(turn.intents))) if len(turn.intents) == 1 else None
        source.add(turn.text, intent=intent if place % MARKED_STEP == 0 else None, weak=_weak(turn))
    return source


def _weak(turn: Turn) -> str | None:
    if not turn.intents or "outofdomain" in turn.intents:
        return None
    words = {lexicon.normalise(word) for word in turn.text.split()}
    thanks = "thankyou" in turn.intents and turn.intents <= _THANKING and words & lexicon.THANKS
    return "positive" if thanks and not words & lexicon.NEGATORS else "neutral"


def banking77(data_dir: Path) -> Source:
    """Requests to a bank, training split: weakly neutral."""
    source = Source("banking77")
    for row in read_rows(data_dir, "banking77/train.parquet", ["text"]):
        source.add(row["text"], weak="neutral")
    return source


def nlupp(data_dir: Path) -> Source:
    """Requests to a bank and to a hotel: weakly neutral, those that thank left out."""
    source = Source("nlupp")
    for row in read_rows(data_dir, "nlupp/nlupp.parquet", ["text", "intents"]):
        source.add(row["text"], weak=None if "thank" in row["intents"] else "neutral")
    return source


def feeling(texts: list[str], surface: Floats) -> npt.NDArray[np.bool_]:
    """Marks cleaned texts that show feeling or insistence, by the surface features (texts x `SURFACE_NAMES`) and the
    list of feeling words.

    Such a row may be an unhappy customer's, so nobody may call it neutral unseen.
    """

    def value(name: str) -> Floats:
        return surface[:, features.SURFACE_NAMES.index(name)]

    words = np.array(
        [
            any(lexicon.normalise(word.strip(".,;:!?\"'()")) in lexicon.FEELING for word in text.split())
            for text in texts
        ],
        dtype=np.bool_,
    )
    insisting = (
        (value("persistent") > 0)
        & (value("thanks") == 0)
        & (value("problem") + value("durations") + value("negators") > 0)
    )
    shouting = (value("caps_words") > 0.5) & (value("words_log") > 1.5)
    marked = sum(
        (value(f"phrase_{name}") for name in ("waiting", "threat", "thanks_for_nothing")), np.zeros(len(texts))
    )
    return np.asarray(
        words
        | insisting
        | shouting
        | (marked > 0)
        | (value("swearing") > 0)
        | (value("exclaims") > 1)
        | (value("emoji_valence") < 0)
    )


def measure(model: Model, held_out: list[Turn]) -> dict[str, float]:
    """How often `model` finds calm conversations negative: for each confidence the share of turns and of conversations
    with at least one such turn; `n` is the number of turns, `conversations` that of conversations.
    """
    rows = pa.table({"id": [str(row) for row in range(len(held_out))], "text": [turn.text for turn in held_out]})
    negative = model.score(rows)["p_negative"].to_numpy()
    conversations = {turn.conversation for turn in held_out}
    found: dict[str, float] = {"n": len(held_out), "conversations": len(conversations)}
    for gate in _GATES:
        hit = negative >= gate
        struck = {turn.conversation for turn, is_hit in zip(held_out, hit.tolist(), strict=True) if is_hit}
        found[f"turns_{gate:.2f}"] = float(hit.mean()) if held_out else 0.0
        found[f"conversations_{gate:.2f}"] = len(struck) / max(len(conversations), 1)
    return found
