"""Messages written by hand to judge a model by: behavioural checks in two halves, and an urgency set.

None of them is ever trained on. The blind half was written before any model was run on it and nothing is tuned to it.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import pyarrow as pa

from roomtone.errors import RoomtoneError
from roomtone.score import card
from roomtone.score.data import SENTIMENTS, URGENCIES
from roomtone.score.model import Model

HALVES = ("development", "blind")
KINDS = ("negation", "sarcasm", "polite", "threats", "typos", "emoji", "thanks_after_anger")
THREAT_CUT = 0.5
_EXPECTATIONS = (*SENTIMENTS, "threat", "no_threat")


@dataclass(frozen=True)
class Check:
    """A message and what a model should say of it: a sentiment, or whether the threat cue reaches `THREAT_CUT`."""

    text: str
    kind: str
    expected: str


def behaviour(half: str) -> list[Check]:
    """The checks of one of `HALVES`; raises RoomtoneError for a section that does not exist."""
    name = f"behaviour_{half}.txt"
    checks = []
    for section, text in lines(name):
        kind, _, expected = section.partition(" ")
        if kind not in KINDS or expected not in _EXPECTATIONS:
            raise RoomtoneError(name, f"section {section}", f"name one of {', '.join(KINDS)} and an expectation")
        checks.append(Check(text, kind, expected))
    return checks


def urgency_messages() -> list[tuple[str, str]]:
    """Messages and their urgency."""
    return [(text, section) for section, text in lines("urgency_messages.txt")]


def passed(model: Model, checks: list[Check]) -> list[bool]:
    """Which checks the model passes."""
    rows = _scored(model, [check.text for check in checks])
    answers = []
    for check, sentiment, cues in zip(checks, rows["sentiment"].to_pylist(), rows["cues"].to_pylist(), strict=True):
        is_threat = json.loads(cues)["threat"] >= THREAT_CUT
        answers.append(
            is_threat == (check.expected == "threat") if check.kind == "threats" else sentiment == check.expected
        )
    return answers


def behaviour_figures(model: Model, half: str) -> dict[str, float]:
    """Share of a half's checks that pass: `all`, each kind, and each expectation."""
    checks = behaviour(half)
    groups: dict[str, list[bool]] = defaultdict(list)
    for check, is_passed in zip(checks, passed(model, checks), strict=True):
        for group in ("all", check.kind, check.expected):
            groups[group].append(is_passed)
    return {group: float(np.mean(answers)) for group, answers in groups.items()}


def urgency_figures(model: Model) -> dict[str, float]:
    """n, accuracy, macro-F1 and the recall of each urgency on the hand-written messages."""
    messages = urgency_messages()
    target = np.array([URGENCIES.index(urgency) for _, urgency in messages])
    answers = _scored(model, [text for text, _ in messages])["urgency"].to_pylist()
    answer = np.array([URGENCIES.index(urgency) for urgency in answers])
    recalls = {
        f"recall_{name}": float((answer[target == number] == number).mean()) for number, name in enumerate(URGENCIES)
    }
    return {
        "n": float(len(messages)),
        "accuracy": float((answer == target).mean()),
        "macro_f1": card.macro_f1(target, answer),
        **recalls,
    }


def section(model: Model) -> str:
    """The model card's section on these messages, Markdown."""
    urgency = urgency_figures(model)
    halves = {half: behaviour_figures(model, half) for half in HALVES}
    recalls = " / ".join(f"{urgency[f'recall_{name}']:.2f}" for name in URGENCIES)
    lines = [
        "",
        "## Hand-written checks",
        "",
        "Written for this project by few hands, never trained on: they show where a model fails, not how often an",
        "inbox would make it fail. Nothing is tuned to the blind half.",
        "",
        "| kind or expectation | development | blind |",
        "|---|---|---|",
        *(
            f"| {name} | " + " | ".join(f"{halves[half][name]:.2f}" for half in HALVES) + " |"
            for name in halves["blind"]
        ),
        "",
        f"Urgency, weakly supervised, on {urgency['n']:.0f} hand-written messages, a third of each class: accuracy",
        f"{urgency['accuracy']:.2f}, macro-F1 {urgency['macro_f1']:.2f}, recall low / normal / high {recalls}.",
    ]
    return "\n".join(lines) + "\n"


def _scored(model: Model, texts: list[str]) -> pa.Table:
    return model.score(pa.table({"id": [str(row) for row in range(len(texts))], "text": texts}))


def lines(name: str) -> list[tuple[str, str]]:
    """(section, message) of each line of a packaged file."""
    section, found = "", []
    for line in files("roomtone.score").joinpath(name).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[] ")
        elif line.strip() and not line.startswith("#"):
            found.append((section, line.replace("\\n", "\n")))
    return found
