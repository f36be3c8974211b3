"""The training sources: the open sets of a data folder, this project's own messages, and a brand's labels."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from roomtone.errors import RoomtoneError

SENTIMENTS = ("negative", "neutral", "positive")
URGENCIES = ("low", "normal", "high")
INTENTS = (
    "delivery_status",
    "delivery_delay",
    "refund",
    "return_exchange",
    "cancel_order",
    "change_order",
    "payment",
    "invoice",
    "account",
    "product_question",
    "complaint",
    "feedback",
    "contact_human",
    "thanks",
    "other",
)
VADER_CUT = 0.5
"""Mean ratings of VADER's ground truth at or below -0.5 are negative, at or above 0.5 positive (Hutto and Gilbert
2014 scale, -4 to 4).
"""

FRUSTRATION = frozenset({"annoyance", "anger", "disappointment", "disapproval"})
CUE_HEADS = ("frustration", "gratitude", "confusion")
CUE_MARKS = (*CUE_HEADS, "curiosity")
"""What cue rows are marked with: the cues, and curiosity, which tells a plain question from confusion."""

_BITEXT_INTENTS = {
    "track_order": "delivery_status",
    "delivery_period": "delivery_status",
    "delivery_options": "product_question",
    "get_refund": "refund",
    "track_refund": "refund",
    "check_refund_policy": "refund",
    "cancel_order": "cancel_order",
    "check_cancellation_fee": "cancel_order",
    "change_order": "change_order",
    "change_shipping_address": "change_order",
    "payment_issue": "payment",
    "check_payment_methods": "payment",
    "check_invoice": "invoice",
    "check_invoices": "invoice",
    "get_invoice": "invoice",
    "create_account": "account",
    "delete_account": "account",
    "edit_account": "account",
    "switch_account": "account",
    "recover_password": "account",
    "registration_problems": "account",
    "newsletter_subscription": "account",
    "set_up_shipping_address": "account",
    "complaint": "complaint",
    "review": "feedback",
    "contact_customer_service": "contact_human",
    "contact_human_agent": "contact_human",
    "place_order": "product_question",
}
_OPINIONS = ("complaint", "thanks", "feedback")
DIALOGUE_INTENTS = {
    "thankyou": "thanks",
    "openinggreeting": "other",
    "closinggreeting": "thanks",
    "confirmation": "other",
    "rejection": "other",
    "contentonly": "other",
    "outofdomain": "other",
    "disputecharge": "payment",
    "viewbillsintent": "invoice",
    "closeaccount": "account",
    "updateaddress": "account",
    "changeorder": "change_order",
    "reportbrokensoftware": "complaint",
    "reportbrokenphone": "complaint",
    "getinformationintent": "product_question",
    "providereceipt": "invoice",
}

LICENCES = {
    "semeval_sentiment": "SemEval 2013-2016 tweets, annotations CC BY 3.0; weights only, texts never shipped",
    "vader_ground_truth": "VADER ground truth (Hutto and Gilbert 2014), annotations MIT",
    "goemotions": "GoEmotions (Demszky et al. 2020), Apache-2.0",
    "bitext_customer_support": "Bitext customer support intents, CDLA-Sharing-1.0 (data; models are not bound)",
    "multidogo": "MultiDoGO (Peskov et al. 2019), CDLA-Permissive-1.0",
    "banking77": "Banking77 (Casanueva et al. 2020), CC BY 4.0",
    "nlupp": "NLU++ (Casanueva et al. 2022), CC BY 4.0",
    "clinc150": "CLINC150 (Larson et al. 2019), CC BY 3.0",
    "project": "messages written for this project, MIT",
    "vectors": "GloVe 6B, 50 dimensions (Pennington et al. 2014), PDDL 1.0; folded into weights, not shipped",
    "valence": "single words of the lexicon of vaderSentiment 3.3.2, MIT",
}


_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


@dataclass
class Source:
    """Texts of one source with the marks it carries; a mark is None where the source has none for a row.

    `weak` is a sentiment that nobody judged (see `service`), `repeats` how often the text was said. Rows of one group
    (by default a row's own text) never stand on both sides of a fold.
    """

    name: str
    texts: list[str] = field(default_factory=list)
    sentiment: list[str | None] = field(default_factory=list)
    urgency: list[str | None] = field(default_factory=list)
    intent: list[str | None] = field(default_factory=list)
    cues: list[frozenset[str] | None] = field(default_factory=list)
    groups: list[str | None] = field(default_factory=list)
    weak: list[str | None] = field(default_factory=list)
    repeats: list[int] = field(default_factory=list)

    def add(
        self,
        text: str,
        *,
        sentiment: str | None = None,
        urgency: str | None = None,
        intent: str | None = None,
        cues: frozenset[str] | None = None,
        group: str | None = None,
        weak: str | None = None,
    ) -> None:
        self.texts.append(text)
        self.sentiment.append(sentiment)
        self.urgency.append(urgency)
        self.intent.append(intent)
        self.cues.append(cues)
        self.groups.append(group)
        self.weak.append(weak)
        self.repeats.append(1)

    def every(self, step: int) -> "Source":
        """One row in `step`, for quick trials."""
        return Source(
            self.name,
            self.texts[::step],
            self.sentiment[::step],
            self.urgency[::step],
            self.intent[::step],
            self.cues[::step],
            self.groups[::step],
            self.weak[::step],
            self.repeats[::step],
        )


def read_rows(data_dir: Path, name: str, columns: list[str]) -> list[dict[str, Any]]:
    path = data_dir / name
    if not path.is_file():
        raise RoomtoneError("training data", f"{path} is not there", "set ROOMTONE_DATA to the folder of the open sets")
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(path, columns=columns).to_pylist()
    return rows


def semeval(data_dir: Path) -> Source:
    """General tweets, three classes; the set's own escapes (`\\u2019`, `\\"`) are undone."""
    source = Source("semeval_sentiment")
    for row in read_rows(data_dir, "semeval_sentiment/semeval_sentiment.parquet", ["text", "sentiment"]):
        text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), row["text"]).replace('\\"', '"')
        source.add(text, sentiment=row["sentiment"])
    return source


def vader(data_dir: Path, part: str) -> Source:
    """One part of VADER's ground truth: `tweets` or `amazon`, cut at `VADER_CUT`."""
    source = Source(f"vader_{part}")
    for row in read_rows(data_dir, "vader_ground_truth/vader_ground_truth.parquet", ["source", "text", "mean_rating"]):
        if row["source"].startswith(part):
            rating = row["mean_rating"]
            source.add(
                row["text"],
                sentiment="negative" if rating <= -VADER_CUT else "positive" if rating >= VADER_CUT else "neutral",
            )
    return source


def goemotions(data_dir: Path, *splits: str) -> Source:
    """Forum comments of some splits with cues; sentiment only where all labels fall into one of the three polar
    groups.
    """
    source = Source("goemotions")
    for row in read_rows(data_dir, "goemotions/goemotions.parquet", ["text", "emotions", "group", "split"]):
        if row["split"] not in splits:
            continue
        emotions = set(row["emotions"])
        cues = {name for name in CUE_MARKS if name in emotions}
        if emotions & FRUSTRATION:
            cues.add("frustration")
        group = row["group"]
        text = row["text"].replace("[NAME]", "").replace("[RELIGION]", "")
        source.add(
            text, sentiment=group[0] if len(group) == 1 and group[0] in SENTIMENTS else None, cues=frozenset(cues)
        )
    return source


def bitext(data_dir: Path) -> Source:
    """Templated shop requests with intents."""
    source = Source("bitext_customer_support")
    seen: set[str] = set()
    for row in read_rows(data_dir, "bitext_customer_support/bitext.parquet", ["utterance", "intent"]):
        if row["utterance"] not in seen:
            seen.add(row["utterance"])
            intent = _BITEXT_INTENTS[row["intent"]]
            source.add(row["utterance"], intent=intent, weak=None if intent in _OPINIONS else "neutral")
    return source


def clinc(data_dir: Path) -> Source:
    """Requests to a voice assistant that no shop would get: out of scope."""
    source = Source("clinc150")
    for row in read_rows(data_dir, "clinc150/clinc150_full.parquet", ["text", "intent", "domain"]):
        if row["intent"] == "oos" or row["domain"] in (
            "home",
            "utility",
            "meta",
            "kitchen_and_dining",
            "auto_and_commute",
        ):
            source.add(row["text"], intent="other", weak="neutral")
    return source


def project_messages(text: str | None = None) -> Source:
    """This project's own messages; `text` instead of the shipped file for tests."""
    if text is None:
        text = files("roomtone.score").joinpath("support_messages.txt").read_text(encoding="utf-8")
    source = Source("project")
    marks: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("["):
            words = line.strip("[] ").split()
            if len(words) != 3 or words[0] not in SENTIMENTS or words[1] not in URGENCIES or words[2] not in INTENTS:
                raise RoomtoneError(
                    "support_messages.txt", f"line {number}: {line}", "name a sentiment, an urgency and an intent"
                )
            marks = words
        elif not marks:
            raise RoomtoneError(
                "support_messages.txt", f"line {number} stands before any section", "open a section first"
            )
        else:
            sentiment, urgency, intent = marks
            source.add(line.replace("\\n", "\n"), sentiment=sentiment, urgency=urgency, intent=intent)
    return source


def brand_labels(path: Path) -> Source:
    """A brand's labels: JSON Lines `id`, `text`, `sentiment`. The same text with two answers is refused."""
    source = Source("brand")
    seen: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RoomtoneError(
            "labels", f"{path} cannot be read ({error})", "give a JSON Lines file with id, text, sentiment"
        ) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            text, sentiment = row["text"], row["sentiment"]
        except (ValueError, KeyError, TypeError) as error:
            raise RoomtoneError(
                "labels", f"{path} line {number} lacks text or sentiment", "write one JSON object a line"
            ) from error
        if not isinstance(text, str) or sentiment not in SENTIMENTS:
            raise RoomtoneError(
                "labels",
                f"{path} line {number}: sentiment {str(sentiment)[:40]}",
                f"use one of {', '.join(SENTIMENTS)}",
            )
        if seen.setdefault(text, sentiment) != sentiment:
            raise RoomtoneError(
                "labels", f"{path} line {number} contradicts an earlier line", "keep one answer for each text"
            )
        source.add(text, sentiment=sentiment)
    if len(set(seen.values())) < 2:
        raise RoomtoneError(
            "labels", f"{path} holds {len(set(seen.values()))} class(es)", "label messages of at least two classes"
        )
    return source


def class_counts(marks: Iterable[str | None], names: tuple[str, ...]) -> dict[str, int]:
    """How often each of `names` occurs."""
    counts = dict.fromkeys(names, 0)
    for mark in marks:
        if mark is not None:
            counts[mark] += 1
    return counts
