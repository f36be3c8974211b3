"""What the brand's own side writes: agents' replies, internal notes, the bot, and customers' words beside a rating."""

from random import Random

from roomtone.sandbox.records import Situation

_OPENERS = (
    "Hi {name},",
    "Hello {name},",
    "Dear {name},",
    "Hi {name}, thanks for getting in touch.",
    "Hello {name}, thank you for your patience.",
)
_SORRY = (
    "I am so sorry about this, that is not how it should go.",
    "I'm really sorry for the trouble with your {product}.",
    "That must be frustrating and I apologise.",
    "Sorry you had to write to us about this.",
)
_GLAD = ("Thank you for your kind words!", "That is lovely to read.", "You just made our morning.")
_PLAIN = ("Good question.", "Happy to help.", "Thanks for asking.", "Let me have a look at that for you.")
_WORKING = (
    "I have asked the carrier for the state of your parcel and will write as soon as I hear back.",
    "Could you send us a photo and your order number, please?",
    "I am checking this with our workshop and will be back to you tomorrow.",
    "Which address should it go to? Then I will change it for you.",
    "I have passed this on to my colleague in the warehouse.",
)
_DONE = (
    "A replacement left our warehouse today.",
    "I have refunded the full amount, it will show on your account within three days.",
    "The carrier found your parcel and it is on its way again.",
    "I have changed it in your order, so nothing more to do on your side.",
    "You can return it with the label in this message, free of charge.",
    "It is dishwasher safe up to 60 degrees, and we do ship to your country.",
)
_CLOSERS = ("Best wishes,\n{agent}", "Kind regards,\n{agent}", "Warmly,\n{agent}\nRoomtone & Co.")


def agent_reply(rng: Random, situation: Situation, agent: str, *, is_last: bool) -> str:
    """A reply of an agent that suits the mood of the last message; `is_last` tells a solution instead of a step."""
    moods = {"negative": _SORRY, "positive": _GLAD, "neutral": _PLAIN}
    parts = [rng.choice(_OPENERS), rng.choice(moods[situation.sentiment]), rng.choice(_DONE if is_last else _WORKING)]
    if situation.channel in {"chat", "sms", "in_app"}:
        text = " ".join(parts[1:])
    else:
        text = "\n\n".join([parts[0], " ".join(parts[1:]), rng.choice(_CLOSERS)])
    return text.format(name=situation.name, product=situation.product, agent=agent)


def bot_greeting(rng: Random) -> str:
    return rng.choice(
        (
            "Hi! I'm the Roomtone assistant. A person will be with you in a few minutes.",
            "Thanks for your message. Our team is online from 8 to 20 h and will answer here.",
            "Hello! While you wait: you will find your parcel under My orders > Track.",
        )
    )


def internal_note(rng: Random) -> str:
    return rng.choice(
        (
            "Carrier says: held at depot, label unreadable. Awful handling again.",
            "Checked stock, 4 left. OK to replace.",
            "Customer is upset, second contact this week. Be careful with the tone.",
            "Refund approved by shift lead.",
            "Called, no answer. Will try once more in the afternoon.",
        )
    )


def rating_comment(rng: Random, is_good: bool) -> str:
    """What stands beside a rating; often nothing."""
    if rng.random() < 0.6:
        return ""
    good = ("Quick and kind.", "Sorted in a day, thank you", "Lovely people", "all good")
    bad = ("Took three mails to get an answer", "Still no parcel", "Nobody read what I wrote", "meh")
    return rng.choice(good if is_good else bad)
