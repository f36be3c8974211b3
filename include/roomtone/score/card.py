"""The model card, written by the training run from its own out-of-fold answers."""

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from roomtone.score import anchors, data
from roomtone.score.data import CUE_HEADS, SENTIMENTS
from roomtone.score.features import SURFACE_NAMES, Doubles
from roomtone.score.heads import at_even_shares

if TYPE_CHECKING:
    from roomtone.score.train import Fitted

BINS = 10
_GATE = 0.8
_SHORT, _MIDDLE, _LONG = 5, 15, 40
_MOST_ROWS = 4_000
_COMPARED = ("stack", *anchors.NAMES)


def licence(source: str) -> str:
    """Licence line of a training source."""
    if source.startswith("vader_"):
        return data.LICENCES["vader_ground_truth"]
    return data.LICENCES.get(source, "the brand's own labels")


def source_rows(fitted: "Fitted") -> dict[str, int]:
    """Rows of each source."""
    names, counts = np.unique(fitted.pool.source.astype(str), return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def macro_f1(target: npt.NDArray[np.int64], answer: npt.NDArray[np.int64], classes: int = 3) -> float:
    """Unweighted mean of the classes' F1."""
    return float(np.mean([class_f1(target == number, answer == number) for number in range(classes)]))


def macro_recall(target: npt.NDArray[np.int64], answer: npt.NDArray[np.int64], classes: int = 3) -> float:
    """Unweighted mean of the classes' recall, over the classes that occur."""
    return float(
        np.mean([(answer[target == number] == number).mean() for number in range(classes) if (target == number).any()])
    )


def class_f1(target: npt.NDArray[np.bool_], answer: npt.NDArray[np.bool_]) -> float:
    """F1 of one class."""
    hits = float((target & answer).sum())
    return 2 * hits / max(float(target.sum() + answer.sum()), 1.0)


def calibration(
    target: npt.NDArray[np.int64], chances: Doubles, weight: Doubles | None = None
) -> tuple[float, list[tuple[float, float, float]]]:
    """Expected calibration error of the named class, and (mean confidence, accuracy, share of weight) of each of
    `BINS` equal bins.
    """
    weight = np.ones(len(target)) if weight is None else weight
    confidence = chances.max(axis=1)
    right = chances.argmax(axis=1) == target
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins, error, total = [], 0.0, float(weight.sum())
    for number in range(BINS):
        inside = place == number
        mass = float(weight[inside].sum())
        if mass > 0:
            stated = float((confidence[inside] * weight[inside]).sum() / mass)
            true = float((right[inside] * weight[inside]).sum() / mass)
            bins.append((stated, true, mass / total))
            error += mass / total * abs(stated - true)
    return error, bins


def report(target: npt.NDArray[np.int64], chances: Doubles) -> dict[str, float]:
    """n, macro-F1, accuracy, recall of each class, precision and recall of negative at the policies' confidence,
    calibration error.
    """
    answer = chances.argmax(axis=1)
    gate = chances[:, 0] >= _GATE
    recalls = {
        f"recall_{name}": float((answer[target == number] == number).mean())
        if (target == number).any()
        else float("nan")
        for number, name in enumerate(SENTIMENTS)
    }
    return {
        "n": float(len(target)),
        "macro_f1": macro_f1(target, answer),
        "accuracy": float((answer == target).mean()),
        **recalls,
        "precision_negative_gate": float((target[gate] == 0).mean()) if gate.any() else float("nan"),
        "recall_negative_gate": float(gate[target == 0].mean()) if (target == 0).any() else float("nan"),
        "calibration_error": calibration(target, chances)[0],
    }


def figures(fitted: "Fitted") -> dict[str, Any]:
    """Out-of-fold figures by source and slice, pooled calibration, cue F1, number of weak rows used."""
    pool = fitted.pool
    used = fitted.weight > 0
    by_source = {
        name: report(pool.sentiment[rows], fitted.probability[rows])
        for name in sorted(set(pool.source[used].tolist()))
        if (rows := used & (pool.source == name)).any()
    }
    error, bins = calibration(pool.sentiment[used], fitted.probability[used], fitted.weight[used])
    cued = pool.cues[:, 0] >= 0
    cues = {}
    for column, name in enumerate(CUE_HEADS):
        target = pool.cues[cued, column] == 1
        chance = fitted.cue_probability[cued, column]
        best = max((class_f1(target, chance >= cut), cut) for cut in np.arange(0.05, 0.9, 0.01))
        cues[name] = {"n": float(target.sum()), "f1": best[0], "cut": float(best[1])}
    names, counts = np.unique(pool.source[fitted.weak_weight > 0].astype(str), return_counts=True)
    weak = dict(zip(names.tolist(), counts.tolist(), strict=True))
    return {
        "by_source": by_source,
        "by_slice": by_slice(fitted),
        "pooled_error": error,
        "bins": bins,
        "cues": cues,
        "weak": weak,
    }


def by_slice(fitted: "Fitted") -> dict[str, dict[str, float]]:
    """`report` figures of judged rows by length in words and by the channel that a text looks like."""
    pool = fitted.pool
    used = fitted.weight > 0
    words = np.rint(np.expm1(pool.surface[:, SURFACE_NAMES.index("words_log")]))
    lines = np.array([text.count("\n") for text in pool.texts])
    public = np.array(["@" in text or "#" in text for text in pool.texts])
    slices = {
        "1 to 5 words": words <= _SHORT,
        "6 to 15 words": (words > _SHORT) & (words <= _MIDDLE),
        "16 to 40 words": (words > _MIDDLE) & (words <= _LONG),
        "more than 40 words": words > _LONG,
        "like a public post (handle or hash tag)": public,
        "like a letter (several lines)": (lines > 0) & ~public,
        "like chat (one line, neither)": (lines == 0) & ~public,
    }
    return {
        name: report(pool.sentiment[rows], fitted.probability[rows])
        for name, chosen in slices.items()
        if (rows := used & chosen).any()
    }


def transfer(fitted: "Fitted", seed: int) -> dict[str, dict[str, float]]:
    """For each general source macro-F1 and macro recall of the stack that was trained without its fold, and those of
    the baselines trained on the same judged rows; `_MOST_ROWS` rows of a source at most.
    """
    pool = fitted.pool
    judged = fitted.weight > 0
    even = at_even_shares(fitted.probability, fitted.heads.prior)
    found: dict[str, dict[str, float]] = {}
    for fold in np.unique([fitted.fold[pool.source == name][0] for name in fitted.general]).tolist():
        inside = np.flatnonzero(judged & (fitted.fold != fold))
        asked = {}
        for name in fitted.general:
            rows = np.flatnonzero(judged & (pool.source == name) & (fitted.fold == fold))
            if len(rows):
                asked[name] = rows[:: -(-len(rows) // _MOST_ROWS)]
        outside = np.concatenate(list(asked.values()))
        baselines = anchors.answers(
            [pool.texts[row] for row in inside],
            pool.sentiment[inside],
            [pool.texts[row] for row in outside],
            seed,
        )
        for name, rows in asked.items():
            place = np.isin(outside, rows)
            said = {"stack": even[rows].argmax(axis=1)} | {
                anchor: answer[place] for anchor, answer in baselines.items()
            }
            found[name] = {"n": float(len(rows))}
            for who, answer in said.items():
                found[name][f"{who} macro_f1"] = macro_f1(pool.sentiment[rows], answer)
                found[name][f"{who} macro_recall"] = macro_recall(pool.sentiment[rows], answer)
    return found


def text(
    numbers: dict[str, Any], held_out: dict[str, dict[str, float]], calm: dict[str, float], manifest: dict[str, Any]
) -> str:
    """The card as Markdown, from `figures`, `transfer`, those on held-out service turns (`service.measure`), and the
    manifest.
    """
    template = files("roomtone.score").joinpath("model_card_template.md").read_text(encoding="utf-8")
    return template.format(
        version=manifest["model_version"],
        sources="\n".join(
            f"| {name} | {row['rows']} | {row['licence']} |" for name, row in manifest["sources"].items()
        ),
        lexicon=manifest["lexicon"],
        vectors=manifest["vectors"],
        prior=", ".join(f"{name} {share:.2f}" for name, share in manifest["prior"].items()),
        gate=_GATE,
        measured=_measured(numbers["by_source"]),
        slices=_measured(numbers["by_slice"]),
        transfer="\n".join(
            f"| {name} | {row['n']:.0f} | "
            + " | ".join(f"{row[f'{who} macro_f1']:.3f} / {row[f'{who} macro_recall']:.3f}" for who in _COMPARED)
            + " |"
            for name, row in held_out.items()
        )
        or "| not measured in this run |",
        pooled=numbers["pooled_error"],
        weak=", ".join(f"{name} {count}" for name, count in numbers["weak"].items()),
        calm_turns=calm["n"],
        calm_conversations=calm["conversations"],
        calm=" | ".join(
            f"{calm[f'{what}_{gate}']:.3f}" for what in ("turns", "conversations") for gate in ("0.80", "0.60")
        ),
        cues="\n".join(
            f"| {name} | {row['n']:.0f} | {row['f1']:.3f} at {row['cut']:.2f} |"
            for name, row in numbers["cues"].items()
        ),
        seed=manifest["seed"],
        made_with=", ".join(f"{name} {value}" for name, value in manifest["made_with"].items()),
    )


def _measured(rows: dict[str, dict[str, float]]) -> str:
    lines = []
    for name, row in rows.items():
        recalls = " / ".join(f"{row[f'recall_{label}']:.2f}" for label in SENTIMENTS)
        gate = f"{row['precision_negative_gate']:.2f}, {row['recall_negative_gate']:.2f}"
        scores = f"{row['macro_f1']:.3f} | {row['accuracy']:.3f} | {recalls} | {gate} | {row['calibration_error']:.3f}"
        lines.append(f"| {name} | {row['n']:.0f} | {scores} |")
    return "\n".join(lines)


def reliability_svg(numbers: dict[str, Any]) -> str:
    """Stated confidence against accuracy of the named class; circle area is the share of weight in the bin."""
    side, margin = 360, 48

    def x(value: float) -> float:
        return margin + value * side

    def y(value: float) -> float:
        return margin + (1 - value) * side

    def label(across: float, down: float, words: str, extra: str = 'text-anchor="middle"') -> str:
        return f'<text x="{across:.1f}" y="{down:.1f}" {extra} font-size="12">{words}</text>'

    total = side + 2 * margin
    middle = total / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {total}" font-family="sans-serif">',
        f'<rect width="{total}" height="{total}" fill="white"/>',
        f'<rect x="{margin}" y="{margin}" width="{side}" height="{side}" fill="none" stroke="#888"/>',
        f'<line x1="{x(0):.1f}" y1="{y(0):.1f}" x2="{x(1):.1f}" y2="{y(1):.1f}" stroke="#bbb" stroke-dasharray="4 4"/>',
    ]
    for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        parts.append(label(x(tick), total - margin + 18, f"{tick:.1f}"))
        parts.append(label(margin - 8, y(tick) + 4, f"{tick:.1f}", 'text-anchor="end"'))
    points = " ".join(f"{x(stated):.1f},{y(true):.1f}" for stated, true, _ in numbers["bins"])
    parts.append(f'<polyline points="{points}" fill="none" stroke="#1f5fa8" stroke-width="1.5"/>')
    for stated, true, share in numbers["bins"]:
        place = f'cx="{x(stated):.1f}" cy="{y(true):.1f}" r="{3 + 18 * share**0.5:.1f}"'
        parts.append(f'<circle {place} fill="#1f5fa8" fill-opacity="0.35"/>')
    turned = f'text-anchor="middle" transform="rotate(-90 14 {middle})"'
    parts.append(label(middle, total - 8, "stated confidence of the named class"))
    parts.append(label(14, middle, "share that was right", turned))
    parts.append(label(middle, 24, f"Reliability, out of fold (error {numbers['pooled_error']:.3f})") + "</svg>")
    return "\n".join(parts) + "\n"
