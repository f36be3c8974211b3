"""Which answers of people count, and how they find their texts again."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from roomtone.errors import RoomtoneError
from roomtone.score import brand_artefact, reviewed_labels
from roomtone.score.reviewed_labels import Chosen, Label, choose
from roomtone.settings import Settings
from roomtone.stores import warehouse
from roomtone.stores.loading import ensure_raw_tables
from roomtone.stores.operational import OperationalStore

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def answer(message: str, sentiment: str, by: str = "ann", minutes: int = 0) -> Label:
    return Label(message, hashed(message), sentiment, by, NOON + timedelta(minutes=minutes), "review")


def hashed(message: str) -> str:
    return hashlib.md5(f"body of {message}".encode(), usedforsecurity=False).hexdigest()


def test_a_persons_latest_answer_counts() -> None:
    rows = [answer("m1", "negative", minutes=5), answer("m1", "neutral", minutes=9), answer("m1", "positive")]
    assert choose(rows) == [Chosen("m1", hashed("m1"), "neutral", 1.0)]


def test_people_who_disagree_settle_nothing_and_a_majority_does() -> None:
    split = [answer("m1", "negative", "ann"), answer("m1", "neutral", "bob")]
    assert choose(split) == []
    settled = [*split, answer("m1", "negative", "cem")]
    assert [(row.sentiment, row.weight) for row in choose(settled)] == [("negative", 1.0)]


def test_one_persons_answers_weigh_at_most_half() -> None:
    rows = [answer(f"a{number}", "negative", "ann") for number in range(90)]
    rows += [answer(f"b{number}", "neutral", "bob") for number in range(10)]
    weight = {"negative": 0.0, "neutral": 0.0}
    for row in choose(rows):
        weight[row.sentiment] += row.weight
    assert weight == pytest.approx({"negative": 10.0, "neutral": 10.0})


def test_another_version_of_the_body_is_another_message() -> None:
    rows = [answer("m1", "negative"), Label("m1", "other", "neutral", "ann", NOON, "review")]
    assert [(row.body_hash, row.sentiment) for row in choose(rows)] == sorted(
        [(hashed("m1"), "negative"), ("other", "neutral")]
    )


ANSWERS = st.builds(
    answer, st.sampled_from("abc"), st.sampled_from(["negative", "neutral"]), st.sampled_from("xyz"), st.integers(0, 3)
)


@given(st.lists(ANSWERS, max_size=12), st.randoms())
@example_settings(max_examples=100, deadline=None)
def test_the_order_of_rows_changes_nothing(rows: list[Label], chance) -> None:
    shuffled = list(rows)
    chance.shuffle(shuffled)
    chosen = choose(rows)
    assert chosen == choose(shuffled)
    assert all(0 < row.weight <= 1 for row in chosen)


def test_answers_are_kept_once_and_find_their_texts(settings: Settings) -> None:
    store = OperationalStore(settings)
    for row in (
        answer("m1", "negative"),
        answer("m1", "negative"),
        answer("m2", "positive"),
        answer("gone", "neutral"),
    ):
        reviewed_labels.record(store, row)
    with store.begin() as connection:
        assert len(connection.execute(reviewed_labels.labels_table.select()).fetchall()) == 3
    store.close()
    with warehouse.connect(settings) as connection:
        ensure_raw_tables(connection)
        for message in ("m1", "m2"):
            connection.execute(
                "insert into raw.messages (id, body, author) values (?, ?, 'customer')", [message, f"body of {message}"]
            )
    warnings: list[str] = []
    labels = reviewed_labels.read_reviews(settings, warnings.append)
    assert (labels.texts, labels.sentiments) == (["body of m1", "body of m2"], ["negative", "positive"])
    assert warnings == ["labels: 1 of 3 reviewed messages are no longer there; they are left out"]


def test_an_unknown_sentiment_is_refused(settings: Settings) -> None:
    store = OperationalStore(settings)
    with pytest.raises(RoomtoneError, match="angry"):
        reviewed_labels.record(store, answer("m1", "angry"))
    store.close()


def test_no_reviews_yet_is_told(settings: Settings) -> None:
    with pytest.raises(RoomtoneError, match="the reviews hold no usable line"):
        brand_artefact.evidence(settings, None, None, from_reviews=True, warn=pytest.fail, seed=1)
