"""Writes a model folder: tables, trees, heads, golden predictions, manifest with SHA-256, model card.

No pickle anywhere.
"""

import hashlib
import json
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from roomtone.errors import RoomtoneError
from roomtone.score import card, checks, data, fairness, model, service, tokens
from roomtone.score.features import FEATURE_NAMES

if TYPE_CHECKING:
    from roomtone.score.train import Fitted

FREQUENT_IDF = 9.0
"""Words up to this idf count as known English words in the language check."""

ABSTAIN_BELOW = 0.45
INTENT_LEAST = 0.30
LARGEST_BYTES = 5_000_000


def golden_texts() -> list[str]:
    """The 50 texts whose answers a loaded model must repeat, written for this project."""
    text = files("roomtone.score").joinpath("golden_texts.txt").read_text(encoding="utf-8")
    return [line.replace("\\n", "\n") for line in text.splitlines() if line and not line.startswith("#")]


def write(
    fitted: "Fitted",
    output: Path,
    seed: int,
    held_out: list[service.Turn],
    transfer: dict[str, dict[str, float]] | None = None,
) -> str:
    """Writes the model beside `output` first and puts it in place only when it loads; returns its version.

    The card tells how the model answers the `held_out` service turns, and holds the figures of `card.transfer`.
    """
    with placed(output) as building:
        return _write(fitted, building, seed, held_out, transfer or {})


@contextmanager
def placed(output: Path) -> Iterator[Path]:
    """An empty folder beside `output` to write a model into; it takes the place of `output` only when it loads."""
    building = output.with_name(f".{output.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    try:
        building.mkdir(parents=True)
        yield building
        model.Model.load(building)
        former = output.with_name(f".{output.name}.former")
        shutil.rmtree(former, ignore_errors=True)
        if output.exists():
            output.rename(former)
        building.rename(output)
        shutil.rmtree(former, ignore_errors=True)
    except OSError as error:
        raise RoomtoneError(
            "model folder", f"{output} cannot be written ({error})", "choose another --output"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _write(
    fitted: "Fitted",
    folder: Path,
    seed: int,
    held_out: list[service.Turn],
    transfer: dict[str, dict[str, float]],
) -> str:
    small = fitted.heads.to_json() | {
        "words_bias": np.round(fitted.words.bias, 6).tolist(),
        "intents_bias": np.round(fitted.intents.bias, 6).tolist(),
    }
    contents: dict[str, bytes] = {
        model.WORDS: fitted.words.to_text(),
        model.INTENT_WORDS: fitted.intents.to_text(),
        model.TREES: fitted.trees.encode(),
        model.HEADS: as_json(small),
        model.GOLDEN: b"[]",
    }
    digest = hashlib.sha256(
        "".join(hashlib.sha256(contents[name]).hexdigest() for name in sorted(contents)).encode()
    ).hexdigest()
    name = f"mood-{model.FORMAT}-{digest[:8]}"
    figures = card.figures(fitted)
    manifest: dict[str, Any] = {
        "format": model.FORMAT,
        "model_version": name,
        "text_version": tokens.TEXT_VERSION,
        "features": list(FEATURE_NAMES),
        "sentiments": list(data.SENTIMENTS),
        "intents": list(data.INTENTS),
        "prior": fitted.heads.prior,
        "cue_cuts": {name: round(row["cut"], 4) for name, row in figures["cues"].items()},
        "abstain_below": ABSTAIN_BELOW,
        "intent_least": INTENT_LEAST,
        "frequent_idf": FREQUENT_IDF,
        "seed": seed,
        "sources": {
            source: {"rows": rows, "licence": card.licence(source)} for source, rows in card.source_rows(fitted).items()
        },
        "lexicon": data.LICENCES["valence"],
        "vectors": data.LICENCES["vectors"],
        "made_with": {"python": platform.python_version()}
        | {package: version(package) for package in ("lightgbm", "numpy", "scikit-learn")},
        "files": {},
    }
    put(folder, manifest, contents)
    draft = model.assemble(folder)
    contents[model.GOLDEN] = golden(draft)
    manifest["calibration_error"] = round(figures["pooled_error"], 6)
    calm = service.measure(draft, held_out)
    text = card.text(figures, transfer, calm, manifest)
    contents["MODEL_CARD.md"] = (text + checks.section(draft) + fairness.section(draft)).encode()
    contents["reliability.svg"] = card.reliability_svg(figures).encode()
    put(folder, manifest, contents)
    return name


def golden(draft: model.Model) -> bytes:
    """The golden predictions of a model whose other files are written."""
    texts = golden_texts()
    rows = [{"text": text} | answer for text, answer in zip(texts, model.golden_answers(draft, texts), strict=True)]
    return as_json(rows)


def put(folder: Path, manifest: dict[str, Any], contents: dict[str, bytes]) -> None:
    """Writes the files of a model and the manifest that names them; raises RoomtoneError when they are too large."""
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    size = sum(len(content) for content in contents.values())
    if size > LARGEST_BYTES:
        raise RoomtoneError(
            "model", f"{size} bytes", f"keep it within {LARGEST_BYTES}: a smaller vocabulary or fewer rounds"
        )
    manifest["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())}
    (folder / model.MANIFEST).write_bytes(as_json(manifest))


def as_json(value: Any) -> bytes:
    """As every JSON file of a model is written."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
