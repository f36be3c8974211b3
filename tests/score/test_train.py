import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from roomtone.errors import RoomtoneError
from roomtone.score import corpus, data, linear, model, train, variation
from roomtone.score.heads import at_even_shares, fit_vector_scaling, softmax
from roomtone.score.model import Model


@pytest.fixture(scope="module")
def trained(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two models of one small slice and one seed."""
    folder = tmp_path_factory.mktemp("trained")
    for name in ("first", "second"):
        train.train(data_dir, folder / name, seed=3, sample=60)
    return folder / "first", folder / "second"


@pytest.mark.data
def test_a_small_slice_trains_to_a_model_that_loads_and_makes_sense(trained: tuple[Path, Path]) -> None:
    mood = Model.load(trained[0])
    table = pa.table(
        {"id": ["a", "b"], "text": ["Terrible, it arrived broken and nobody answers.", "I love it, thank you!"]}
    )
    assert mood.score(table)["sentiment"].to_pylist() == ["negative", "positive"]


@pytest.mark.data
def test_the_same_seed_gives_the_same_bytes(trained: tuple[Path, Path]) -> None:
    first, second = trained
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


@pytest.mark.data
def test_no_training_row_is_in_the_model_folder(trained: tuple[Path, Path], data_dir: Path, shipped: Path) -> None:
    contents = [path.read_bytes() for folder in (trained[0], shipped) for path in folder.iterdir()]
    rows = [text for text in data.semeval(data_dir).every(500).texts if len(text) > 40]
    assert rows
    assert not any(text.encode() in content for text in rows for content in contents)


@pytest.mark.data
def test_the_card_is_written_by_the_run(trained: tuple[Path, Path]) -> None:
    card = (trained[0] / "MODEL_CARD.md").read_text()
    manifest = json.loads((trained[0] / model.MANIFEST).read_text())
    for source, row in manifest["sources"].items():
        assert f"| {source} | {row['rows']} | {row['licence']} |" in card
    assert (trained[0] / "reliability.svg").read_text().startswith("<svg")


def test_a_missing_data_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(RoomtoneError, match="ROOMTONE_DATA"):
        train.train(tmp_path / "none", tmp_path / "model")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("", "0 class"),
        ('{"id": "1", "text": "a", "sentiment": "negative"}', "1 class"),
        ('{"id": "1", "text": "a", "sentiment": "angry"}', "line 1: sentiment angry"),
        ('{"id": "1", "text": "a"}', "line 1 lacks"),
        ("nonsense", "line 1 lacks"),
        ('{"text": "a", "sentiment": "negative"}\n{"text": "a", "sentiment": "positive"}', "line 2 contradicts"),
    ],
)
def test_unusable_labels_are_told(tmp_path: Path, lines: str, told: str) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(lines)
    with pytest.raises(RoomtoneError, match=told):
        data.brand_labels(path)


def test_labels_are_read(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(
        '{"id": "1", "text": "late", "sentiment": "negative"}\n\n{"id": "2", "text": "fine", "sentiment": "neutral"}\n'
    )
    assert data.brand_labels(path).sentiment == ["negative", "neutral"]


def test_project_messages_are_many_marked_and_never_repeated() -> None:
    source = data.project_messages()
    assert len(source.texts) == len(set(source.texts)) >= 400
    assert min(data.class_counts(source.sentiment, data.SENTIMENTS).values()) >= 50
    assert min(data.class_counts(source.intent, data.INTENTS).values()) >= 9


def test_the_checks_and_golden_texts_are_not_trained_on() -> None:
    from roomtone.score.artefact import golden_texts

    trained_on = {text.lower().strip() for text in data.project_messages().texts}
    checked = (Path(__file__).parent / "behaviour.txt").read_text(encoding="utf-8").splitlines()
    assert not trained_on & {text.lower().strip() for text in [*checked, *golden_texts()] if len(text) > 30}


def test_forms_of_a_message_share_its_marks_and_its_fold() -> None:
    source = data.project_messages()
    forms = variation.varied(source, 5)
    assert forms.texts == variation.varied(source, 5).texts
    assert len(forms.texts) == (1 + variation.VARIANTS) * len(source.texts)
    pool = corpus.corpus([forms], 5)
    for start in range(0, len(forms.texts), 1 + variation.VARIANTS):
        assert len(set(pool.fold[start : start + 1 + variation.VARIANTS].tolist())) == 1
        assert len(set(pool.sentiment[start : start + 1 + variation.VARIANTS].tolist())) == 1


def test_general_sources_stand_in_one_fold_each_and_service_texts_in_all() -> None:
    sources = [data.Source("semeval_sentiment"), data.Source("vader_tweets"), data.Source("vader_amazon")]
    for source in sources:
        for number in range(9):
            source.add(f"{source.name} {number}", sentiment="neutral")
    pool = corpus.corpus([*sources, data.project_messages()], 5)
    fold = train.source_folds(pool)
    assert [set(fold[pool.source == source.name].tolist()) for source in sources] == [{0}, {1}, {1}]
    assert set(fold[pool.source == "project"].tolist()) == set(range(corpus.FOLDS))


def test_a_head_over_word_vectors_folds_into_weights_of_words_it_never_saw() -> None:
    source = data.Source("semeval_sentiment")
    for word in ("awful", "horrible", "terrible", "wonderful", "lovely", "excellent", "monday", "tuesday", "friday"):
        for sentence in ("it was {}", "{} indeed", "really {} today"):
            mood = "negative" if word in ("awful", "horrible", "terrible") else "positive" if "l" in word else "neutral"
            source.add(sentence.format(word), sentiment=mood)
    source.add("dreadful")
    source.add("not dreadful")
    pool = corpus.corpus([source], 5)
    marked = pool.sentiment >= 0
    known = linear.vocabulary(pool, np.ones(len(pool.texts), np.bool_), 500, 1)
    head = linear.static_head(pool, known, pool.sentiment, marked.astype(np.float64), pool.fold, strength=1.0)
    plain, negated = head.scores[-2], head.scores[-1]
    assert plain.argmax() == 0
    assert plain[0] - plain[1] > negated[0] - negated[1]


def test_even_shares_undo_a_prior() -> None:
    chances = np.array([[0.35, 0.45, 0.20], [0.70, 0.20, 0.10]])
    even = at_even_shares(chances, train.PRIOR)
    assert even[0] == pytest.approx([1 / 3] * 3)
    assert even.sum(axis=1) == pytest.approx(1.0)


def test_source_weights_set_every_source_to_the_given_shares() -> None:
    pool = corpus.corpus([data.project_messages()], 5)
    weight = train.source_weights(pool, {"project": 1.0}, train.PRIOR)
    shares = [weight[pool.sentiment == number].sum() / weight.sum() for number in range(3)]
    assert shares == pytest.approx(list(train.PRIOR.values()))


def test_vector_scaling_finds_a_known_distortion() -> None:
    chance = np.random.default_rng(1)
    true = chance.normal(size=(20_000, 3)) * 2
    target = np.array([chance.choice(3, p=row) for row in softmax(true)])
    found = fit_vector_scaling((true - np.array([0.5, 0.0, 0.0])) / 0.5, target, np.ones(len(target)))
    assert found.scale == pytest.approx(0.5, abs=0.05)
    assert found.bias[0] - found.bias[2] == pytest.approx(0.5, abs=0.1)
