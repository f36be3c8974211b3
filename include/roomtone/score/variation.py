"""More forms of the project's own messages, so that the model learns the point of a letter and not its frame."""

import random

from roomtone.score.data import Source

_OPENINGS = (
    "Hi,",
    "Hello,",
    "Hi there,",
    "Hey,",
    "Good morning,",
    "Dear team,",
    "Dear Sir or Madam,",
    "Hi, my order number is {number}.",
    "Hello, I am writing about order {number}.",
    "Order {number}.",
    "Hi, this is about the {item} I ordered on {day}.",
    "I ordered a {item} from your shop on {day}.",
    "Hello, I bought a {item} from you last {day}.",
    "Hi, about my {item}:",
    "Hey, question about order {number}.",
    "Good afternoon, I hope you are well.",
    "Hi, it's me again about the {item}.",
    "Regarding the {item}:",
    "My name is {name} and I ordered a {item}.",
    "Hi team, I placed order {number} on {day}, a {item} and some small things.",
)
_ENDINGS = (
    "My order number is {number}.",
    "Looking forward to your reply.",
    "I look forward to hearing from you.",
    "Best regards, {name}",
    "{name}",
    "You can reach me at this address.",
    "The order number is {number}, placed on {day}.",
    "Please let me know.",
    "Let me know what you need from me.",
    "It is about the {item}.",
    "Kind regards, {name}",
)
_ITEMS = [
    "teapot",
    "raincoat",
    "bookshelf",
    "rug",
    "headset",
    "blender",
    "pair of trainers",
    "suitcase",
    "duvet cover",
    "watch",
    "garden hose",
    "phone case",
    "board game",
    "frying pan",
    "yoga mat",
    "sun hat",
    "curtain rail",
    "cot",
    "drill",
    "printer",
    "perfume",
    "bracelet",
    "tent",
    "cat tree",
    "toaster",
    "mattress",
    "winter coat",
    "set of plates",
]
_NAMES = [
    "Alex",
    "Nadia",
    "Tomasz",
    "Grace",
    "Yusuf",
    "Hannah",
    "Diego",
    "Mei",
    "Olu",
    "Ingrid",
    "Ravi",
    "Chloe",
    "Sam",
    "Leila",
    "Jack",
    "Amara",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
VARIANTS = 4


def varied(source: Source, seed: int) -> Source:
    """The source and `VARIANTS` more forms of each message: neutral lines around it, other spelling, small letters,
    typing slips.

    A form keeps the marks and the group of its message. The same seed gives the same forms.
    """
    chance = random.Random(f"{seed}:{source.name}")  # noqa: S311 - no secret hangs on it
    forms = Source(source.name)
    for row, text in enumerate(source.texts):
        sentiment, urgency, intent, cues = (
            source.sentiment[row],
            source.urgency[row],
            source.intent[row],
            source.cues[row],
        )
        for form in (text, *(_form(text, chance) for _ in range(VARIANTS))):
            forms.add(form, sentiment=sentiment, urgency=urgency, intent=intent, cues=cues, group=text)
    return forms


def _form(text: str, chance: random.Random) -> str:
    blanks = {
        "number": str(chance.randrange(1000, 99999)),
        "item": chance.choice(_ITEMS),
        "name": chance.choice(_NAMES),
        "day": chance.choice(_DAYS),
    }
    joint = chance.choice((" ", " ", "\n", "\n\n"))
    if text.startswith("@"):  # a short public message has no letter around it
        handle, _, said = text.partition(" ")
        text = chance.choice((text, said, f"{said} {handle}", f".{handle} {said}"))
    else:
        if chance.random() < 0.7:
            text = chance.choice(_OPENINGS).format(**blanks) + joint + text
        if chance.random() < 0.5:
            text = text + joint + chance.choice(_ENDINGS).format(**blanks)
    if chance.random() < 0.3:
        text = text.lower()
    if chance.random() < 0.25:
        text = text.replace("'", "").rstrip(".!?")
    if chance.random() < 0.2:
        words = text.split(" ")
        place = chance.randrange(len(words))
        word = words[place]
        if len(word) > 4 and word.isalpha():
            swap = chance.randrange(1, len(word) - 2)
            words[place] = word[:swap] + word[swap + 1] + word[swap] + word[swap + 2 :]
        text = " ".join(words)
    return text
