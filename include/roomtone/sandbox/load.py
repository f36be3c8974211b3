"""Messages on demand: a given number of people write at this very moment, for measurements of speed."""

from datetime import datetime
from random import Random

from roomtone.sandbox.records import Channel, Customer, Situation, Ticket
from roomtone.sandbox.texts import compose
from roomtone.sandbox.traffic import CHANNELS
from roomtone.sandbox.world import World

UPSET = ("late_delivery", "damaged_item", "refund", "never_arrived")
CALM = ("product_question", "delivery_status", "gift_question")


class Load:
    """Lets customers write, each at most once until all have; a share of them is upset."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = Random(f"load/{world.plan.seed}")
        self._turns: list[Customer] = []

    def write(self, count: int, upset_share: float, at: datetime) -> list[Ticket]:
        """`count` new tickets with one message each."""
        return [self._write(self._rng.random() < upset_share, at) for _ in range(count)]

    def _write(self, is_upset: bool, at: datetime) -> Ticket:
        if not self._turns:
            people = [c for c in self._world.shop.customers.values() if not c.is_story and c.is_on_platform]
            self._turns = self._rng.sample(people, len(people))
        customer, rng = self._turns.pop(), self._rng
        channel: Channel = rng.choice(CHANNELS)[0]
        situation = Situation(
            intent=rng.choice(UPSET if is_upset else CALM),
            sentiment="negative" if is_upset else "neutral",
            urgency="high" if is_upset else "normal",
            heat=3 if is_upset else 0,
            channel=channel,
            name=customer.first_name,
            product="ceramic vase",
            days=6,
        )
        return self._world.helpdesk.open_ticket(customer, channel, compose(rng, situation), None, at)
