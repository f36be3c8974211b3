import numpy as np

from roomtone.score import features, tokens


def negated(text: str) -> list[str]:
    batch = tokens.encode([text], tokens.TypeTable())
    return [batch.surfaces[row] for row in batch.ids[batch.negated]]


def feature(text: str, name: str) -> float:
    batch = tokens.encode([text], tokens.TypeTable())
    return float(features.surface(batch).values[0, features.SURFACE_NAMES.index(name)])


def test_negation_reaches_four_words_and_ends_at_punctuation_or_contrast() -> None:
    assert negated("I am not at all happy with you today") == ["at", "all", "happy", "with"]
    assert negated("not good, very bad") == ["good"]
    assert negated("it isn't bad but slow") == ["bad"]
    assert negated("No. Thanks") == []
    assert negated("I couldn\u2019t be happier") == ["be", "happier"]


def test_negation_does_not_leak_into_the_next_message() -> None:
    batch = tokens.encode(["I did not", "happy"], tokens.TypeTable())
    assert not batch.negated[batch.message == 1].any()


def test_negated_words_are_other_grams() -> None:
    first = tokens.grams(tokens.encode(["not happy"], tokens.TypeTable()))
    second = tokens.grams(tokens.encode(["so happy"], tokens.TypeTable()))
    assert not set(first.key.tolist()) & set(second.key.tolist())


def test_a_batch_encodes_as_its_messages_do_alone() -> None:
    texts = ["Where is it?", "", "NOT good, not at all... :(", "so looong 😡😡", "thanks!\nTom"]
    together = tokens.encode(texts, tokens.TypeTable())
    for row, text in enumerate(texts):
        alone = tokens.encode([text], tokens.TypeTable())
        mine = together.message == row
        assert together.gram[mine].tolist() == alone.gram.tolist()
        assert together.negated[mine].tolist() == alone.negated.tolist()
        assert np.array_equal(features.surface(together).values[row], features.surface(alone).values[0])


def test_elongation_and_case_are_one_word() -> None:
    batch = tokens.encode(["soooooo SOO soo"], tokens.TypeTable())
    assert len(set(batch.gram.tolist())) == 1


def test_urgency_markers_respect_negation() -> None:
    assert feature("this is urgent", "phrase_urgent") > 0
    assert feature("this is not urgent", "phrase_urgent") == 0
    assert feature("this is not urgent", "phrase_calm") > 0
    assert feature("no rush, today or tomorrow is fine", "phrase_calm") >= 1
    assert feature("her birthday is tomorrow", "phrase_occasion") > 0


def test_valence_is_turned_by_negation() -> None:
    assert feature("I am happy", "valence_compound") > 0 > feature("I am not happy", "valence_compound")


def test_courtesy_and_names_of_things_carry_no_valence() -> None:
    assert feature("Dear support, please help me with the gift card", "valence_compound") == 0
