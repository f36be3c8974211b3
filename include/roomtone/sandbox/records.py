"""The things the brand is made of. Times are aware UTC."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Channel = Literal["email", "chat", "form", "in_app", "sms"]
Sentiment = Literal["negative", "neutral", "positive"]
Urgency = Literal["low", "normal", "high"]


@dataclass(frozen=True)
class Truth:
    """What a person would say about a message. `heat` is 0 for no annoyance to 3 for fury."""

    sentiment: Sentiment
    urgency: Urgency
    intent: str
    flags: tuple[str, ...] = ()
    heat: int = 0


@dataclass(frozen=True)
class Situation:
    """What a message is to be about: the truth to plant and the facts that it may mention. `days` is a waiting time."""

    intent: str
    sentiment: Sentiment
    urgency: Urgency
    heat: int
    channel: Channel
    name: str
    product: str
    order_id: int | None = None
    days: int = 4
    is_follow_up: bool = False


@dataclass(frozen=True)
class Written:
    """A composed message and its planted truth."""

    text: str
    truth: Truth
    subject: str = ""


@dataclass
class Customer:
    """A person. `shop_id` is also the `external_id` at the helpdesk and the platform where these know it."""

    number: int
    first_name: str
    last_name: str
    email: str
    phone: str | None
    timezone: str
    created_at: datetime
    updated_at: datetime
    email_consent: bool
    sms_consent: bool
    is_on_platform: bool
    is_known_at_helpdesk: bool
    helpdesk_email: str
    platform_email: str
    is_story: bool = False
    heat: int = 0
    heat_until: datetime | None = None

    @property
    def shop_id(self) -> str:
        return str(1000 + self.number)

    @property
    def helpdesk_id(self) -> int:
        return 35_000 + self.number

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}"

    def heat_at(self, at: datetime) -> int:
        """How upset the customer is at an instant, 0 to 3."""
        return self.heat if self.heat_until is not None and at < self.heat_until else 0


@dataclass
class Order:
    id: int
    customer: Customer
    placed_at: datetime
    updated_at: datetime
    total: str
    status: str
    items: list[str]
    is_gift: bool = False
    gift_note: str | None = None
    refunded_amount: str | None = None
    currency: str = "EUR"


@dataclass
class Shipment:
    id: int
    order: Order
    shipped_at: datetime
    promised_at: datetime
    updated_at: datetime
    tracking_number: str
    last_scan_at: datetime | None = None
    delivered_at: datetime | None = None


@dataclass
class Comment:
    """One entry of a ticket's conversation, or an internal note (`is_public` false)."""

    id: int
    audit_id: int
    author_id: int
    body: str
    is_public: bool
    at: datetime
    channel: str
    truth: Truth | None = None


@dataclass
class Ticket:
    id: int
    customer: Customer
    channel: Channel
    subject: str
    created_at: datetime
    updated_at: datetime
    generated_at: int
    order_id: int | None
    description: str = ""
    status: str = "new"
    priority: str | None = None
    assignee_id: int | None = None
    group_id: int | None = 1
    tags: list[str] = field(default_factory=list)
    rating: dict[str, Any] | None = None
    comments: list[Comment] = field(default_factory=list)


@dataclass
class Rating:
    id: int
    ticket: Ticket
    score: str
    comment: str
    created_at: datetime
    updated_at: datetime


@dataclass
class Profile:
    """A profile at the marketing platform. Consent is the platform's own affair: no call of roomtone may touch it."""

    id: str
    customer: Customer
    created_at: datetime
    updated_at: datetime
    properties: dict[str, Any] = field(default_factory=dict)
    is_email_subscribed: bool = False
    is_sms_subscribed: bool = False
    consent_changed_at: datetime | None = None
    last_event_at: datetime | None = None
    # Whether campaigns are sent to the list that the person is on.
    is_listed: bool = True
    # When roomtone's event last said that the person was let go.
    released_at: datetime | None = None
    # What is still shown of the properties while a change of them is not visible yet.
    shown_before: dict[str, Any] = field(default_factory=dict)
    visible_at: datetime | None = None

    def shown_at(self, at: datetime) -> dict[str, Any]:
        """The properties that the platform's API shows at an instant."""
        return self.shown_before if self.visible_at is not None and at < self.visible_at else self.properties


@dataclass
class Campaign:
    """A campaign or a flow. `scope` None means that nobody tagged it."""

    id: str
    kind: Literal["campaign", "flow"]
    name: str
    channel: Literal["email", "sms"]
    scope: str | None
    subject: str
    created_at: datetime
    updated_at: datetime
    scheduled_at: datetime | None = None
    status: str = "Scheduled"
    trigger_metric: str | None = None


@dataclass(frozen=True)
class Event:
    """One event of a profile at the platform. `at` may lie before the instant at which it arrived."""

    id: str
    uuid: str
    metric: str
    profile_id: str
    at: datetime
    arrived_at: datetime
    properties: dict[str, Any]
    unique_id: str
    value: float | None = None
