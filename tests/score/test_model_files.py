import dataclasses
import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from roomtone.errors import RoomtoneError
from roomtone.score import model as mood
from roomtone.score.features import FEATURE_NAMES
from roomtone.score.model import Model
from roomtone.score.scoring import usable_model
from roomtone.score.trees import Trees
from roomtone.score.weights import WordTable
from roomtone.settings import Settings, load_settings

FILES = (mood.WORDS, mood.INTENT_WORDS, mood.TREES, mood.HEADS, mood.GOLDEN)


def rewrite(folder: Path, change: Callable[[dict], None]) -> None:
    path = folder / mood.MANIFEST
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def resign(folder: Path) -> None:
    """Makes the manifest agree with the files, as somebody who swaps files with care would."""

    def change(manifest: dict) -> None:
        for name in manifest["files"]:
            manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()

    rewrite(folder, change)


def refused(folder: Path) -> str:
    with pytest.raises(RoomtoneError) as failure:
        Model.load(folder)
    assert "\n" not in str(failure.value)
    assert failure.value.next_step
    return str(failure.value)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused_before_it_is_read(copy: Path, name: str) -> None:
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: len(content) // 2])
    assert f"{name} is damaged" in refused(copy)


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_refused(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 3] ^= 1
    (copy / name).write_bytes(content)
    assert f"{name} is damaged" in refused(copy)


@pytest.mark.parametrize("name", [*FILES, mood.MANIFEST])
def test_a_missing_file_is_refused(copy: Path, name: str) -> None:
    (copy / name).unlink()
    assert f"{name} is missing" in refused(copy)


def test_swapped_tables_are_refused_even_when_their_hashes_were_made_to_fit(copy: Path) -> None:
    words = (copy / mood.WORDS).read_bytes()
    (copy / mood.WORDS).write_bytes((copy / mood.INTENT_WORDS).read_bytes())
    (copy / mood.INTENT_WORDS).write_bytes(words)
    resign(copy)
    assert refused(copy)


def test_other_weights_under_right_hashes_are_caught_by_the_golden_predictions(copy: Path) -> None:
    heads = json.loads((copy / mood.HEADS).read_text())
    heads["words_bias"][0] += 0.5
    (copy / mood.HEADS).write_text(json.dumps(heads))
    resign(copy)
    assert "golden predictions differ" in refused(copy)


def test_trees_whose_columns_changed_places_are_caught_by_the_golden_predictions(copy: Path) -> None:
    (copy / mood.TREES).write_text(_swapped_features((copy / mood.TREES).read_text()))
    resign(copy)
    assert "golden predictions differ" in refused(copy)


def _swapped_features(text: str) -> str:
    swap = {"0": "2", "2": "0"}
    lines = [
        "split_feature=" + " ".join(swap.get(number, number) for number in line.removeprefix("split_feature=").split())
        if line.startswith("split_feature=")
        else line
        for line in text.split("\n")
    ]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "change", [lambda m: m.update(format=0), lambda m: m.update(text_version=0), lambda m: m.pop("format")]
)
def test_a_model_of_another_version_is_refused(copy: Path, change: Callable[[dict], None]) -> None:
    rewrite(copy, change)
    assert "another version" in refused(copy)


def test_features_in_another_order_are_refused(copy: Path) -> None:
    rewrite(copy, lambda manifest: manifest["features"].reverse())
    assert "feature list" in refused(copy)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b"0" * 100])
def test_an_unreadable_manifest_is_refused(copy: Path, content: bytes) -> None:
    (copy / mood.MANIFEST).write_bytes(content)
    assert refused(copy)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "missing" in refused(tmp_path / "none")


def test_a_model_without_its_golden_predictions_is_refused(copy: Path) -> None:
    (copy / mood.GOLDEN).write_text("[]")
    resign(copy)
    assert "golden predictions" in refused(copy)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (mood.HEADS, "[" * 100_000),
        (mood.HEADS, "{}"),
        (mood.HEADS, "null"),
        (mood.GOLDEN, '[{"text": 1}]' * 60),
        (mood.TREES, ""),
        (mood.TREES, "tree\n"),
        (mood.WORDS, "key idf\n"),
    ],
)
def test_contents_that_do_not_fit_under_right_hashes_are_refused(copy: Path, name: str, content: str) -> None:
    (copy / name).write_text(content)
    resign(copy)
    assert refused(copy)


def test_heads_of_other_features_are_refused(copy: Path) -> None:
    heads = json.loads((copy / mood.HEADS).read_text())
    heads["urgency"]["features"][0] = "no_such_feature"
    (copy / mood.HEADS).write_text(json.dumps(heads))
    resign(copy)
    assert "do not fit together" in refused(copy)


def test_a_weight_that_is_no_number_is_refused(model: Model) -> None:
    weights = model.words.weights.copy()
    weights[7, 1] = np.nan
    broken = dataclasses.replace(model.words, weights=weights)
    with pytest.raises(ValueError, match="not a number"):
        WordTable.from_text(broken.to_text(), broken.bias, broken.heads)


def test_a_file_that_fills_the_disk_is_not_read(copy: Path) -> None:
    with (copy / mood.WORDS).open("r+b") as file:
        file.truncate(10_000_000_000)  # sparse
    assert "larger than any" in refused(copy)


def test_no_damage_to_the_trees_ends_the_process_or_hangs(shipped: Path, model: Model) -> None:
    """LightGBM's own reader dies of most of these: SIGSEGV, SIGABRT, or no end. Here each is refused, or is a number
    that changed, which the manifest's SHA-256 and the golden predictions are for.
    """
    whole = (shipped / mood.TREES).read_bytes()
    columns = model.columns([row["text"] for row in json.loads((shipped / mood.GOLDEN).read_text())])
    expected = model.trees.predict(columns)
    generator = random.Random(5)
    counts = dict.fromkeys(("refused", "same", "other"), 0)
    for number in range(45):
        damaged = bytearray(whole)
        at = generator.randrange(len(damaged))
        if number % 3 == 0:
            del damaged[at:]
        elif number % 3 == 1:
            damaged[at] ^= 1 << generator.randrange(7)
        else:
            digits = [place for place in range(at, min(at + 200, len(damaged))) if chr(damaged[place]).isdigit()]
            damaged[digits[0] if digits else at] = ord(str(generator.randrange(10)))
        try:
            answers = Trees(damaged.decode(), len(FEATURE_NAMES)).predict(columns)
        except (ValueError, LookupError, RoomtoneError):
            counts["refused"] += 1
        else:
            counts["same" if np.allclose(answers, expected, atol=1e-12) else "other"] += 1
    assert counts["refused"] >= 15, counts  # every truncation among them


@pytest.mark.parametrize(
    ("line", "with_", "why"),
    [
        ("left_child=", "1 " * 13 + "1", "branches"),
        ("right_child=", "0 " * 13 + "0", "branches"),
        ("split_feature=", "99 " * 13 + "99", "column"),
        ("threshold=", "nan " * 13 + "nan", "threshold"),
        ("decision_type=", "1 " * 13 + "1", "threshold"),
        ("leaf_value=", "inf " * 14 + "inf", "leaves"),
        ("num_leaves=", "3", "leaves"),
    ],
)
def test_trees_that_are_no_trees_are_refused(shipped: Path, line: str, with_: str, why: str) -> None:
    lines = (shipped / mood.TREES).read_text().split("\n")
    row = next(row for row, text in enumerate(lines) if text.startswith(line))
    lines[row] = line + with_
    with pytest.raises(ValueError, match=why):
        Trees("\n".join(lines), len(FEATURE_NAMES))


def test_trees_of_other_shapes_answer_as_lightgbm_does() -> None:
    """Stumps, trees of a single leaf, deep trees, odd numbers of rounds, one class and several."""
    import lightgbm

    generator = np.random.default_rng(3)
    values = np.round(generator.normal(size=(700, 6)), 4)
    for classes, leaves, rounds in ((1, 2, 3), (1, 40, 5), (3, 7, 4), (4, 200, 1), (1, 15, 1)):
        target = (values[:, 0] > 0) if classes == 1 else generator.integers(classes, size=len(values))
        parameters = {"num_leaves": leaves, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 2, "seed": 1}
        parameters |= {"objective": "binary"} if classes == 1 else {"objective": "multiclass", "num_class": classes}
        booster = lightgbm.train(parameters, lightgbm.Dataset(values, target.astype(float)), rounds)
        mine = Trees(booster.model_to_string(), 6)
        for size in (1, 63, 64, 65, 700):
            expected = booster.predict(values[:size], raw_score=True).reshape(size, classes)
            assert np.allclose(mine.predict(values[:size]), expected, atol=1e-12)
    constant = lightgbm.train(
        {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 1000},
        lightgbm.Dataset(values, (values[:, 0] > 0).astype(float)),
        2,
    )
    expected = constant.predict(values, raw_score=True)
    assert np.allclose(Trees(constant.model_to_string(), 6).predict(values)[:, 0], expected, atol=1e-12)


def settings_with(tmp_path: Path, model_dir: Path) -> Settings:
    return dataclasses.replace(load_settings({"ROOMTONE_HOME": str(tmp_path / "home")}), model_dir=model_dir)


def test_the_last_good_model_stays_when_its_folder_is_damaged(copy: Path, tmp_path: Path, model: Model) -> None:
    settings = settings_with(tmp_path, copy)
    good, failure = usable_model(settings, shipped=tmp_path / "none")
    assert good is not None
    assert not failure
    (copy / mood.TREES).write_bytes((copy / mood.TREES).read_bytes()[:-5000])
    standby, failure = usable_model(settings, shipped=tmp_path / "none")
    assert standby is not None
    assert standby.version == model.version
    assert "sentiment.txt is damaged" in failure
    assert f"{model.version} scores in its place" in failure
    assert "\n" not in failure


def test_the_shipped_model_scores_when_no_good_one_was_kept(shipped: Path, tmp_path: Path, model: Model) -> None:
    standby, failure = usable_model(settings_with(tmp_path, tmp_path / "absent"), shipped=shipped)
    assert standby is not None
    assert standby.version == model.version
    assert "manifest.json is missing" in failure


def test_a_damaged_copy_is_passed_over_and_none_is_none(copy: Path, shipped: Path, tmp_path: Path) -> None:
    settings = settings_with(tmp_path, copy)
    usable_model(settings)
    (copy / mood.MANIFEST).unlink()
    kept = settings.home / "last_good_model"
    (kept / mood.HEADS).write_text("{}")
    assert usable_model(settings, shipped=shipped)[0] is not None
    nothing, failure = usable_model(settings, shipped=tmp_path / "none")
    assert nothing is None
    assert "manifest.json is missing" in failure


def test_a_newer_good_model_takes_the_place_of_the_last(copy: Path, tmp_path: Path) -> None:
    settings = settings_with(tmp_path, copy)
    usable_model(settings)
    rewrite(copy, lambda manifest: manifest.update(model_version="mood-2-newer"))
    usable_model(settings)
    assert mood.read_manifest(settings.home / "last_good_model")["model_version"] == "mood-2-newer"
    assert [path.name for path in settings.home.iterdir()] == ["last_good_model"]


def test_the_folder_holds_text_and_json_only_and_stays_small(shipped: Path) -> None:
    manifest = json.loads((shipped / mood.MANIFEST).read_text())
    held = {path.name for path in shipped.iterdir()}
    assert held == set(manifest["files"]) | {mood.MANIFEST}
    assert {Path(name).suffix for name in held} <= {".json", ".txt", ".md", ".svg"}
    assert sum(path.stat().st_size for path in shipped.iterdir()) <= 5_000_000
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((shipped / name).read_bytes()).hexdigest() == digest


def test_fifty_golden_predictions_and_a_card_with_figures(shipped: Path, model: Model) -> None:
    assert len(json.loads((shipped / mood.GOLDEN).read_text())) == 50
    card = (shipped / "MODEL_CARD.md").read_text()
    assert model.version in card
    for words in ("Limits", "licence", "weakly supervised", "reliability.svg", "calibration error"):
        assert words in card


def test_the_trees_answer_as_lightgbm_itself_does(shipped: Path, model: Model) -> None:
    import lightgbm

    columns = model.columns([row["text"] for row in json.loads((shipped / mood.GOLDEN).read_text())])
    reference = lightgbm.Booster(model_file=str(shipped / mood.TREES)).predict(columns, raw_score=True)
    assert np.allclose(model.trees.predict(columns), reference, atol=1e-12)


def test_a_cold_start_is_short_and_imports_neither_lightgbm_nor_scikit_learn(shipped: Path) -> None:
    code = f"""
import sys, time
begun = time.process_time()
from pathlib import Path
import pyarrow as pa
from roomtone.score.model import Model
Model.load(Path({str(shipped)!r})).score(pa.table({{"id": ["1"], "text": ["Where is it?"]}}))
assert not {{"lightgbm", "sklearn", "scipy"}} & set(sys.modules), "heavy import"
print(time.process_time() - begun)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.5
