"""Messages by the thousand, with their planted truth, in the mixture that the brand's traffic has."""

from collections.abc import Iterator
from random import Random
from typing import Any

from roomtone.sandbox.names import FIRST_NAMES, PRODUCTS
from roomtone.sandbox.records import Situation
from roomtone.sandbox.texts import compose
from roomtone.sandbox.traffic import CHANNELS, WITH_PARCEL_RECEIVED, WITH_PARCEL_UNDER_WAY, WITHOUT_PARCEL, make_temper


def sample_messages(rng: Random, count: int) -> Iterator[dict[str, Any]]:
    """Rows of id, text, channel, sentiment, urgency, intent, flags. A third are later turns of a conversation."""
    for number in range(count):
        table = rng.choices((WITH_PARCEL_UNDER_WAY, WITH_PARCEL_RECEIVED, WITHOUT_PARCEL), (0.35, 0.4, 0.25))[0]
        intent = rng.choices(list(table), [row[0] for row in table.values()])[0]
        temper = make_temper(rng, intent, table[intent][1], table[intent][2])
        situation = Situation(
            intent=intent,
            sentiment=temper.sentiment,
            urgency=temper.urgency,
            heat=temper.heat,
            channel=rng.choices([name for name, _ in CHANNELS], [share for _, share in CHANNELS])[0],
            name=rng.choice(FIRST_NAMES),
            product=rng.choice(sorted(PRODUCTS)),
            order_id=rng.randint(100_001, 109_999),
            days=rng.randint(2, 16),
            is_follow_up=rng.random() < 0.33,
        )
        written = compose(rng, situation)
        truth = written.truth
        yield {
            "id": f"text-{number}",
            "text": written.text,
            "channel": situation.channel,
            "sentiment": truth.sentiment,
            "urgency": truth.urgency,
            "intent": truth.intent,
            "flags": list(truth.flags),
        }
