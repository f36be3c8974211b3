"""`roomtone train` with a brand's own messages: the model in use, the brand's part added, in a folder of its own.

The open sets are not needed: the cold start's files are copied as they are, golden predictions, manifest and model card
are written anew.
"""

import hashlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from roomtone.errors import RoomtoneError
from roomtone.score import artefact, brand, model
from roomtone.score.brand_files import Labels, Warn, joined, read_labels, read_unlabelled
from roomtone.score.data import SENTIMENTS
from roomtone.score.learning import Learned, learn
from roomtone.score.reviewed_labels import read_reviews
from roomtone.settings import Settings

CARD = "MODEL_CARD.md"
_HEADING = "\n## This brand\n"


def train_brand(
    base: Path,
    output: Path,
    labels: Labels | None,
    unlabelled: list[str] | None,
    *,
    seed: int = 7,
    progress: Callable[[str], None] = lambda _: None,
) -> Learned:
    """Writes the model `base` with what a brand's messages teach it to the folder `output`; returns what was learned.

    A brand's part that `base` already has is left behind. Raises RoomtoneError when `base` cannot be used or `output`
    cannot be written; a model that lay there stays until the new one has loaded.
    """
    cold = model.Model.load(base)
    manifest: dict[str, Any] = {key: value for key, value in cold.manifest.items() if key not in ("brand", "files")}
    names = [name for name in cold.manifest["files"] if name not in (brand.FILE, brand.WORDS, brand.TREES)]
    contents = {name: _content(base, name) for name in names}
    room = artefact.LARGEST_BYTES - sum(len(content) for content in contents.values())

    learned = learn(cold, labels, unlabelled, seed, progress, room=room)
    progress("writing the model")
    contents |= _files(learned)
    cold_version = str(manifest.get("cold_start", manifest["model_version"]))
    decisive = [name for name in sorted(contents) if name not in (CARD, "reliability.svg", model.GOLDEN)]
    digest = hashlib.sha256(b"".join(hashlib.sha256(contents[name]).digest() for name in decisive))
    manifest |= {
        "model_version": f"{cold_version}-{digest.hexdigest()[:8]}",
        "cold_start": cold_version,
        "brand": {
            "step": learned.brand.step,
            "prior": dict(zip(SENTIMENTS, np.round(learned.brand.prior, 4).tolist(), strict=True)),
            "labels": learned.count_labels,
            "unlabelled": learned.count_unlabelled,
            "seed": seed,
            "made_with": {package: version(package) for package in ("lightgbm", "numpy", "scipy")},
        },
    }
    if CARD in contents:
        told, _, _ = contents[CARD].decode("utf-8").partition(_HEADING)
        contents[CARD] = (told + section(learned, str(manifest["model_version"]))).encode()
    with artefact.placed(output) as building:
        artefact.put(building, manifest, contents | {model.GOLDEN: b"[]"})
        contents[model.GOLDEN] = artefact.golden(model.assemble(building))
        artefact.put(building, manifest, contents)
    return learned


def evidence(
    settings: Settings, labels: Path | None, unlabelled: Path | None, *, from_reviews: bool, warn: Warn, seed: int
) -> tuple[Labels | None, list[str] | None]:
    """Labels and unlabelled texts of the files and, with `from_reviews`, of the reviews.

    Labels that teach nothing are left out with a warning where unlabelled messages stand beside them; alone they are a
    RoomtoneError, as is a file that cannot be read.
    """
    texts = read_unlabelled(unlabelled, warn, seed) if unlabelled else None
    parts = [read_labels(labels, warn)] if labels else []
    if from_reviews:
        parts.append(read_reviews(settings, warn))
    if not parts:
        return None, texts
    answers = joined(parts, warn)
    if not answers.fault:
        return answers, texts
    where = " and ".join([str(labels)] * bool(labels) + ["the reviews"] * from_reviews)
    error = RoomtoneError("labels", f"{where} hold {answers.fault}", "label messages of at least two classes")
    if texts is None:
        raise error
    warn(str(error))
    return None, texts


def section(learned: Learned, name: str) -> str:
    """The card's section on the brand, Markdown."""
    prior = ", ".join(f"{label} {share:.2f}" for label, share in zip(SENTIMENTS, learned.brand.prior, strict=True))
    lines = [
        f"Version {name}: the cold start described above, and what this brand's own messages taught it:",
        f"{learned.count_labels} labels, {learned.count_unlabelled} unlabelled messages.",
        "",
        f"- step taken: {learned.brand.step}",
        f"- class shares that the probabilities assume: {prior}; if they look wrong to somebody who knows the inbox,",
        "  they are, and so are the probabilities",
        *(f"- {line}" for line in learned.lines),
        "",
        "A sentiment is named by probability over the root of its class share (with labels, so that a rare class is",
        "named at all) or over the root of what that share has grown by (without); the probabilities, and the rules",
        "that ask for 0.80 of them, are not touched by it.",
    ]
    if learned.steps:
        lines += [
            "",
            "Judged on the brand's labels, each by what had not seen it (five folds):",
            "",
            *_table(learned.steps, "step"),
        ]
    if learned.curve:
        curve = {str(size): row for size, row in learned.curve.items()}
        lines += ["", "What so many labels give, on a fifth of them held out:", "", *_table(curve, "labels")]
    return _HEADING + "\n" + "\n".join(lines) + "\n"


def _table(rows: dict[str, dict[str, float]], first: str) -> list[str]:
    head = f"| {first} | macro-F1 | log loss | calibration error | recall of negative at precision 0.9 |"
    keys = ("macro_f1", "log_loss", "calibration_error", "recall_negative")
    body = [f"| {name} | " + " | ".join(f"{row[key]:.3f}" for key in keys) + " |" for name, row in rows.items()]
    return [head, "|---|---|---|---|---|", *body]


def _files(learned: Learned) -> dict[str, bytes]:
    contents = {brand.FILE: artefact.as_json(learned.brand.to_json())}
    if learned.brand.adapter is not None:
        contents[brand.WORDS] = learned.brand.adapter.words.to_text()
    if learned.trees_text is not None:
        contents[brand.TREES] = learned.trees_text.encode()
    return contents


def _content(base: Path, name: str) -> bytes:
    try:
        return (base / name).read_bytes()
    except OSError as error:
        raise RoomtoneError("model", f"{base / name} cannot be read ({error.strerror})", "restore the model") from error
