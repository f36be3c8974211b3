"""Composition of customers' messages: thousands of surface forms, each with its planted truth.

A message is made of a matter (what it is about), a mood (how the writer feels and in which manner it shows), a frame
(what the channel puts around it) and slips of the hand. The label is what a person who reads all of it would say.
"""

import re
from collections.abc import Callable
from random import Random

from roomtone.sandbox import bank_frames as frames
from roomtone.sandbox import bank_goods as goods
from roomtone.sandbox import bank_matters as matters
from roomtone.sandbox import bank_moods as moods
from roomtone.sandbox import noise
from roomtone.sandbox.bank_edges import EDGES
from roomtone.sandbox.bank_turns import LATER_ASKS, NEGATIVE_TURNS, NEUTRAL_TURNS
from roomtone.sandbox.names import LAST_NAMES, PRODUCTS
from roomtone.sandbox.records import Situation, Truth, Written

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_TAG = re.compile(r"\((\w+)\) ")

_LATE = frozenset({"delivery_status", "late_delivery", "never_arrived"})
_GOODS = _LATE | {
    "damaged_item",
    "wrong_item",
    "quality",
    "return_exchange",
    "refund",
    "praise",
    "order_change",
    "cancel_order",
    "address_change",
}
# Which intents a tag of the banks suits.
SUITS: dict[str, frozenset[str]] = {
    "late": _LATE,
    "goods": _GOODS,
    "lack": _LATE | {"wrong_item", "damaged_item"},
    "damaged": frozenset({"damaged_item", "quality"}),
    "address": frozenset({"address_change"}),
    "money": frozenset(
        {"refund", "late_delivery", "never_arrived", "cancel_order", "billing", "damaged_item", "return_exchange"}
    ),
    "returns": frozenset({"return_exchange", "refund", "damaged_item", "wrong_item"}),
    "buying": frozenset({"product_question", "gift_question"}),
}
# From how many days on a wait is longer than the brand's own promise.
OVERDUE_DAYS = 5
# Later turns and thanks say nothing about the matter itself.
THANKS = "thanks"


class _Writer:
    """One message in the making: the facts that its templates may mention, and the draws."""

    def __init__(self, rng: Random, situation: Situation) -> None:
        self.rng = rng
        self.situation = situation
        self.flags: list[str] = []
        self.is_short = situation.channel in {"chat", "sms", "in_app"}
        self._slots = _slots(rng, situation)

    def say(self, templates: tuple[str, ...]) -> str:
        """One of the templates that suit the situation, filled in; empty if none does."""
        has_order = self.situation.order_id is not None
        fitting = []
        for template in templates:
            tag = _TAG.match(template)
            if tag is not None and not self._suits(tag.group(1)):
                continue
            words = template[tag.end() :] if tag is not None else template
            if has_order or "{order}" not in words:
                fitting.append(words)
        return self.fill(self.rng.choice(fitting)) if fitting else ""

    def _suits(self, tag: str) -> bool:
        if tag == "overdue":
            return self.situation.intent in _LATE and self.situation.days >= OVERDUE_DAYS
        return self.situation.intent in SUITS[tag]

    def fill(self, template: str) -> str:
        # A slot may itself be a template, as a question about a product is.
        for _ in range(2):
            while (found := _CHOICE.search(template)) is not None:
                option = self.rng.choice(found.group(1).split("|"))
                template = template[: found.start()] + option + template[found.end() :]
            template = re.sub(r"\{(\w+)\}", lambda match: self._slots[match.group(1)], template)
        # An empty alternative leaves two blanks, or one before a mark or a contraction.
        text = re.sub(r" +([,.!?]|'(?:ve|ll|m|d)\b)", r"\1", re.sub(r"[ ]{2,}", " ", template)).strip(" ")
        return text[:1].upper() + text[1:]

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability


def compose(rng: Random, situation: Situation) -> Written:
    """A message for the situation. The truth keeps its mood and hurry; flags say which traits the text has."""
    writer = _Writer(rng, situation)
    openings = {"negative": _negative, "neutral": _neutral, "positive": _positive}
    turns = {"negative": _negative_turn, "neutral": _neutral_turn, "positive": _positive_turn}
    parts: Callable[[_Writer], list[str]] = (turns if situation.is_follow_up else openings)[situation.sentiment]
    sentences = [sentence for sentence in parts(writer) if sentence]
    if situation.urgency == "high":
        sentences.insert(rng.randrange(1, len(sentences) + 1), writer.say(moods.DEADLINES))
        writer.flags.append("deadline")
    elif situation.urgency == "low" and situation.sentiment == "neutral" and writer.chance(0.35):
        sentences.append(writer.say(moods.NO_HURRY))
    if situation.sentiment == "negative" and situation.heat == 3 and writer.chance(0.35):
        sentences = noise.shouted(rng, sentences)
        writer.flags.append("caps")
    text = _framed(writer, sentences)
    intent = THANKS if situation.is_follow_up and situation.sentiment == "positive" else situation.intent
    if situation.is_follow_up:
        writer.flags.append("follow_up")
    truth = Truth(situation.sentiment, situation.urgency, intent, tuple(sorted(set(writer.flags))), situation.heat)
    return Written(text, truth, writer.say(frames.SUBJECTS[situation.intent]))


def _negative(writer: _Writer) -> list[str]:
    intent = writer.situation.intent
    matter = writer.rng.choice(matters.MATTERS[intent])
    fact = writer.say(matter.facts)
    edge = writer.say(EDGES[intent]) if intent in EDGES and writer.chance(0.6) else ""
    mood = _mood(writer) if not edge or writer.chance(0.6) else ""
    if not mood:
        writer.flags.append("polite_frustration")
    ask = writer.say(matter.asks) if writer.chance(0.25 if writer.is_short else 0.5) else ""
    if mood and writer.chance(0.15):
        return [mood, fact, edge, ask]
    return [fact, edge, mood, ask]


def _mood(writer: _Writer) -> str:
    """A sentence of feeling, in a manner that suits the heat."""
    manners = {
        1: ((moods.POLITE, "polite_frustration", 0.55), (moods.MILD, "mild", 0.45)),
        2: (
            (moods.POLITE, "polite_frustration", 0.4),
            (moods.PLAIN, "plain", 0.3),
            (moods.SARCASM, "sarcasm", 0.3),
        ),
        3: ((moods.FURIOUS, "fury", 0.4), (moods.SARCASM, "sarcasm", 0.25), (moods.THREATS, "threat", 0.35)),
    }[writer.situation.heat]
    bank, flag, _ = writer.rng.choices(manners, [weight for _, _, weight in manners])[0]
    writer.flags.append(flag)
    first = writer.say(bank)
    if writer.chance(0.25) and (second := writer.say(bank)) != first:
        return f"{first} {second}"
    return first


def _neutral(writer: _Writer) -> list[str]:
    situation = writer.situation
    matter = writer.rng.choice(matters.MATTERS[situation.intent])
    parts = [writer.say(matter.facts), writer.say(matter.asks)]
    if not any(parts):
        parts = [writer.say(matter.asks) or "Please let me know."]
    if situation.urgency != "high":
        if writer.chance(0.2) and (aside := writer.say(moods.KEYWORDS_CALM)):
            writer.flags.append("keyword_calm")
            parts.insert(writer.rng.randrange(len(parts) + 1), aside)
        elif writer.chance(0.3):
            parts.append(writer.say(moods.SHRUGS))
    if any("?" in part for part in parts):
        writer.flags.append("question")
    return parts


def _positive(writer: _Writer) -> list[str]:
    intent = writer.situation.intent
    matter = writer.rng.choice(matters.MATTERS[intent])
    if intent == "praise":
        parts = [writer.say(matter.facts), _joy(writer)]
        return [*parts, _joy(writer)] if writer.chance(0.4) else parts
    if intent in {"product_question", "gift_question"}:
        return [writer.say(moods.FANS), writer.say(matter.facts), writer.say(matter.asks)]
    return [writer.say(moods.RELIEF), _relieved(writer) if writer.chance(0.5) else ""]


def _joy(writer: _Writer) -> str:
    if writer.chance(0.4):
        writer.flags.append("negation")
        return writer.say(moods.JOY_TRICKY)
    return writer.say(moods.JOY)


def _relieved(writer: _Writer) -> str:
    if writer.chance(0.5):
        writer.flags.append("negation")
        return writer.say(moods.JOY_SOLVED)
    return writer.say(moods.JOY)


def _negative_turn(writer: _Writer) -> list[str]:
    heat = writer.situation.heat
    bank = tuple(template for level, template in NEGATIVE_TURNS if level in {heat, max(1, heat - 1)})
    parts = [writer.say(bank)]
    if writer.chance(0.4):
        parts.append(_mood(writer))
    if writer.chance(0.2) and writer.situation.intent in EDGES:
        parts.append(writer.say(EDGES[writer.situation.intent]))
    if len(parts) == 1:
        writer.flags.append("polite_frustration" if heat == 1 else "plain")
    return parts


def _neutral_turn(writer: _Writer) -> list[str]:
    parts = [writer.say(NEUTRAL_TURNS)]
    if writer.chance(0.35):
        parts.append(writer.say(LATER_ASKS))
    if writer.situation.urgency != "high" and writer.chance(0.25):
        parts.append(writer.say(moods.SHRUGS))
    return parts


def _positive_turn(writer: _Writer) -> list[str]:
    writer.flags.append(THANKS)
    parts = [writer.say(moods.RELIEF)]
    if writer.chance(0.35):
        parts.append(_relieved(writer))
    return parts


def _framed(writer: _Writer, sentences: list[str]) -> str:
    """Puts the sentences into the form of the channel and lets the hand slip."""
    rng, channel, sentiment = writer.rng, writer.situation.channel, writer.situation.sentiment
    if not writer.is_short and writer.chance(0.22):
        writer.flags.append("long")
        bank = frames.FILLERS if sentiment == "positive" else frames.FILLERS_PROBLEM
        for filler in sorted({writer.say(bank) for _ in range(rng.choice((1, 2, 3)))}):
            sentences.insert(rng.randrange(1, len(sentences) + 1), filler)
    if writer.chance(0.1):
        emoji = noise.EMOJI["sarcasm" if "sarcasm" in writer.flags else sentiment]
        sentences[-1] += " " + rng.choice(emoji)
        writer.flags.append("emoji")
    body = _paragraphs(rng, sentences) if channel == "email" else " ".join(sentences)
    body = _slipped(writer, body)
    if channel == "email":
        return _as_email(writer, body)
    if channel == "form":
        greeting = writer.say(frames.GREETINGS) if writer.chance(0.5) else ""
        name = writer.fill("{name} {last}") if writer.chance(0.4) else ""
        return "\n".join(part for part in (greeting, body, name) if part)
    opener = writer.rng.choice(frames.CHAT_OPENERS) if not writer.situation.is_follow_up else ""
    return f"{opener}{rng.choice((', ', ' ', '! '))}{body}" if opener and channel != "sms" else body


def _slipped(writer: _Writer, body: str) -> str:
    rng, channel = writer.rng, writer.situation.channel
    if channel == "sms" and writer.chance(0.6):
        body = noise.with_short_forms(rng, body)
    if writer.is_short and "caps" not in writer.flags and writer.chance(0.5):
        body = noise.careless(rng, body)
    if writer.chance(0.15):
        body = noise.without_apostrophes(body)
    if writer.chance(0.28 if writer.is_short else 0.14):
        body = noise.with_typos(rng, body, rng.choice((1, 1, 2, 3)))
        writer.flags.append("typos")
    return body


def _paragraphs(rng: Random, sentences: list[str]) -> str:
    """Sentences in one block or broken into paragraphs."""
    if len(sentences) < 3 or rng.random() < 0.4:
        return " ".join(sentences)
    at = rng.randrange(1, len(sentences))
    return " ".join(sentences[:at]) + "\n\n" + " ".join(sentences[at:])


def _as_email(writer: _Writer, body: str) -> str:
    is_cool = writer.situation.sentiment == "negative"
    closing = writer.rng.choice(frames.CLOSINGS_COOL if is_cool else frames.CLOSINGS)
    parts = [writer.say(frames.GREETINGS), "", body, ""]
    if writer.chance(0.85):
        parts += [closing + ("," if closing and writer.chance(0.5) else ""), writer.say(frames.SIGNATURES)]
        writer.flags.append("signature")
    if writer.chance(0.14):
        parts += ["", writer.rng.choice(frames.DEVICE_LINES)]
    if writer.chance(0.65 if writer.situation.is_follow_up else 0.07):
        writer.flags.append("quoted")
        quoted = writer.fill(writer.rng.choice(frames.QUOTED))
        is_marked = writer.chance(0.7)
        lines = [f"> {line}" if is_marked else line for line in quoted.split("\n")]
        parts += ["", writer.fill(writer.rng.choice(frames.QUOTE_HEADS)), *lines]
    text = "\n".join(parts)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _slots(rng: Random, situation: Situation) -> dict[str, str]:
    product = situation.product
    kind = goods.KINDS.get(product, "other")
    other = rng.choice([name for name in sorted(PRODUCTS) if name != product])
    relation = rng.choice(frames.RELATIONS)
    colour, other_colour = rng.sample(frames.COLOURS, 2)
    weekday = rng.choice(frames.WEEKDAYS)
    number = str(situation.order_id or "")
    city = rng.choice(frames.CITIES)
    return {
        "product": product,
        "a_product": _with_article(product),
        "an_other": _with_article(other),
        "order": rng.choice((number, f"#{number}")),
        "days": str(situation.days),
        "price": str(PRODUCTS[product]),
        "weekday": weekday,
        "weekday_short": weekday[:3],
        "day": str(rng.randint(1, 28)),
        "month": rng.choice(frames.MONTHS),
        "month_number": str(rng.randint(1, 3)).zfill(2),
        "clock": f"{rng.randint(7, 21)}:{rng.randint(0, 59):02d}",
        "city": city,
        "colour": colour,
        "other_colour": other_colour,
        "relation": f"my {relation}",
        "Relation": f"My {relation}",
        "relation_bare": relation,
        "agent": rng.choice(frames.AGENT_NAMES),
        "name": situation.name,
        "initial": situation.name[:1],
        "last": rng.choice(LAST_NAMES),
        "phone": f"+31 6 {rng.randint(10, 99)} {rng.randint(10, 99)} {rng.randint(10, 99)} {rng.randint(10, 99)}",
        "job": rng.choice(frames.JOBS),
        "damage": rng.choice(goods.DAMAGES[kind]),
        "fault": rng.choice(goods.FAULTS[kind]),
        "question": rng.choice(goods.QUESTIONS[kind]),
    }


def _with_article(product: str) -> str:
    return ("an " if product[0] in "aeiou" else "a ") + product
