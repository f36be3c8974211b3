"""Features of a conversation: what was said before, by meaning, how the tone went, how long nobody answered.

Everything is point in time: a message sees only what its customer had written, and what agents had answered, before it.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roomtone.score import tokens
from roomtone.score.text import clean_body

SHORT_DAYS, LONG_DAYS = 7, 30
LEAST_LIKENESS = 0.30
"""Cosine of two messages' concepts from which the later says the earlier again, chosen on the odd pairs written by
hand.
"""

MOST_EARLIER = 50
"""Of a customer's earlier messages at most so many, the latest, are compared."""

_COMMON, _RARE, _CONCEPT = 0.15, 1.0, 1.4

MESSAGES = pa.schema(
    [
        ("message_id", pa.string()),
        ("customer_id", pa.string()),
        ("ticket_id", pa.string()),
        ("at", pa.timestamp("us")),
        ("text", pa.string()),
        ("p_negative", pa.float64()),
    ]
)
"""Customers' messages. `text` is the raw body."""

REPLIES = pa.schema([("ticket_id", pa.string()), ("at", pa.timestamp("us"))])
"""Public answers of agents."""

THREADS = pa.schema(
    [
        ("message_id", pa.string()),
        ("repeats_7d", pa.int64()),
        ("repeats_30d", pa.int64()),
        ("repeats_other_tickets_30d", pa.int64()),
        ("contacts_7d", pa.int64()),
        ("contacts_30d", pa.int64()),
        ("tone_slope", pa.float64()),
        ("unanswered_hours", pa.float64()),
    ]
)
"""`repeats_*` count earlier messages that say the same, `contacts_*` all messages of the window, this one included;
`tone_slope` is the change of p_negative a day over the long window; `unanswered_hours` runs from the first message of
the ticket that no agent has answered.
"""

_DAY = np.timedelta64(1, "D")
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Pairs:
    """Rows of a later and an earlier message of one customer, within the long window."""

    later: Rows
    earlier: Rows


def features(messages: pa.Table, replies: pa.Table) -> pa.Table:
    """A row of `THREADS` for each of `messages` (`MESSAGES`, any order), in their order."""
    size = messages.num_rows
    at = messages["at"].to_numpy(zero_copy_only=False).astype("datetime64[us]")
    customer, ticket = (_numbers(messages[name]) for name in ("customer_id", "ticket_id"))
    order = np.lexsort((np.asarray(messages["message_id"].to_pylist(), dtype=object).astype(str), at, customer))
    pairs = _pairs(order, customer, at)
    alike = likeness([text or "" for text in messages["text"].to_pylist()], pairs.later, pairs.earlier)
    is_repeat = alike >= LEAST_LIKENESS
    is_short = at[pairs.later] - at[pairs.earlier] <= SHORT_DAYS * _DAY
    is_elsewhere = ticket[pairs.later] != ticket[pairs.earlier]

    def count(chosen: npt.NDArray[np.bool_]) -> Rows:
        return np.bincount(pairs.later[chosen], minlength=size)[:size]

    tone = messages["p_negative"].to_numpy(zero_copy_only=False).astype(np.float64)
    columns = [
        messages["message_id"],
        count(is_repeat & is_short),
        count(is_repeat),
        count(is_repeat & is_elsewhere),
        1 + count(is_short),
        1 + count(np.ones(len(alike), np.bool_)),
        _slopes(pairs, at, tone),
        _unanswered_hours(messages, replies, at),
    ]
    return pa.table(columns, names=THREADS.names).cast(THREADS)


def likeness(texts: list[str], first: Rows, second: Rows) -> npt.NDArray[np.float64]:
    """Cosine of the concept vectors of texts[first] and texts[second], 0 to 1.

    Words of one meaning (parcel, package; refund, money back) count as one concept; words that every message holds
    count little. The weights are fixed, so that a likeness never changes with what else is in the batch.
    """
    message, concept, weight = _concepts(texts)
    size = int(concept.max(initial=0)) + 1
    starts = np.searchsorted(message, np.arange(len(texts) + 1))
    sides = []
    for rows in (first, second):
        counts = starts[rows + 1] - starts[rows]
        pair = np.repeat(np.arange(len(rows)), counts)
        offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        entry = np.repeat(starts[rows], counts) + offset
        sides.append((pair * size + concept[entry], weight[entry]))
    (left, left_weight), (right, right_weight) = sides
    place = np.searchsorted(right, left).clip(max=max(len(right) - 1, 0))
    hit = right[place] == left if len(right) else np.zeros(len(left), np.bool_)
    products = left_weight[hit] * right_weight[place[hit]]
    return np.asarray(np.bincount(left[hit] // size, weights=products, minlength=len(first))[: len(first)], np.float64)


def _concepts(texts: list[str]) -> tuple[Rows, Rows, npt.NDArray[np.float64]]:
    """Message, concept and weight of each message's distinct concepts, sorted; a message's weights have length 1."""
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
    return message, codes % size, weight / lengths[message]


@cache
def _vocabulary() -> tuple[dict[str, str], frozenset[str]]:
    """Stems to the concept they stand for, and stems that say little."""
    text = files("roomtone.score").joinpath("concepts.txt").read_text(encoding="utf-8")
    concept_of: dict[str, str] = {}
    common: set[str] = set()
    for line in text.splitlines():
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


def _numbers(column: pa.ChunkedArray) -> Rows:
    """Numbers that are equal where the texts are; a missing text stands alone."""
    texts = column.to_pylist()
    ids: dict[str, int] = {}
    return np.array([-1 - row if text is None else ids.setdefault(text, len(ids)) for row, text in enumerate(texts)])


def _pairs(order: Rows, customer: Rows, at: npt.NDArray[np.datetime64]) -> _Pairs:
    later, earlier = [], []
    for lag in range(1, min(MOST_EARLIER + 1, len(order))):
        new, old = order[lag:], order[:-lag]
        close = (customer[new] == customer[old]) & (at[new] - at[old] <= LONG_DAYS * _DAY)
        if not close.any():
            break
        later.append(new[close])
        earlier.append(old[close])
    empty = np.zeros(0, np.int64)
    return _Pairs(np.concatenate(later) if later else empty, np.concatenate(earlier) if earlier else empty)


def _slopes(pairs: _Pairs, at: npt.NDArray[np.datetime64], tone: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Least-squares slope of the tone over days, each message's window; 0 where it has no two instants."""
    size = len(at)
    days = (at[pairs.later] - at[pairs.earlier]) / _DAY
    known = np.isfinite(tone[pairs.earlier])

    def total(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(np.bincount(pairs.later[known], weights=values[known], minlength=size)[:size], np.float64)

    # Time runs backwards from the message, which itself lies at 0.
    own = np.where(np.isfinite(tone), tone, 0.0)
    count = np.isfinite(tone) + total(np.ones(len(days)))
    sum_t, sum_tt = total(-days), total(days * days)
    sum_y = own + total(tone[pairs.earlier])
    sum_ty = total(-days * tone[pairs.earlier])
    spread = count * sum_tt - sum_t * sum_t
    flat = spread < 1e-9
    return np.asarray(np.where(flat, 0.0, (count * sum_ty - sum_t * sum_y) / np.where(flat, 1.0, spread)))


def _unanswered_hours(messages: pa.Table, replies: pa.Table, at: npt.NDArray[np.datetime64]) -> npt.NDArray[np.float64]:
    """Hours from the first message of the ticket after its last answer, each as of the message."""
    tickets = [*messages["ticket_id"].to_pylist(), *replies["ticket_id"].to_pylist()]
    number = _numbers(pa.chunked_array([pa.array(tickets, pa.string())]))
    instants = np.concatenate([at, replies["at"].to_numpy(zero_copy_only=False).astype("datetime64[us]")])
    is_reply = np.arange(len(tickets)) >= len(at)
    # An answer at the very instant of a message does not answer it.
    order = np.lexsort((~is_reply, instants, number))
    opens = np.ones(len(order), np.bool_)
    opens[1:] = (number[order][1:] != number[order][:-1]) | is_reply[order][:-1]
    position = np.maximum.accumulate(np.where(opens, np.arange(len(order)), 0))
    waited = (instants[order] - instants[order[position]]) / np.timedelta64(1, "h")
    hours = np.zeros(len(order))
    hours[order] = np.where(is_reply[order], 0.0, waited)
    return hours[: len(at)]
