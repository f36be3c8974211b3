"""How people really type: slips, capitals, emoji, short forms."""

import re
from random import Random

_WORD = re.compile(r"[A-Za-z']{4,}")
_SHORT_FORMS = {
    "please": "pls",
    "thanks": "thx",
    "thank you": "ty",
    "you": "u",
    "are": "r",
    "tomorrow": "tmrw",
    "because": "bc",
    "message": "msg",
    "your": "ur",
    "and": "&",
}
_APOSTROPHES = re.compile(r"\b(don|can|won|isn|doesn|hasn|I|it|that|haven)'(t|m|s|ve|ll|d)\b")

EMOJI = {
    "negative": ("😡", "😤", "😢", "🙄", "😞", "👎", "😠😠", "🤦"),
    "neutral": ("🙂", "🙏", "📦", "🤔", "👋", "😊", "😅"),
    "positive": ("😍", "❤️", "🎉", "😊", "🙏", "👍", "🥰", "☕"),
    "sarcasm": ("🙃", "👏", "👏👏👏", "😂", "🎉"),
}


def with_typos(rng: Random, text: str, count: int) -> str:
    """Puts `count` slips into longer words: swapped, missing or doubled letters. Never into numbers."""
    for _ in range(count):
        words = list(_WORD.finditer(text))
        if not words:
            return text
        found = rng.choice(words)
        word, at = found.group(), rng.randrange(1, len(found.group()) - 1)
        swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        slips = (swapped, word[:at] + word[at + 1 :], word[: at + 1] + word[at:])
        text = text[: found.start()] + rng.choice(slips) + text[found.end() :]
    return text


def without_apostrophes(text: str) -> str:
    return _APOSTROPHES.sub(r"\1\2", text)


def with_short_forms(rng: Random, text: str) -> str:
    """The short forms of text messages, each word with even odds."""
    for long, short in _SHORT_FORMS.items():
        if rng.random() < 0.5:
            text = re.sub(rf"\b{long}\b", short, text, flags=re.IGNORECASE)
    return text


def careless(rng: Random, text: str) -> str:
    """The look of quick typing: no capitals, or no full stop at the end."""
    if rng.random() < 0.6:
        text = text.lower()
    return text.rstrip(".") if rng.random() < 0.6 else text


def shouted(rng: Random, sentences: list[str]) -> list[str]:
    """All of it in capitals, or one sentence."""
    if rng.random() < 0.4:
        return [sentence.upper() for sentence in sentences]
    at = rng.randrange(len(sentences))
    return [sentence.upper() if number == at else sentence for number, sentence in enumerate(sentences)]
