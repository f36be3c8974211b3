"""Repetition by meaning, tone and waiting, each as of the message."""

from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pytest

from roomtone.score import threads

START = datetime(2026, 3, 2)  # noqa: DTZ001 -- the warehouse holds UTC without zone


def pairs(part: int) -> dict[str, list[tuple[str, str]]]:
    """Hand-written pairs by section; `part` 0 may be tuned to, 1 may not."""
    found: dict[str, list[tuple[str, str]]] = {}
    section = ""
    for line in (Path(__file__).parent / "thread_pairs.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            first, _, second = line.partition(" | ")
            found.setdefault(section, []).append((first, second))
    return {name: rows[part::2] for name, rows in found.items()}


def messages(*rows: tuple[str, str, float, str], tones: list[float] | None = None) -> pa.Table:
    """(customer, ticket, hour, text) as `threads.MESSAGES`; ids are m0, m1 …"""
    return pa.table(
        {
            "message_id": [f"m{number}" for number in range(len(rows))],
            "customer_id": [row[0] for row in rows],
            "ticket_id": [row[1] for row in rows],
            "at": pa.array([START + timedelta(hours=row[2]) for row in rows], pa.timestamp("us")),
            "text": [row[3] for row in rows],
            "p_negative": tones or [0.5] * len(rows),
        }
    ).cast(threads.MESSAGES)


def replies(*rows: tuple[str, float]) -> pa.Table:
    return pa.table(
        {
            "ticket_id": [ticket for ticket, _ in rows],
            "at": pa.array([START + timedelta(hours=hour) for _, hour in rows], pa.timestamp("us")),
        }
    ).cast(threads.REPLIES)


@pytest.mark.parametrize("part", [0, 1], ids=["tuned", "unseen"])
def test_paraphrases_are_repeats_and_follow_ups_are_not(part: int) -> None:
    shares = {}
    for section, rows in pairs(part).items():
        texts = [text for row in rows for text in row]
        first, second = np.arange(0, len(texts), 2), np.arange(1, len(texts), 2)
        shares[section] = float((threads.likeness(texts, first, second) >= threads.LEAST_LIKENESS).mean())
    assert shares["repeat"] >= 0.75
    assert shares["follow_up"] <= 0.2


def test_repeats_are_counted_in_both_windows_and_across_tickets() -> None:
    table = messages(
        ("ann", "t1", 0, "Where is my parcel?"),
        ("ann", "t2", 24 * 10, "My package still hasn't arrived."),
        ("ann", "t2", 24 * 12, "Where is my parcel?"),
        ("bob", "t3", 24 * 12, "Where is my parcel?"),
        ("ann", "t2", 24 * 41, "Where is my parcel?"),
    )
    found = threads.features(table, replies())
    assert found["repeats_7d"].to_pylist() == [0, 0, 1, 0, 0]
    assert found["repeats_30d"].to_pylist() == [0, 1, 2, 0, 1]
    assert found["repeats_other_tickets_30d"].to_pylist() == [0, 1, 1, 0, 0]
    assert found["contacts_7d"].to_pylist() == [1, 1, 2, 1, 1]
    assert found["contacts_30d"].to_pylist() == [1, 2, 3, 1, 2]


def test_the_tone_of_a_conversation_has_a_slope() -> None:
    rows = [("ann", "t", 24.0 * day, f"message {day}") for day in range(4)]
    found = threads.features(messages(*rows, tones=[0.1, 0.3, 0.5, 0.7]), replies())
    assert found["tone_slope"].to_pylist() == pytest.approx([0.0, 0.2, 0.2, 0.2])


def test_waiting_begins_with_the_first_unanswered_message() -> None:
    table = messages(
        ("ann", "t", 0, "a"), ("ann", "t", 5, "b"), ("ann", "t", 8, "c"), ("ann", "t", 20, "d"), ("bob", "u", 9, "e")
    )
    found = threads.features(table, replies(("t", 6), ("t", 8), ("x", 1)))
    assert found["unanswered_hours"].to_pylist() == pytest.approx([0, 5, 0, 12, 0])


def test_nothing_later_changes_what_a_message_saw() -> None:
    chance = Random(3)
    texts = [text for row in pairs(0)["repeat"] for text in row]
    rows = [("ann", f"t{chance.randrange(3)}", chance.uniform(0, 2000), chance.choice(texts)) for _ in range(40)]
    answers = [(f"t{chance.randrange(3)}", chance.uniform(0, 2000)) for _ in range(10)]
    whole = threads.features(messages(*rows), replies(*answers)).to_pylist()
    cut = 1000.0
    early = [number for number, row in enumerate(rows) if row[2] < cut]
    part = threads.features(
        messages(*(rows[number] for number in early)), replies(*(row for row in answers if row[1] < cut))
    ).to_pylist()
    for number, row in zip(early, part, strict=True):
        assert row | {"message_id": ""} == pytest.approx(whole[number] | {"message_id": ""})


def test_the_order_of_rows_changes_nothing_but_the_order_of_answers() -> None:
    table = messages(*(("ann", "t", float(hour), text) for hour, (text, _) in enumerate(pairs(1)["repeat"])))
    shuffled = table.take(Random(1).sample(range(table.num_rows), table.num_rows))
    first, second = (threads.features(rows, replies(("t", 3))).sort_by("message_id") for rows in (table, shuffled))
    assert first.equals(second)


def test_no_messages_and_empty_texts_are_no_trouble() -> None:
    assert threads.features(messages(), replies()).num_rows == 0
    found = threads.features(messages(("ann", "t", 0, ""), ("ann", "t", 1, "")), replies())
    assert found["repeats_30d"].to_pylist() == [0, 0]
