"""The whole brand: who its customers are, what is planned, and how time passes in it."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from random import Random

from roomtone.sandbox.calendar import METRICS, campaigns_of_day, flows
from roomtone.sandbox.chance import between, choose, draw
from roomtone.sandbox.clock import rfc3339
from roomtone.sandbox.helpdesk import Helpdesk
from roomtone.sandbox.marketing import Marketing
from roomtone.sandbox.names import FIRST_NAMES, LAST_NAMES, TIMEZONES
from roomtone.sandbox.records import Customer
from roomtone.sandbox.schedule import Schedule
from roomtone.sandbox.shop import Shop
from roomtone.sandbox.story import CAST, Story
from roomtone.sandbox.traffic import Traffic
from roomtone.sandbox.witness import Witness

DAY = timedelta(days=1)
# Numbers from here on are of people who only have a profile.
FIRST_SILENT = 1_000_000


@dataclass(frozen=True)
class Plan:
    """What makes a world: the same plan gives the same world."""

    start: datetime
    seed: int = 7
    customers: int = 400
    history_days: int = 21


class World:
    """State of the brand at `self.at`. `advance` is the only way in which time passes."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.witness = Witness()
        self.schedule = Schedule()
        self.shop = Shop(self.witness)
        self.helpdesk = Helpdesk(self.witness)
        self.marketing = Marketing(plan.seed, self.witness, self.schedule)
        self.traffic = Traffic(plan.seed, self.shop, self.helpdesk, self.marketing, self.schedule)
        self.at = _midnight(plan.start) - plan.history_days * DAY
        self._populate()
        self.story = Story(plan.seed, plan.start, self.traffic)
        self.story.plan()
        self._plan_day(self.at)
        self.advance(plan.start)
        self.witness.is_open = True

    def advance(self, until: datetime) -> int:
        """Lets everything happen that is due up to `until`, in order; returns how many happenings that were."""
        ran = self.schedule.run_until(until)
        self.at = max(self.at, until)
        return ran

    def add_silent_profiles(self, count: int) -> None:
        """Profiles at the marketing platform of people who never buy, write or consent: only their number matters."""
        for number in range(FIRST_SILENT, FIRST_SILENT + count):
            customer = make_customer(self.plan.seed, number, self.at)
            customer.email_consent = customer.sms_consent = False
            profile = self.marketing.add_profile(customer)
            profile.properties["favourite_colour"] = "green"
            profile.is_listed = False

    def fingerprint(self) -> str:
        """SHA-256 over everything that the three vendors could tell about the world."""
        helpdesk = self.helpdesk
        facts = {
            "customers": [(c.shop_id, c.name, c.email, c.email_consent) for c in self.shop.customers.values()],
            "orders": [(o.id, rfc3339(o.updated_at), o.status, o.total) for o in self.shop.orders.values()],
            "shipments": [(s.id, rfc3339(s.updated_at)) for s in self.shop.shipments.values()],
            "tickets": [(t.id, t.generated_at, t.status, t.tags) for t in helpdesk.tickets.values()],
            "comments": [(c.id, rfc3339(c.at), c.body) for c in helpdesk.comments.values()],
            "ratings": [(r.id, r.score) for r in helpdesk.ratings],
            "events": [(rfc3339(at), key) for at, key in self.marketing.event_order],
            "campaigns": [(c.id, c.status) for c in self.marketing.campaigns.values()],
        }
        return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def _populate(self) -> None:
        for name in METRICS:
            self.marketing.metric_id(name, self.at)
        for flow in flows(self.plan.seed, self.at):
            self.marketing.add_campaign(flow)
        for number in range(1, self.plan.customers + 1):
            joined = self.at - timedelta(days=int(between(self.plan.seed, 3, 900, "joined", number)))
            self._add_customer(number, joined + timedelta(seconds=number))

    def _add_customer(self, number: int, joined: datetime) -> None:
        customer = make_customer(self.plan.seed, number, joined)
        self.shop.customers[number] = customer
        if customer.is_on_platform:
            self.marketing.add_profile(customer)

    def _plan_day(self, day: datetime) -> None:
        """Plans one day: campaigns two days ahead, orders, conversations, sign-ups, and the next day's planning."""
        seed, date = self.plan.seed, day.date().isoformat()
        ahead = (
            [day + 2 * DAY] if day > self.plan.start - self.plan.history_days * DAY else [day, day + DAY, day + 2 * DAY]
        )
        for mailing_day in ahead:
            for campaign in campaigns_of_day(seed, mailing_day):
                self.marketing.add_campaign(campaign)
                due = campaign.scheduled_at or mailing_day
                self.schedule.add(due, partial(self.marketing.send_campaign, campaign))
        for index in range(int(between(seed, 0, 3, "sign-ups", date))):
            at = day + timedelta(seconds=int(between(seed, 0, 86_400, "sign-up", date, index)))
            self.schedule.add(at, self._sign_up)
        self.traffic.plan_day(day, Random(f"{seed}/{date}"))
        self.schedule.add(day + DAY, self._plan_day)

    def _sign_up(self, at: datetime) -> None:
        self._add_customer(len(self.shop.customers) + 1, at)


def make_customer(seed: int, number: int, joined: datetime) -> Customer:
    """Customer `number` of the brand of this seed. The first few are the people of the story."""
    is_story = number <= len(CAST)
    if is_story:
        first, last = CAST[number - 1]
    else:
        first = choose(seed, FIRST_NAMES, "first name", number)
        last = choose(seed, LAST_NAMES, "last name", number)
    email = f"{first}.{last}{'' if is_story else number}@example.com".lower()
    has_phone = draw(seed, "phone", number) < 0.7
    return Customer(
        number=number,
        first_name=first,
        last_name=last,
        email=email,
        phone=f"+316{int(between(seed, 1e7, 9.99e7, 'number', number)):08d}" if has_phone else None,
        timezone=choose(seed, TIMEZONES, "timezone", number),
        created_at=joined,
        updated_at=joined,
        email_consent=is_story or draw(seed, "email consent", number) < 0.82,
        sms_consent=has_phone and draw(seed, "sms consent", number) < 0.35,
        is_on_platform=is_story or draw(seed, "platform", number) < 0.95,
        is_known_at_helpdesk=is_story or draw(seed, "external id", number) < 0.85,
        helpdesk_email=email.title() if not is_story and draw(seed, "case", number) < 0.04 else email,
        platform_email=email,
        is_story=is_story,
    )


def _midnight(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
