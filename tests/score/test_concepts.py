"""What a text says, by meaning, in whole numbers that do not depend on what else is in the batch."""

from pathlib import Path
from random import Random

import pytest

from roomtone.score import concepts


def pairs(part: int) -> dict[str, list[tuple[str, str]]]:
    """Hand-written pairs by section; `part` 0 may be tuned to, 1 may not."""
    found: dict[str, list[tuple[str, str]]] = {}
    section = ""
    for line in (Path(__file__).parent / "concept_pairs.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            first, _, second = line.partition(" | ")
            found.setdefault(section, []).append((first, second))
    return {name: rows[part::2] for name, rows in found.items()}


@pytest.mark.parametrize("part", [0, 1], ids=["tuned", "unseen"])
def test_paraphrases_are_repeats_and_follow_ups_are_not(part: int) -> None:
    shares = {}
    for section, rows in pairs(part).items():
        alike = [concepts.likeness(*concepts.pack(list(row))) >= concepts.LEAST_LIKENESS for row in rows]
        shares[section] = sum(alike) / len(alike)
    assert shares["repeat"] >= 0.75
    assert shares["follow_up"] <= 0.2


def test_a_text_is_packed_alike_in_every_batch() -> None:
    texts = [text for rows in pairs(0).values() for row in rows for text in row]
    together = dict(zip(texts, concepts.pack(texts), strict=True))
    shuffled = Random(1).sample(texts, len(texts))
    assert dict(zip(shuffled, concepts.pack(shuffled), strict=True)) == together
    assert [concepts.pack([text])[0] for text in texts] == [together[text] for text in texts]


def test_weights_have_the_length_of_the_scale_and_no_word_is_kept() -> None:
    packed = concepts.pack(["The blue sofa has not been delivered, I want my money back at once!"])[0]
    assert concepts.likeness(packed, packed) == pytest.approx(concepts.SCALE**2, rel=0.01)
    assert not any(word in packed for word in ("sofa", "blue", "deliver"))


def test_texts_without_words_say_nothing() -> None:
    assert concepts.pack(["", "   ", "!!!", "<br>"]) == ["", "", "", ""]
    assert concepts.pack([]) == []
    assert concepts.likeness("", "") == 0
