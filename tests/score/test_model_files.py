import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from roomtone.errors import RoomtoneError
from roomtone.score import model as mood
from roomtone.score.model import Model

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
    refused(copy)


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
    refused(copy)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "missing" in refused(tmp_path / "none")


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
