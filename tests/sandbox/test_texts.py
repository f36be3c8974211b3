"""The composed messages: variety, whole sentences, and labels that a list of words cannot find."""

import json
import re
import subprocess
import sys
from collections import Counter
from random import Random
from typing import Any

import pytest

from roomtone.sandbox.samples import sample_messages

# What somebody would write down first on being asked for words of unhappy customers.
NEGATIVE_WORDS = tuple(
    "angry furious terrible awful horrible worst disappointed disappointing unacceptable ridiculous frustrated "  # noqa: SIM905
    "frustrating annoyed annoying upset upsetting unhappy bad poor broken damaged wrong late never nobody refund "
    "complaint waste useless ashamed".split()
)


@pytest.fixture(scope="module")
def messages() -> list[dict[str, Any]]:
    return list(sample_messages(Random(5), 6000))


def test_six_thousand_messages_have_five_thousand_surface_forms(messages: list[dict[str, Any]]) -> None:
    assert len({row["text"] for row in messages}) >= 5000


def test_variety_is_not_only_names_and_numbers(messages: list[dict[str, Any]]) -> None:
    """With signatures, quotations, digits and case taken away, thousands of forms are left."""
    bodies = set()
    for row in messages:
        if row["channel"] in {"chat", "sms", "in_app"}:
            continue
        body = re.sub(r"\d+", "", row["text"].lower())
        bodies.add(" ".join(line for line in body.split("\n") if len(line) > 40 and not line.startswith(">")))
    assert len(bodies) >= 2500


def test_no_template_shows_through(messages: list[dict[str, Any]]) -> None:
    for row in messages:
        text = row["text"].replace(" | ", "")
        assert not re.search(r"[\[\]{}|]|\(\w+\) [A-Z]|\bNone\b| [.,!?](?!\d)", text), text
        assert "  " not in text, repr(text)
        assert text == text.strip(), repr(text)


def test_every_mood_channel_hurry_and_trait_occurs(messages: list[dict[str, Any]]) -> None:
    moods = Counter(row["sentiment"] for row in messages)
    assert min(moods.values()) >= 500
    assert {row["channel"] for row in messages} == {"email", "chat", "form", "in_app", "sms"}
    assert {row["urgency"] for row in messages} == {"low", "normal", "high"}
    traits = Counter(flag for row in messages for flag in row["flags"])
    wanted = {
        "polite_frustration",
        "sarcasm",
        "fury",
        "threat",
        "mild",
        "typos",
        "caps",
        "emoji",
        "quoted",
        "signature",
        "long",
        "question",
        "thanks",
        "keyword_calm",
        "negation",
    }
    assert {trait for trait in wanted if traits[trait] >= 40} == wanted


def test_hurry_is_said_and_calm_is_not_denied(messages: list[dict[str, Any]]) -> None:
    for row in messages:
        assert ("deadline" in row["flags"]) == (row["urgency"] == "high")
        if row["urgency"] == "high":
            assert not re.search(r"no (hurry|rush)", row["text"], re.IGNORECASE), row["text"]


def test_a_list_of_thirty_words_fails(messages: list[dict[str, Any]]) -> None:
    pattern = re.compile(rf"\b({'|'.join(NEGATIVE_WORDS)})\b")
    truth = [row["sentiment"] == "negative" for row in messages]
    found = [bool(pattern.search(row["text"].lower())) for row in messages]
    macro = (_f1(truth, found, of=True) + _f1(truth, found, of=False)) / 2
    assert macro < 0.75


def test_polite_frustration_and_sarcasm_use_no_word_of_anger(messages: list[dict[str, Any]]) -> None:
    pattern = re.compile(r"\b(angry|furious|terrible|awful|worst|unacceptable|ridiculous|ashamed|disappoint\w+)\b")
    quiet = [
        row
        for row in messages
        if {"polite_frustration", "sarcasm"} & set(row["flags"]) and "quoted" not in row["flags"]
    ]
    quiet = [row for row in quiet if not {"fury", "plain", "mild", "follow_up"} & set(row["flags"])]
    assert len(quiet) > 300
    assert not [row["text"] for row in quiet if pattern.search(row["text"].lower())]


def test_calm_messages_with_angry_words_are_not_negative(messages: list[dict[str, Any]]) -> None:
    tricky = [row for row in messages if {"keyword_calm", "negation"} & set(row["flags"])]
    assert len(tricky) > 200
    assert {row["sentiment"] for row in tricky} <= {"neutral", "positive"}


def test_same_seed_gives_same_messages() -> None:
    assert list(sample_messages(Random(3), 50)) == list(sample_messages(Random(3), 50))
    assert list(sample_messages(Random(3), 50)) != list(sample_messages(Random(4), 50))


def test_the_texts_command_prints_json_lines() -> None:
    command = [sys.executable, "-m", "roomtone.sandbox", "texts", "--count", "20", "--seed", "11"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [json.loads(line) for line in printed]
    assert len(rows) == 20
    assert all(set(row) == {"id", "text", "channel", "sentiment", "urgency", "intent", "flags"} for row in rows)


def _f1(truth: list[bool], found: list[bool], *, of: bool) -> float:
    hits = sum(t == of and f == of for t, f in zip(truth, found, strict=True))
    return 2 * hits / (sum(t == of for t in truth) + sum(f == of for f in found))
