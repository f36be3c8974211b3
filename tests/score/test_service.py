from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roomtone.score import corpus, service, tokens, train
from roomtone.score.data import Source
from roomtone.score.features import surface
from roomtone.score.model import Model
from roomtone.score.service import Turn
from roomtone.score.weights import WordTable

GATE = 0.80

CALM = [
    "no",
    "nothing else",
    "nothing",
    "no thank you",
    "no thanks for your wonderful help",
    "no thats all thanks again",
    "once again",
    "past two days",
    "sorry",
    "oh sorry i provided my ssn wrong",
    "i lost my credit card",
    "my phone screen is broken",
    "connection problem",
    "i dont like aisle seat can you arrange me window seat",
]
ANGRY = [
    "My parcel hasn't moved for five days and nobody answers. Tomorrow is my daughter's birthday. I am really angry.",
    "This is a disgrace. I am furious",
    "This is the worst service I have ever had.",
    "no, you are useless",
    "Three weeks, four e-mails, and nobody replies to me! I want my money back.",
]


def feels(*texts: str) -> list[bool]:
    batch = tokens.encode(list(texts), tokens.TypeTable())
    marked: list[bool] = service.feeling(list(texts), surface(batch).values).tolist()
    return marked


@pytest.mark.parametrize("text", CALM)
def test_closing_turns_and_plain_reports_are_not_found_negative(
    scored: Callable[..., list[dict[str, Any]]], text: str
) -> None:
    assert scored(text)[0]["p_negative"] < GATE


@pytest.mark.parametrize("text", ANGRY)
def test_real_anger_keeps_its_confidence(scored: Callable[..., list[dict[str, Any]]], text: str) -> None:
    assert scored(text)[0]["p_negative"] >= GATE


def test_the_rule_finds_feeling_and_leaves_plain_turns() -> None:
    # "again" may be insistence, so the rule leaves these two out of the weak rows to be safe.
    felt = [text for text, is_felt in zip(CALM, feels(*CALM), strict=True) if is_felt]
    assert felt == ["no thats all thanks again", "once again"]
    assert all(
        feels(
            "this is ridiculous",
            "What the hell",
            "WHERE IS MY MONEY NOW",
            "I have been waiting for the card",
            "still broken",
            "Do something! Today!",
            "my lawyer will call",
            "ok 😡",
        )
    )


def test_only_turns_that_just_thank_are_weakly_positive(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    said = [
        ("thanks a lot", "thankyou"),
        ("Thanks a lot ", "thankyou<div>closinggreeting"),
        ("no thanks", "rejection<div>thankyou"),
        ("not now thanks", "thankyou"),
        ("my seat is 4a", "contentonly"),
        ("what is the moon", "outofdomain"),
        ("hm", None),
    ]
    kept = next(str(number) for number in range(99) if not service.is_held_out(str(number)))
    held = next(str(number) for number in range(99) if service.is_held_out(str(number)))
    rows = [
        {"conversation_id": name, "text": text, "intent": intent, "level": level}
        for name in (kept, held)
        for level in ("turn", "sentence")
        for text, intent in [*said, (f"only in {name}", "contentonly")]
    ]
    (tmp_path / "multidogo").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "multidogo" / "multidogo_train_dev.parquet")
    source = service.multidogo(tmp_path)
    assert dict(zip(source.texts, source.weak, strict=True)) == {
        "thanks a lot": "positive",
        "no thanks": "neutral",
        "not now thanks": "neutral",
        "my seat is 4a": "neutral",
        "what is the moon": None,
        "hm": None,
        f"only in {kept}": "neutral",
    }
    assert source.repeats[0] == 2
    assert {turn.conversation for turn in service.turns(tmp_path, held_out=True)} == {held}


def test_weak_rows_weigh_their_mass_and_rows_with_feeling_have_no_label() -> None:
    source = Source("multidogo")
    for text in ("no", "that is fine", "this is horrible"):
        source.add(text, weak="neutral")
    source.repeats[0] = 4
    pool = corpus.corpus([source], 5)
    assert pool.weak.tolist() == [1, 1, -1]
    weight = train.weak_weights(pool, pool.weak >= 0, 10.0)
    assert weight.sum() == pytest.approx(10 * train.WEAK_MASSES["multidogo"])
    assert weight[0] == pytest.approx(2 * weight[1])
    assert weight[2] == 0


def test_one_angry_turn_strikes_its_conversation(model: Model) -> None:
    said = [Turn("a", "thanks", frozenset()), Turn("a", ANGRY[1], frozenset()), Turn("b", "thanks", frozenset())]
    figures = service.measure(model, said)
    assert figures["turns_0.80"] == pytest.approx(1 / 3)
    assert figures["conversations_0.80"] == pytest.approx(1 / 2)
    assert (figures["n"], figures["conversations"]) == (3, 2)


@pytest.mark.data
def test_held_out_conversations_stay_calm(model: Model, data_dir: Path) -> None:
    figures = service.measure(model, service.turns(data_dir, held_out=True))
    assert figures["n"] > 10_000
    assert figures["turns_0.80"] < 0.03
    assert figures["conversations_0.80"] < 0.12


def test_a_word_table_reads_back_from_its_text() -> None:
    keys = np.array([3, 2**63 + 1, 2**64 - 1], np.uint64)
    weights = np.array([[0.5, -1.25], [2, 0], [-3, 0.125]], np.float32)
    table = WordTable(keys, np.array([1, 2, 4], np.float32), weights, ("a", "b"), np.zeros(2))
    content = table.to_text()
    assert content.isascii()
    assert len(content.splitlines()) == 4
    again = WordTable.from_text(content, np.zeros(2), ("a", "b"))
    assert again.keys.tolist() == keys.tolist()
    assert again.idf.tolist() == [1, 2, 4]
    assert again.weights.tolist() == weights.tolist()
    for broken, heads in ((content, ("b", "a")), (content[:-6], ("a", "b"))):
        with pytest.raises(ValueError, match=r"."):
            WordTable.from_text(broken, np.zeros(2), heads)
