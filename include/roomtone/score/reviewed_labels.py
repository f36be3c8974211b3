"""Labels that people gave in reviews: one table of the operational store, and which of its rows count."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from roomtone.errors import RoomtoneError
from roomtone.score.brand_files import Labels
from roomtone.score.data import SENTIMENTS
from roomtone.settings import Settings
from roomtone.stores import warehouse
from roomtone.stores.loading import ensure_raw_tables
from roomtone.stores.operational import OperationalStore
from roomtone.stores.operational import labels as labels_table

MOST_SHARE = 0.5
"""One person's answers weigh at most so much of all, so that nobody's taste becomes the brand's."""

LEAST_MAJORITY = 2 / 3
"""Share of the weight of a message's answers that its winning one needs."""

_TEXTS = """
select distinct id, body, md5(body) as body_hash
from raw.messages
where author = 'customer'
"""


@dataclass(frozen=True)
class Label:
    """One answer of one person on one version of a message's body (`body_hash` is its MD5, as scores have it)."""

    message_id: str
    body_hash: str
    sentiment: str
    labelled_by: str
    labelled_at: datetime
    source: str


@dataclass(frozen=True)
class Chosen:
    """The answer that counts for one message body, and its weight (at most 1)."""

    message_id: str
    body_hash: str
    sentiment: str
    weight: float


def choose(rows: Iterable[Label]) -> list[Chosen]:
    """The labels that count, one for each message body, in order of id.

    Of one person's answers on a body the latest counts. Persons whose answers would weigh more than `MOST_SHARE` of all
    weigh less each; a body whose answers give none `LEAST_MAJORITY` of the weight counts not at all.
    """
    latest: dict[tuple[str, str, str], Label] = {}
    for row in rows:
        key = (row.message_id, row.body_hash, row.labelled_by)
        if key not in latest or (row.labelled_at, row.sentiment) > (latest[key].labelled_at, latest[key].sentiment):
            latest[key] = row
    counts: dict[str, int] = defaultdict(int)
    for row in latest.values():
        counts[row.labelled_by] += 1
    weight_of = {person: _weight(person, counts) for person in counts}

    votes: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in latest.values():
        votes[row.message_id, row.body_hash][row.sentiment] += weight_of[row.labelled_by]
    chosen = []
    for (message_id, body_hash), by_sentiment in sorted(votes.items()):
        best = max(sorted(by_sentiment), key=by_sentiment.__getitem__)
        if by_sentiment[best] >= LEAST_MAJORITY * sum(by_sentiment.values()):
            chosen.append(Chosen(message_id, body_hash, best, min(1.0, by_sentiment[best])))
    return chosen


def _weight(person: str, counts: dict[str, int]) -> float:
    """Weight of each of a person's answers. Somebody who is alone has nobody to be weighed against."""
    others = sum(counts.values()) - counts[person]
    most = others * MOST_SHARE / (1 - MOST_SHARE)
    return min(1.0, most / counts[person]) if others else 1.0


def record(store: OperationalStore, label: Label) -> None:
    """Append a person's answer; the same one again changes nothing.

    Raises RoomtoneError for a sentiment that does not exist.
    """
    if label.sentiment not in SENTIMENTS:
        raise RoomtoneError("label", label.sentiment[:40], f"use one of {', '.join(SENTIMENTS)}")
    columns = labels_table.c
    known = labels_table.select().where(
        columns.message_id == label.message_id,
        columns.body_hash == label.body_hash,
        columns.labelled_by == label.labelled_by,
        columns.labelled_at == label.labelled_at,
    )
    with store.begin() as connection:
        if connection.execute(known).first() is None:
            connection.execute(labels_table.insert().values(**vars(label)))


def read_reviews(settings: Settings, warn: Callable[[str], None]) -> Labels:
    """The chosen labels with the texts they were given for, from the operational store and the landed messages.

    A label whose text is no longer there (edited away, erased) is left out with a warning.
    """
    store = OperationalStore(settings)
    try:
        with store.begin() as connection:
            rows = [Label(**row._mapping) for row in connection.execute(labels_table.select())]  # noqa: SLF001
    finally:
        store.close()
    chosen = choose(rows)
    texts: dict[tuple[str, str], str] = {}
    if chosen:
        with warehouse.connect(settings) as connection:
            ensure_raw_tables(connection)
            texts = {(key, digest): body for key, body, digest in connection.sql(_TEXTS).fetchall()}
    labels = Labels()
    lost = 0
    for label in chosen:
        text = texts.get((label.message_id, label.body_hash))
        if text is None:
            lost += 1
        else:
            labels.add(text, label.sentiment, label.weight)
    if lost:
        warn(f"labels: {lost} of {len(chosen)} reviewed messages are no longer there; they are left out")
    return labels
