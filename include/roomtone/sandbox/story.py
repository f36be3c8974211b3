"""The planted story: three people, two campaigns, one parcel that does not move.

T0 is ten minutes after the start. Nothing of it is drawn: texts and times are fixed, so that a demonstration tells
the same every time.
"""

from datetime import datetime, timedelta
from typing import Any

from roomtone.sandbox.chance import token
from roomtone.sandbox.clock import rfc3339
from roomtone.sandbox.records import Campaign, Order, Shipment, Ticket, Truth, Written
from roomtone.sandbox.traffic import Traffic

CAST = (("Maya", "Okafor"), ("Tom", "Lindqvist"), ("Ana", "Ferreira"))
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
AGENT = 901

MAYA_WRITES = Written(
    subject="Order {order} still not here - birthday is tomorrow",
    text=(
        "Hello,\n\n"
        "I ordered a birthday gift box for my mother ten days ago (order {order}). "
        "The tracking has shown nothing at all for five days and it was promised for yesterday. "
        "Her birthday is tomorrow and I have nothing to give her. This is really upsetting, "
        "please tell me today where the parcel is and whether it will arrive in time.\n\n"
        "Maya Okafor"
    ),
    truth=Truth("negative", "high", "late_delivery", ("story", "gift", "deadline"), 2),
)
TOM_WRITES = Written(
    subject="Colour of the vase",
    text=(
        "Hi there,\n\n"
        "the ceramic vase from order {order} arrived on Saturday, thank you. "
        "The green is a bit lighter than in the photo, I had expected something darker. "
        "Not a big thing, I just wanted to mention it. Is there a darker one in the range?\n\n"
        "Best,\nTom"
    ),
    truth=Truth("neutral", "low", "quality", ("story", "mild_complaint"), 0),
)
ANA_WRITES = Written(
    subject="Is the enamel jug dishwasher safe?",
    text="Hello, is the enamel jug dishwasher safe, and does it come in a larger size? Thank you, Ana",
    truth=Truth("neutral", "low", "product_question", ("story", "question"), 0),
)
AGENT_ANSWERS = (
    "Dear Maya,\n\nI am sorry. Your parcel was held at the depot because its label could not be read. "
    "It has a new label now and goes out with an express courier tonight. "
    "I will keep watching it until it is in your hands.\n\nKind regards,\nPriya Raman"
)
AGENT_CLOSES = (
    "Dear Maya,\n\nthe courier has handed over your parcel. I wish your mother a happy birthday.\n\n"
    "Kind regards,\nPriya Raman"
)


class Story:
    """Plans the story and tells what it planted."""

    def __init__(self, seed: int, start: datetime, traffic: Traffic) -> None:
        self.t0 = start + 10 * MINUTE
        self._traffic = traffic
        self._maya, self._tom, self._ana = (traffic.shop.customers[number] for number in (1, 2, 3))
        self._orders: dict[str, Order] = {}
        self._parcel: Shipment
        self._tickets: dict[str, Ticket] = {}
        self.sale = self._campaign(
            seed, "Spring sale: 20 % off", "20 % off everything for the table", self.t0 + 3 * MINUTE
        )
        self.arrivals = self._campaign(seed, "New arrivals", "New from the workshop", self.t0 + 3 * DAY)

    def plan(self) -> None:
        """Puts every happening of the story on the schedule."""
        t0, add = self.t0, self._traffic.schedule.add
        yesterday = (t0 - DAY).replace(hour=18, minute=0, second=0, microsecond=0)
        add(t0 - 10 * DAY, lambda at: self._order("maya", ["birthday gift box"], "59.95", at))
        add(t0 - 9 * DAY, lambda at: self._order("tom", ["ceramic vase"], "48.95", at))
        add(t0 - 7 * DAY, lambda at: self._ship("maya", yesterday, at))
        add(t0 - 6 * DAY, lambda at: self._ship("tom", yesterday, at))
        add(t0 - 5 * DAY - 6 * HOUR, lambda at: self._traffic.shop.scan(self._parcel, at))
        add(t0 - 2 * DAY, self._deliver_tom)
        add(t0 - 2 * HOUR, lambda at: self._write("tom", TOM_WRITES, at))
        add(t0 - HOUR, lambda at: self._write("ana", ANA_WRITES, at))
        add(t0, self._maya_writes)
        add(t0 + 3 * MINUTE, lambda at: self._traffic.marketing.send_campaign(self.sale, at))
        add(t0 + 4 * MINUTE, self._shipping_notice)
        add(t0 + 40 * MINUTE, lambda at: self._answer(AGENT_ANSWERS, "pending", at))
        add(t0 + 20 * HOUR, lambda at: self._traffic.shop.scan(self._parcel, at))
        add(t0 + 25 * HOUR, lambda at: self._traffic.shop.deliver(self._parcel, at))
        add(t0 + 26 * HOUR, self._solve)
        add(t0 + 4 * DAY, lambda at: self._traffic.helpdesk.set_status(self._tickets["maya"], "closed", at, -1))
        add(t0 + 3 * DAY, lambda at: self._traffic.marketing.send_campaign(self.arrivals, at))

    def told(self) -> dict[str, Any]:
        """Ids, names and times of the story, as `GET /story` gives them."""
        people = {"maya": self._maya, "tom": self._tom, "ana": self._ana}
        t0 = self.t0
        return {
            "t0": rfc3339(t0),
            "people": {
                key: {
                    "name": person.name,
                    "email": person.email,
                    "shop_id": person.shop_id,
                    "zendesk_user_id": person.helpdesk_id,
                    "klaviyo_profile_id": self._traffic.marketing.profile_of[person.number].id,
                    "order_id": str(self._orders[key].id) if key in self._orders else None,
                    "ticket_id": self._tickets[key].id if key in self._tickets else None,
                }
                for key, person in people.items()
            },
            "shipment_id": str(self._parcel.id),
            "campaigns": {
                key: {"id": c.id, "name": c.name, "scope": c.scope, "at": rfc3339(c.scheduled_at or t0)}
                for key, c in (("sale", self.sale), ("arrivals", self.arrivals))
            },
            "shipping_flow_id": self._traffic.marketing.flow_for("Fulfilled Order", t0).id,
            "times": {
                "tom_writes": rfc3339(t0 - 2 * HOUR),
                "ana_writes": rfc3339(t0 - HOUR),
                "last_scan": rfc3339(t0 - 5 * DAY - 6 * HOUR),
                "maya_writes": rfc3339(t0),
                "sale_sent": rfc3339(t0 + 3 * MINUTE),
                "shipping_notice": rfc3339(t0 + 4 * MINUTE),
                "agent_answers": rfc3339(t0 + 40 * MINUTE),
                "parcel_scanned": rfc3339(t0 + 20 * HOUR),
                "parcel_delivered": rfc3339(t0 + 25 * HOUR),
                "ticket_solved": rfc3339(t0 + 26 * HOUR),
                "arrivals_sent": rfc3339(t0 + 3 * DAY),
                "ticket_closed": rfc3339(t0 + 4 * DAY),
            },
        }

    def _campaign(self, seed: int, name: str, subject: str, at: datetime) -> Campaign:
        made = at - 6 * DAY
        campaign_id = token(seed, "story campaign", name)
        campaign = Campaign(campaign_id, "campaign", name, "email", "sales", subject, made, made, at)
        return self._traffic.marketing.add_campaign(campaign)

    def _order(self, who: str, items: list[str], total: str, at: datetime) -> None:
        customer = {"maya": self._maya, "tom": self._tom}[who]
        is_gift = who == "maya"
        note = "Happy birthday, Mum! Love, Maya" if is_gift else None
        self._orders[who] = self._traffic.shop.place(customer, items, total, at, is_gift=is_gift, gift_note=note)

    def _ship(self, who: str, promised: datetime, at: datetime) -> None:
        shipment = self._traffic.shop.ship(self._orders[who], promised, at)
        if who == "maya":
            self._parcel = shipment
        else:
            self._toms_parcel = shipment

    def _deliver_tom(self, at: datetime) -> None:
        self._traffic.shop.deliver(self._toms_parcel, at)

    def _write(self, who: str, words: Written, at: datetime) -> None:
        customer = {"maya": self._maya, "tom": self._tom, "ana": self._ana}[who]
        order = self._orders.get(who)
        number = str(order.id) if order else ""
        written = Written(words.text.replace("{order}", number), words.truth, words.subject.replace("{order}", number))
        self._tickets[who] = self._traffic.helpdesk.open_ticket(
            customer, "email", written, order.id if order else None, at
        )

    def _maya_writes(self, at: datetime) -> None:
        self._write("maya", MAYA_WRITES, at)
        self._maya.heat, self._maya.heat_until = 2, at + 14 * DAY

    def _shipping_notice(self, at: datetime) -> None:
        self._traffic.notice("Fulfilled Order", self._maya, f"{self._orders['maya'].id}-delay", at)

    def _answer(self, text: str, status: str, at: datetime) -> None:
        self._traffic.helpdesk.agent_writes(self._tickets["maya"], AGENT, text, at, is_public=True, status=status)

    def _solve(self, at: datetime) -> None:
        self._answer(AGENT_CLOSES, "solved", at)
        self._maya.heat_until = at + DAY

    def counterfactual(self) -> dict[str, Any]:
        """The sale with and without pauses: recipients and expected reactions from the planted hazards (simulated)."""
        return self._traffic.marketing.expected(self.sale, self.t0 + 3 * MINUTE)
