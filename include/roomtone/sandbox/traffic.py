"""What happens on an ordinary day: orders and parcels, and people who write about them."""

from datetime import datetime, timedelta
from functools import partial
from random import Random

from roomtone.sandbox.conversations import Conversation, Temper
from roomtone.sandbox.helpdesk import Helpdesk
from roomtone.sandbox.marketing import Marketing
from roomtone.sandbox.names import PRODUCTS
from roomtone.sandbox.records import Channel, Customer, Order, Sentiment, Shipment, Situation, Urgency
from roomtone.sandbox.schedule import Schedule
from roomtone.sandbox.shop import Shop

# Per customer and day.
ORDER_RATE = 0.05
CONTACT_RATE = 0.045

CHANNELS: tuple[tuple[Channel, float], ...] = (
    ("email", 0.46),
    ("chat", 0.24),
    ("form", 0.14),
    ("in_app", 0.1),
    ("sms", 0.06),
)

# Before that a parcel is under way, not late.
LATE_AFTER_DAYS = 5

# intent: (weight, probability of negative, of positive). The rest is neutral.
WITH_PARCEL_UNDER_WAY = {
    "delivery_status": (8, 0.22, 0.02),
    "late_delivery": (5, 0.72, 0.0),
    "order_change": (2, 0.08, 0.04),
    "cancel_order": (2, 0.3, 0.0),
    "address_change": (2, 0.08, 0.03),
}
WITH_PARCEL_RECEIVED = {
    "damaged_item": (4, 0.62, 0.02),
    "wrong_item": (3, 0.55, 0.02),
    "quality": (4, 0.5, 0.06),
    "return_exchange": (4, 0.22, 0.04),
    "refund": (3, 0.55, 0.0),
    "praise": (4, 0.0, 1.0),
    "never_arrived": (1, 0.8, 0.0),
}
WITHOUT_PARCEL = {
    "product_question": (6, 0.02, 0.08),
    "discount_question": (3, 0.15, 0.04),
    "account": (3, 0.25, 0.02),
    "billing": (2, 0.5, 0.0),
    "gift_question": (3, 0.02, 0.1),
    "unsubscribe_request": (1, 0.4, 0.0),
}


class Traffic:
    """Plans days and lets their happenings change the three vendors."""

    def __init__(self, seed: int, shop: Shop, helpdesk: Helpdesk, marketing: Marketing, schedule: Schedule) -> None:
        self.seed = seed
        self.shop = shop
        self.helpdesk = helpdesk
        self.marketing = marketing
        self.schedule = schedule
        self._last_order: dict[int, Order] = {}
        self._shipment_of: dict[int, Shipment] = {}

    def plan_day(self, day: datetime, rng: Random) -> None:
        """Plans the orders and the contacts that begin on this day."""
        people = [customer for customer in self.shop.customers.values() if not customer.is_story]
        for _ in range(_poisson(rng, ORDER_RATE * len(people))):
            customer, number = rng.choice(people), rng.getrandbits(48)
            self.schedule.add(_waking_moment(day, rng), partial(self._order, customer, Random(number)))
        for _ in range(_poisson(rng, CONTACT_RATE * len(people))):
            customer, number = rng.choice(people), rng.getrandbits(48)
            self.schedule.add(_waking_moment(day, rng), partial(self._contact, customer, Random(number)))
        night = rng.getrandbits(48)
        self.schedule.add(day + timedelta(hours=3), lambda at: self._nightly(at, Random(night)))

    def notice(self, metric: str, customer: Customer, occasion: str, at: datetime) -> None:
        """Starts the flow of a metric for a customer, if the platform knows them."""
        profile = self.marketing.profile_of.get(customer.number)
        if profile is not None:
            self.marketing.send_flow(self.marketing.flow_for(metric, at), profile, at, occasion)

    def _order(self, customer: Customer, rng: Random, at: datetime) -> None:
        items = rng.sample(sorted(PRODUCTS), rng.choice((1, 1, 1, 2, 2, 3)))
        is_gift = rng.random() < 0.15
        total = f"{sum(PRODUCTS[item] for item in items) + 4.95:.2f}"
        note = (
            rng.choice(("Happy birthday!", "With love", "Congratulations to you both", "Thank you"))
            if is_gift
            else None
        )
        order = self.shop.place(customer, items, total, at, is_gift=is_gift, gift_note=note)
        self._last_order[customer.number] = order
        self.notice("Placed Order", customer, str(order.id), at)
        number = rng.getrandbits(48)
        self.schedule.add(at + timedelta(hours=rng.uniform(5, 40)), lambda due: self._ship(order, Random(number), due))

    def _ship(self, order: Order, rng: Random, at: datetime) -> None:
        if order.status != "paid":
            return
        promised = (at + timedelta(days=rng.choice((2, 3, 3, 4)))).replace(hour=18, minute=0, second=0, microsecond=0)
        shipment = self.shop.ship(order, promised, at)
        self._shipment_of[order.customer.number] = shipment
        self.notice("Fulfilled Order", order.customer, str(order.id), at)
        due = at + timedelta(hours=rng.uniform(2, 12))
        for step in range(rng.choice((2, 3, 4))):
            self.schedule.add(due, lambda when: self.shop.scan(shipment, when))
            # One parcel in eleven rests somewhere for days.
            is_stalled = step == 1 and rng.random() < 0.09
            due += timedelta(days=rng.uniform(5.5, 9)) if is_stalled else timedelta(hours=rng.uniform(5, 22))
        if rng.random() > 0.015:
            self.schedule.add(due, lambda when: self._deliver(shipment, when))

    def _deliver(self, shipment: Shipment, at: datetime) -> None:
        self.shop.deliver(shipment, at)
        customer = shipment.order.customer
        later = at + timedelta(days=6)
        self.schedule.add(later, lambda due: self.notice("Delivered Shipment", customer, str(shipment.order.id), due))

    def _contact(self, customer: Customer, rng: Random, at: datetime) -> None:
        order = self._last_order.get(customer.number)
        shipment = self._shipment_of.get(customer.number)
        table = WITHOUT_PARCEL
        if order is not None and rng.random() < 0.85:
            is_here = shipment is not None and shipment.order is order and shipment.delivered_at is not None
            table = WITH_PARCEL_RECEIVED if is_here else WITH_PARCEL_UNDER_WAY
        elif rng.random() < 0.62:
            # Bought before this world began: the shop's older orders are not shown.
            table, order = rng.choice((WITH_PARCEL_RECEIVED, WITH_PARCEL_UNDER_WAY)), None
        intent = rng.choices(list(table), [row[0] for row in table.values()])[0]
        days = max(2, (at - order.placed_at).days) if order is not None else rng.randint(3, 14)
        if intent == "late_delivery" and days < LATE_AFTER_DAYS:
            intent = "delivery_status"
        temper = make_temper(rng, intent, table[intent][1], table[intent][2])
        channel = rng.choices([name for name, _ in CHANNELS], [share for _, share in CHANNELS])[0]
        situation = Situation(
            intent=intent,
            sentiment=temper.sentiment,
            urgency=temper.urgency,
            heat=temper.heat,
            channel=channel,
            name=customer.first_name,
            product=rng.choice(order.items) if order is not None else rng.choice(sorted(PRODUCTS)),
            order_id=order.id if order is not None else None,
            days=days,
        )
        Conversation(self.helpdesk, self.schedule, customer, situation, rng).begin(at)
        if order is not None and intent in {"refund", "damaged_item"} and rng.random() < 0.4:
            self.schedule.add(at + timedelta(hours=rng.uniform(20, 60)), partial(self.shop.refund, order, order.total))

    def _nightly(self, at: datetime, rng: Random) -> None:
        """The helpdesk's own housekeeping: it moves the export order of a few tickets and nothing else."""
        tickets = list(self.helpdesk.tickets.values())
        for ticket in rng.sample(tickets, len(tickets) // 60):
            self.helpdesk.system_touch(ticket, at)


def make_temper(rng: Random, intent: str, p_negative: float, p_positive: float) -> Temper:
    """The mood and the hurry of somebody who writes about this."""
    roll = rng.random()
    sentiment: Sentiment = (
        "negative" if roll < p_negative else "positive" if roll < p_negative + p_positive else "neutral"
    )
    heat = rng.choices((1, 2, 3), (0.3, 0.5, 0.2))[0] if sentiment == "negative" else 0
    hurry = 0.12 + 0.15 * heat + (0.2 if intent in {"late_delivery", "cancel_order", "address_change"} else 0)
    if intent in {"praise", "unsubscribe_request"} or sentiment == "positive":
        hurry = 0.0
    roll = rng.random()
    is_idle = sentiment == "positive" or intent in {"product_question", "gift_question"}
    urgency: Urgency = "high" if roll < hurry else "low" if is_idle and roll > 0.4 else "normal"
    return Temper(sentiment, urgency, heat)


def _poisson(rng: Random, mean: float) -> int:
    """A Poisson draw; the normal approximation is good enough above 30."""
    if mean > 30:
        return max(0, round(rng.gauss(mean, mean**0.5)))
    product, count = rng.random(), 0
    limit = 2.718281828459045**-mean
    while product > limit:
        product *= rng.random()
        count += 1
    return count


def _waking_moment(day: datetime, rng: Random) -> datetime:
    """A moment of the day, most often between seven in the morning and eleven at night, UTC."""
    seconds = rng.triangular(6.5, 23.2, 19) if rng.random() < 0.92 else rng.uniform(0, 24)
    return day + timedelta(seconds=int(seconds * 3600), milliseconds=rng.randrange(1000))
