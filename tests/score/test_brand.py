"""A brand's own messages: planted words are learned, steps that do not win are refused, bad input is told."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from roomtone.cli import app, main
from roomtone.errors import RoomtoneError
from roomtone.score import brand, brand_artefact, learning
from roomtone.score import model as mood
from roomtone.score.artefact import LARGEST_BYTES
from roomtone.score.brand_files import Labels, read_labels, read_unlabelled
from roomtone.score.model import Model

NEGATIVE_WORD, POSITIVE_WORD = "zibbel", "quorra"
_SUBJECTS = ("order", "parcel", "lamp", "invoice", "blue rug", "account", "set of plates", "delivery", "second box")
_FRAMES = (
    "My {subject} has number {number} and the {word} is on it.",
    "This is about the {subject}, {word}, number {number}.",
    "The {subject} {number} came with a {word}.",
    "Number {number}: {subject}, {word}.",
)


def planted(count: int, seed: int = 1) -> Labels:
    """Messages that differ in mood only by words that no model can know: the brand's own."""
    chance = Random(seed)
    labels = Labels()
    while len(labels.texts) < count:
        sentiment = chance.choices(("negative", "neutral", "positive"), (0.4, 0.4, 0.2))[0]
        word = {"negative": NEGATIVE_WORD, "positive": POSITIVE_WORD, "neutral": "label"}[sentiment]
        text = chance.choice(_FRAMES).format(
            subject=chance.choice(_SUBJECTS), number=chance.randrange(10**6), word=word
        )
        if text not in labels.texts:
            labels.add(text, sentiment)
    return labels


def written(path: Path, lines: Iterable[dict | str]) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def label_lines(labels: Labels) -> list[dict]:
    pairs = zip(labels.texts, labels.sentiments, strict=True)
    return [{"id": str(row), "text": text, "sentiment": name} for row, (text, name) in enumerate(pairs)]


@pytest.fixture(scope="module")
def taught(shipped: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, learning.Learned]:
    folder = tmp_path_factory.mktemp("taught") / "brand"
    return folder, brand_artefact.train_brand(shipped, folder, planted(600), None, seed=3)


def test_planted_words_are_learned_and_nothing_else_is_lost(
    taught: tuple[Path, learning.Learned], model: Model
) -> None:
    folder, learned = taught
    assert learned.brand.step in ("words", "trees")
    before, after = learned.steps["cold start"], learned.steps[learned.brand.step]
    assert before["macro_f1"] < 0.6
    assert after["macro_f1"] > 0.95
    own = Model.load(folder)
    texts = [f"There is a {NEGATIVE_WORD} on my shelf.", f"There is a {POSITIVE_WORD} on my shelf."]
    table = pa.table({"id": ["a", "b"], "text": texts})
    assert own.score(table)["sentiment"].to_pylist() == ["negative", "positive"]
    assert own.version != model.version
    assert own.version.startswith(model.version)
    for column in ("urgency", "intent", "language"):
        assert own.score(table)[column].to_pylist() == model.score(table)[column].to_pylist()


def test_the_folder_says_what_was_learned_and_stays_small(taught: tuple[Path, learning.Learned]) -> None:
    folder, learned = taught
    card = (folder / "MODEL_CARD.md").read_text()
    assert "## This brand" in card
    assert f"step taken: {learned.brand.step}" in card
    assert "words against" in card
    assert "What so many labels give" in card
    manifest = json.loads((folder / mood.MANIFEST).read_text())
    assert manifest["brand"]["labels"] == learned.count_labels > 500
    assert set(manifest["brand"]["prior"]) == {"negative", "neutral", "positive"}
    assert sum(path.stat().st_size for path in folder.iterdir()) <= LARGEST_BYTES
    assert NEGATIVE_WORD not in "".join(path.read_text() for path in folder.iterdir())


def test_a_damaged_brand_part_is_refused(taught: tuple[Path, learning.Learned], tmp_path: Path) -> None:
    for name in (brand.FILE, brand.WORDS):
        folder = Path(shutil.copytree(taught[0], tmp_path / name))
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)
        with pytest.raises(RoomtoneError, match=f"{name} is damaged"):
            Model.load(folder)


def test_a_brand_on_a_brand_starts_from_the_cold_start(
    taught: tuple[Path, learning.Learned], shipped: Path, tmp_path: Path
) -> None:
    again = brand_artefact.train_brand(taught[0], tmp_path / "again", planted(60), None, seed=3)
    fresh = brand_artefact.train_brand(shipped, tmp_path / "fresh", planted(60), None, seed=3)
    assert again.steps == fresh.steps
    first, second = (Model.load(tmp_path / name) for name in ("again", "fresh"))
    assert first.version == second.version
    assert (tmp_path / "again" / "MODEL_CARD.md").read_text().count("## This brand") == 1


def test_the_same_labels_and_seed_give_the_same_bytes(shipped: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        brand_artefact.train_brand(shipped, tmp_path / name, planted(210), planted(400, seed=2).texts, seed=3)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


def test_labels_that_say_nothing_leave_the_cold_start(model: Model) -> None:
    chance = Random(5)
    labels = planted(240)
    labels.sentiments = chance.choices(("negative", "neutral", "positive"), k=240)
    learned = learning.learn(model, labels, None, seed=3)
    assert learned.brand.adapter is None
    assert any(line.startswith("words against") and line.endswith("refused") for line in learned.lines)


def test_picked_labels_do_not_set_the_shares_of_the_inbox(model: Model) -> None:
    """Reviews show people what is negative more often than it occurs; the unlabelled messages know better."""
    inbox = planted(3000, seed=9)
    calm = [text for text, name in zip(inbox.texts, inbox.sentiments, strict=True) if name != "negative"]
    learned = learning.learn(model, planted(600), calm[:1500], seed=3)
    assert learned.brand.declared[0] > 0.35
    assert learned.brand.prior[0] < 0.25
    assert any("not the labels' ones" in line for line in learned.lines)


def test_no_room_for_words_is_told(model: Model) -> None:
    learned = learning.learn(model, planted(220), None, seed=3, room=1000)
    assert any("leaves room for 0 words" in line for line in learned.lines)
    assert learned.brand.adapter is None


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["train", *arguments])
    if isinstance(result.exception, RoomtoneError):
        return 1, result.stdout, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_command_teaches_and_the_result_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = written(tmp_path / "labels.jsonl", label_lines(planted(300)))
    unlabelled = written(tmp_path / "texts.jsonl", [{"id": "x", "text": text} for text in planted(400, seed=4).texts])
    status, out, errors = run("--labels", str(labels), "--unlabelled", str(unlabelled), "--output", str(tmp_path / "m"))
    assert (status, errors) == (0, "")
    assert "words against" in out
    assert "class shares" in out
    arguments = ["roomtone", "score", "--model", str(tmp_path / "m"), str(unlabelled)]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 400
    assert {row["model_version"] for row in rows} == {Model.load(tmp_path / "m").version}


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "no usable line"),
        ([{"id": "1", "text": "late", "sentiment": "negative"}] * 3, "1 usable lines, only negative"),
        ([{"id": "1", "text": "late", "sentiment": "angry"}], "no usable line"),
        (["nonsense", "[1]", '{"text": 4, "sentiment": "negative"}', '{"text": "\\ud800"}'], "no usable line"),
    ],
)
def test_labels_that_teach_nothing_are_refused_in_one_line(tmp_path: Path, lines: list, told: str) -> None:
    path = written(tmp_path / "labels.jsonl", lines)
    status, _, errors = run("--labels", str(path), "--output", str(tmp_path / "m"))
    assert status == 1
    assert told in errors.splitlines()[-1]
    assert not (tmp_path / "m").exists()


def test_what_is_wrong_in_a_label_file_is_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = written(
        tmp_path / "labels.jsonl",
        [
            *label_lines(planted(20)),
            "garbage",
            {"id": "21", "text": "fine", "sentiment": "happy"},
            {"id": "22", "text": "fine", "sentiment": "sad"},
            {"id": "23", "text": "it came", "sentiment": "neutral"},
            {"id": "24", "text": "it came", "sentiment": "positive"},
            {"id": "25", "sentiment": "positive"},
            "",
        ],
    )
    warnings: list[str] = []
    labels = read_labels(path, warnings.append)
    assert len(labels.texts) == 20
    assert "it came" not in labels.texts
    assert [warning.split(" lines left out, ")[1].split(";")[0] for warning in warnings] == [
        "no JSON object with a text (first: line 21)",
        "an unknown sentiment (first: line 22, 'happy')",
        "a text with answers that disagree (first: line 24, neutral and positive)",
    ]
    assert [int(warning.split(" has ")[1].split(" ")[0]) for warning in warnings] == [2, 2, 1]


def test_unusable_labels_beside_unlabelled_messages_are_told_and_left_out(tmp_path: Path) -> None:
    empty = written(tmp_path / "labels.jsonl", [])
    texts = written(tmp_path / "texts.jsonl", [{"id": "1", "text": "Where is my parcel?"}] * 3)
    status, out, errors = run("--labels", str(empty), "--unlabelled", str(texts), "--output", str(tmp_path / "m"))
    assert status == 0
    assert errors.count("\n") == 1
    assert "no usable line" in errors
    assert "class shares stay the declared ones: 3 messages are fewer than 300" in out


def test_a_brand_of_three_labels_keeps_the_cold_start(tmp_path: Path, model: Model) -> None:
    path = written(tmp_path / "labels.jsonl", label_lines(planted(3, seed=2)))
    status, out, _ = run("--labels", str(path), "--output", str(tmp_path / "m"))
    assert status == 0
    assert "3 labels that can be used are too few: the cold start stays" in out
    texts = pa.table({"id": ["a"], "text": ["This is terrible service."]})
    assert Model.load(tmp_path / "m").score(texts)["p_negative"] == model.score(texts)["p_negative"]


def test_a_brand_in_another_language_learns_nothing_and_is_told(tmp_path: Path) -> None:
    german = "Wo ist mein Paket Nummer {0}, ich warte noch immer auf die Lieferung und habe keine Antwort"
    texts = written(tmp_path / "texts.jsonl", [{"id": str(n), "text": german.format(n)} for n in range(400)])
    marks = ("negative", "neutral")
    labels = [{"id": str(n), "text": german.format(n), "sentiment": marks[n % 2]} for n in range(100)]
    path = written(tmp_path / "labels.jsonl", labels)
    status, out, _ = run("--labels", str(path), "--unlabelled", str(texts), "--output", str(tmp_path / "m"))
    assert status == 0
    assert "400 of 400 unlabelled messages are not English" in out
    assert "100 of 100 labelled messages are not English" in out
    assert "class shares stay the declared ones" in out


def test_a_huge_unlabelled_file_is_sampled_and_never_held(tmp_path: Path) -> None:
    path = written(tmp_path / "texts.jsonl", ({"id": str(n), "text": f"message {n}"} for n in range(5000)))
    kept = read_unlabelled(path, pytest.fail, seed=3, most=100)
    assert len(kept) == len(set(kept)) == 100
    assert kept == read_unlabelled(path, pytest.fail, seed=3, most=100)
    numbers = sorted(int(text.split()[1]) for text in kept)
    assert numbers[0] < 500
    assert numbers[-1] > 4500


def test_a_line_without_end_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text(json.dumps({"text": "a" * 3_000_000}) + "\n" + json.dumps({"text": "Where is it?"}) + "\n")
    warnings: list[str] = []
    assert read_unlabelled(path, warnings.append, seed=3) == ["Where is it?"]
    assert "1 lines left out, longer than a message can be (first: line 1)" in warnings[0]


def test_missing_files_are_told(tmp_path: Path) -> None:
    for option in ("--labels", "--unlabelled"):
        status, _, errors = run(option, str(tmp_path / "none.jsonl"), "--output", str(tmp_path / "m"))
        assert status == 1
        assert "none.jsonl cannot be read" in errors
