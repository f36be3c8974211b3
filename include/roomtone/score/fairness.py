"""Whether a name or a dialect changes what the model says: the same message twice, and how often the answer flips."""

from collections import defaultdict

import pyarrow as pa

from roomtone.score.checks import lines
from roomtone.score.model import Model

FILE = "fairness_messages.txt"
NAMES = {
    "english_women": ("Emily", "Claire", "Margaret"),
    "english_men": ("Greg", "Todd", "Nigel"),
    "african_american": ("Lakisha", "Jamal", "Tyrone"),
    "arabic": ("Fatima", "Mohammed", "Aisha"),
    "chinese": ("Xiuying", "Jun Wang", "Li Na"),
    "eastern_european": ("Agnieszka", "Bogdan", "Svetlana"),
    "hispanic": ("Guadalupe", "Jesus", "Alejandra"),
    "indian": ("Lakshmi", "Rajesh", "Priyanka"),
}
_PLAIN_NAME = "Chris"


def manners() -> list[tuple[str, str]]:
    """The same facts in polite and in rude words."""
    return [_pair(text) for section, text in lines(FILE) if section == "manners"]


def flips(model: Model) -> dict[str, tuple[int, int]]:
    """For each group of names and each dialect: how many messages change their sentiment, and of how many."""
    pairs: list[tuple[str, str, str]] = []
    for section, text in lines(FILE):
        kind, _, group = section.partition(" ")
        if kind == "dialect":
            pairs.append((f"dialect {group}", *_pair(text)))
        elif kind == "names":
            pairs += [
                (f"names {name_group}", text.format(name=_PLAIN_NAME), text.format(name=name))
                for name_group, names in NAMES.items()
                for name in names
            ]
    texts = [text for _, plain, other in pairs for text in (plain, other)]
    table = pa.table({"id": [str(row) for row in range(len(texts))], "text": texts})
    answers = model.score(table)["sentiment"].to_pylist()
    found: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for row, (group, _, _) in enumerate(pairs):
        changed, count = found[group]
        found[group] = (changed + (answers[2 * row] != answers[2 * row + 1]), count + 1)
    return dict(found)


def section(model: Model) -> str:
    """The model card's section on names and dialects, Markdown."""
    rows = [f"| {group} | {changed} of {count} |" for group, (changed, count) in flips(model).items()]
    text = [
        "",
        "## Names and dialects",
        "",
        "How many hand-written messages change their sentiment when only the name is another, or when the same is said",
        "in a dialect or in a learner's English. Few pairs: a sign, not a rate. Which offers a customer gets hangs on",
        "facts.",
        "",
        "| group | flips |",
        "|---|---|",
        *rows,
    ]
    return "\n".join(text) + "\n"


def _pair(text: str) -> tuple[str, str]:
    plain, _, other = text.partition(" | ")
    return plain.strip(), other.strip()
