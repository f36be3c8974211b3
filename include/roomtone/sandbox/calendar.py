"""The brand's mailing calendar: which campaigns go out, and the flows that are always on."""

from datetime import datetime, timedelta
from typing import Literal

from roomtone.sandbox.chance import choose, token
from roomtone.sandbox.records import Campaign

# (name, channel, scope, subject) by weekday, sent at ten in the morning UTC. Scope None: nobody tagged it.
_Plan = tuple[str, Literal["email", "sms"], str | None, str]
_WEEKLY: dict[int, list[_Plan]] = {
    1: [
        ("Picked for your kitchen", "email", "recommendation", "Five things your kitchen asked for"),
        ("Goes well with your last order", "email", "upsell", "It is missing a partner"),
        ("Tuesday letter", "email", None, "What we are making this week"),
    ],
    4: [
        ("Weekend offer", "email", "discount", "15 % off until Sunday"),
        ("Weekend sale", "email", "sales", "The weekend sale is on"),
        ("Mothers and makers", "email", "celebration", "A toast to the people we love"),
    ],
    5: [("Saturday text", "sms", "sms", "Free gift wrap this weekend")],
}

# (name, scope, metric that starts it).
FLOWS = (
    ("Shipping notices", "transactional", "Fulfilled Order"),
    ("Order confirmations", "transactional", "Placed Order"),
    ("How did you like it?", "review_request", "Delivered Shipment"),
    ("Welcome to the table", "sales", "Subscribed to List"),
    ("Roomtone apology", "transactional", "Roomtone Apology Due"),
    ("Roomtone priority confirmation", "transactional", "Roomtone Priority Confirmation Due"),
    ("Roomtone discount code", "transactional", "Roomtone Discount Code Due"),
    ("Roomtone free shipping", "transactional", "Roomtone Free Shipping Due"),
    ("Roomtone personal note", "transactional", "Roomtone Personal Note Due"),
    ("Roomtone welcome back", "transactional", "Roomtone Welcome Back Due"),
)

METRICS = (
    "Received Email",
    "Opened Email",
    "Clicked Email",
    "Bounced Email",
    "Marked Email as Spam",
    "Unsubscribed from Email Marketing",
    "Received SMS",
    "Clicked SMS",
    "Unsubscribed from SMS Marketing",
    "Placed Order",
    "Fulfilled Order",
)


def campaigns_of_day(seed: int, day: datetime) -> list[Campaign]:
    """The campaigns that the brand sends on the day beginning at `day` (midnight UTC), made two days before."""
    plans = _WEEKLY.get(day.weekday())
    if not plans:
        return []
    name, channel, scope, subject = choose(seed, plans, "calendar", day.date().isoformat())
    if name == "Tuesday letter" and day.isocalendar().week % 2:
        name, channel, scope, subject = plans[0]
    made = day - timedelta(days=2)
    return [
        Campaign(
            id=token(seed, "campaign", name, day.date().isoformat()),
            kind="campaign",
            name=f"{name} ({day.date().isoformat()})",
            channel=channel,
            scope=scope,
            subject=subject,
            created_at=made,
            updated_at=made,
            scheduled_at=day + timedelta(hours=10),
        )
    ]


def flows(seed: int, made: datetime) -> list[Campaign]:
    """The flows that are on from the beginning."""
    return [
        Campaign(
            id=token(seed, "flow", name, prefix="", length=6),
            kind="flow",
            name=name,
            channel="email",
            scope=scope,
            subject=name,
            created_at=made,
            updated_at=made,
            status="live",
            trigger_metric=metric,
        )
        for name, scope, metric in FLOWS
    ]
