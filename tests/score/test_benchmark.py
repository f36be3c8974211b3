import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from roomtone.errors import RoomtoneError
from roomtone.score import anchors, benchmark, brand_benchmark, checks, fairness, intent_benchmark
from roomtone.score.claims import Row
from roomtone.score.model import Model
from roomtone.settings import load_settings


def test_a_row_is_reached_in_its_own_direction() -> None:
    assert Row("speed", "x", target=2.0, figure=2.0).is_reached
    assert not Row("speed", "x", target=2.0, figure=1.99).is_reached
    assert Row("size", "MB", target=5.0, figure=3.7, at_most=True).is_reached
    assert not Row("size", "MB", target=5.0, figure=5.1, at_most=True).is_reached


def test_the_shipped_model_fits_on_disk_and_starts_within_two_seconds(shipped: Path) -> None:
    assert benchmark.size_megabytes(shipped) <= 5.0
    # The target of 1 s is for a quiet machine; coverage and the tests beside it swell CPU time itself.
    assert benchmark.cold_start_seconds(dataclasses.replace(load_settings({}), model_dir=shipped)) <= 2.0


def test_speed_is_timed_against_vader_on_the_same_texts(model: Model) -> None:
    texts = [f"Order {number}: where is my parcel? It is late and I am not happy!" for number in range(500)]
    assert benchmark.speed_ratio(model, texts) > 0.2


def test_transfer_is_held_against_each_baseline_of_the_same_table() -> None:
    figures = {"macro_f1": 0.6, "macro_recall": 0.5}
    anchor = {"macro_f1": 0.55, "macro_recall": 0.51}
    table = {"stack": figures} | dict.fromkeys(anchors.NAMES, anchor)
    for name in brand_benchmark.HELD_OUT:
        rows = benchmark.transfer_rows(name, table)
        assert len(rows) == len(anchors.NAMES)
        assert {row.is_reached for row in rows} == {name != "semeval_sentiment"}


def test_hand_written_checks_and_flips_have_a_row_each(model: Model) -> None:
    told = [row.what for row in benchmark.check_rows(model)]
    assert {f"behavioural checks, blind half: {kind}" for kind in ("all", *checks.KINDS)} <= set(told)
    flips = list(benchmark.flip_rows(model))
    assert len(flips) == len(fairness.NAMES) + 4
    assert all(0 <= row.figure <= 1 and row.at_most for row in flips)


def test_baselines_answer_the_same_texts() -> None:
    known = [
        "I love this lovely thing",
        "it is great",
        "I hate this awful thing",
        "it is bad",
        "it is a thing",
        "hm",
    ] * 3
    target = np.array([2, 2, 0, 0, 1, 1] * 3)
    said = anchors.answers(known, target, ["what a great and lovely day", "an awful, bad day"], seed=7)
    assert tuple(said) == anchors.NAMES
    for name, answer in said.items():
        assert answer.tolist() == [2, 0], name


def test_packages_that_only_training_needs_are_named_before_it_starts() -> None:
    anchors.require()
    with pytest.raises(RoomtoneError, match=r"training: no_such_vectors not installed; install the development"):
        anchors.require(("textblob", "no_such_vectors"))


def test_the_intent_head_learns_another_label_set(tmp_path: Path) -> None:
    (tmp_path / "banking77").mkdir()
    asked = {
        "card": "my card {} has not arrived yet",
        "rate": "what exchange rate applies to {}",
        "pin": "I forgot the pin of {}",
    }
    for split, values in (("train", ["one", "two", "three"]), ("test", ["four", "five"])):
        rows = [{"text": text.format(value), "intent": name} for name, text in asked.items() for value in values]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "banking77" / f"{split}.parquet")
    assert intent_benchmark.accuracy(tmp_path) == 1.0


def test_cue_rows_stand_against_the_targets() -> None:
    rows = benchmark.cue_rows({name: {"f1": target - 0.01} for name, target in benchmark.CUE_TARGETS.items()})
    assert [row.is_reached for row in rows] == [False] * 3


def test_absent_open_sets_are_named(tmp_path: Path) -> None:
    settings = load_settings({"ROOMTONE_DATA": str(tmp_path / "none")})
    with pytest.raises(RoomtoneError, match=r"ROOMTONE_DATA: .*none is not a folder; set it"):
        benchmark.benchmark(settings)
