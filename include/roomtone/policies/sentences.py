"""The words of the policies: each rule as sentences, and as an example whose dates follow from the rule's numbers."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from roomtone.contract import SCOPES, TIERS
from roomtone.policies.guardrails import Freshness, KillSwitch, MassChange, OfferLimit
from roomtone.policies.recovery import Event, Kind, RecoveryRule
from roomtone.policies.routing import Caps, Queue, RoutingRule
from roomtone.policies.rules import Rule
from roomtone.policies.suppression import MessageStart, RepeatStart, ShipmentStart, SuppressionRule

MONDAY = datetime(2026, 3, 2, 10, tzinfo=UTC)
SOLVED_AFTER = timedelta(hours=30)
"""In the examples something happens on MONDAY, and a ticket is solved (a parcel scanned) this much later."""

_KINDS: dict[Kind, str] = {
    "apology": "an apology",
    "priority_confirmation": "a confirmation that the case is handled first",
    "discount_code": "a discount code",
    "free_shipping": "free shipping",
    "personal_note": "a personal note",
    "welcome_back": "a welcome back",
}
_EVENTS: dict[Event, str] = {
    "cause_started": "a cause for quiet begins",
    "ticket_resolved": "the ticket is solved and the pause that it caused is over",
    "shipment_stalled": "a parcel is found stalled",
    "suppression_ended": "the last pause of a customer is over",
    "ticket_routed": "the helpdesk has acknowledged that the ticket was moved",
    "severe_state": "a customer's state becomes severe",
}
_CONSENT = {
    "none": "It goes without marketing consent, since it promotes nothing",
    "email": "It goes only to customers who agreed to marketing by e-mail",
    "sms": "It goes only to customers who agreed to marketing by SMS",
}


def what(rule: Rule) -> str:
    """What a rule does, in full sentences."""
    if isinstance(rule, SuppressionRule):
        text = _suppression(rule)
    elif isinstance(rule, RecoveryRule):
        text = _recovery(rule)
    elif isinstance(rule, RoutingRule):
        text = _routing(rule)
    else:
        text = _guardrail(rule)
    return text if rule.is_enabled else f"Switched off: it decides nothing. Switched on, it would say: {text}"


def example(rule: Rule) -> str:
    """One case, followed through with the rule's numbers."""
    if isinstance(rule, SuppressionRule):
        return _suppression_example(rule)
    if isinstance(rule, RecoveryRule):
        return _recovery_example(rule)
    if isinstance(rule, RoutingRule):
        return _routing_example(rule)
    return _guardrail_example(rule)


def duration(hours: float) -> str:
    """Hours as people say them: whole days from two days on."""
    if hours >= 48 and hours % 24 == 0:
        return f"{hours / 24:g} days"
    return f"{hours:g} hour{'' if hours == 1 else 's'}"


def example_end(rule: SuppressionRule) -> datetime:
    """When the cause of the example ends: after the cool-off, or by `max_days` where that comes first."""
    over_at = MONDAY + (SOLVED_AFTER if _lasts(rule) else timedelta(0))
    return min(over_at + timedelta(hours=rule.end.cool_off_hours), MONDAY + timedelta(days=rule.end.max_days))


def _lasts(rule: SuppressionRule) -> bool:
    """Whether what starts the cause is a state with an end (a live ticket, a stalled parcel), not a single moment."""
    return isinstance(rule.start, MessageStart) or rule.start.fact not in ("marked_spam", "refund")


def _scopes(pause: Sequence[str]) -> str:
    quiet = ", ".join(scope.replace("_", " ") for scope in pause)
    if len(pause) == len(SCOPES):
        return f"every promotional sending waits ({quiet})"
    rest = ", ".join(scope.replace("_", " ") for scope in SCOPES if scope not in pause)
    return f"these wait: {quiet}; {rest} {'goes' if len(SCOPES) - len(pause) == 1 else 'go'} on"


def _start(rule: SuppressionRule) -> str:
    start = rule.start
    if isinstance(start, MessageStart):
        return (
            f"a customer's message on a live ticket reads {start.sentiment} with a confidence of at least"
            f" {start.min_confidence:.2f}"
        )
    if isinstance(start, ShipmentStart):
        days = f"{start.days:g} day{'' if start.days == 1 else 's'}"
        if start.fact == "shipment_stalled":
            return f"a parcel under way has had no scan for {days}"
        return f"a parcel is {days} past its promised date and not delivered"
    if isinstance(start, RepeatStart):
        return f"a customer has turned to support {start.count} times within {start.days:g} days, thanks not counted"
    return {
        "threat": "a customer's message on a live ticket holds a threat (a lawyer, a chargeback, the press)",
        "marked_spam": "a customer marks a message as spam",
        "refund": "an order is refunded, in part or in full",
    }[start.fact]


def _over(rule: SuppressionRule) -> str:
    if not _lasts(rule):
        return "that moment"
    if isinstance(rule.start, ShipmentStart):
        return "the next scan" if rule.start.fact == "shipment_stalled" else "the delivery"
    return "the ticket stops being live (reopening it before then goes on with the pause)"


def _suppression(rule: SuppressionRule) -> str:
    text = (
        f"It starts when {_start(rule)}. The customer is then in tier {rule.tier} ({TIERS[rule.tier]}), and"
        f" {_scopes(rule.pause)}. Order and shipping messages always go on."
        f" It ends {duration(rule.end.cool_off_hours)} after {_over(rule)}, and at the latest"
        f" {duration(rule.end.max_days * 24)} after the latest evidence."
    )
    if rule.relief:
        text += (
            f" It also ends {duration(rule.relief.after_hours)} after a later message on the ticket that reads"
            f" {rule.relief.sentiment} with a confidence of at least {rule.relief.min_confidence:.2f}, unless another"
            " message that meets the start comes in between."
        )
    return text


def _suppression_example(rule: SuppressionRule) -> str:
    latest = MONDAY + timedelta(days=rule.end.max_days)
    start = rule.start
    if isinstance(start, MessageStart):
        seen = min(start.min_confidence + 0.05, 1.0)
        begin = f"A customer writes on {_at(MONDAY)}; it reads {start.sentiment} with a confidence of {seen:.2f}."
    else:
        begin = f"On {_at(MONDAY)} {_start(rule)}."
    ends = example_end(rule)
    if not _lasts(rule):
        middle = f"The pause ends on {_at(ends)}."
    else:
        happening = {"the next scan": "The parcel is scanned", "the delivery": "The parcel is delivered"}.get(
            _over(rule), "The ticket is solved"
        )
        middle = f"{happening} on {_at(MONDAY + SOLVED_AFTER)}, so the pause ends on {_at(ends)}."
        middle += f" If nothing more were heard, it would end on {_at(latest)}."
    return f"{begin} From that moment {_scopes(rule.pause)}. {middle}"


def _recovery(rule: RecoveryRule) -> str:
    conditions = ""
    if rule.trigger.min_tier:
        conditions = f", for a cause of tier {rule.trigger.min_tier} ({TIERS[rule.trigger.min_tier]}) or above"
    if rule.trigger.requires_fact and rule.trigger.event != "shipment_stalled":
        conditions += " and only where a fact (a stalled or late parcel, a refund) confirms the fault"
    wait = "at once" if rule.wait_hours == 0 else f"{duration(rule.wait_hours)} later"
    worth = "" if rule.offer_value is None else f", which costs the shop about {rule.offer_value:g} each time"
    offer = f" The offer: {rule.offer}{worth}." if rule.offer else ""
    nature = {
        "service": "It is a service message",
        "marketing": "It is marketing, and uses up the customer's allowance of offers whatever their kind",
        "human": "It is a task for a person, who writes and signs it",
    }[rule.message_class]
    budget = rule.budget
    often = "once" if budget.per_customer == 1 else f"{budget.per_customer} times"
    return (
        f"When {_EVENTS[rule.trigger.event]}{conditions}, {_KINDS[rule.kind]} is due {wait}; each cause owes it once."
        f"{offer} {nature}. {_CONSENT[rule.consent]}. It expires {duration(rule.expires_after_hours)} after it was due"
        f" and is never sent late. A customer gets it at most {often} in {rule.cooldown_days:g} days; all customers"
        f" together get at most {budget.per_day} a day and {budget.per_month} a month."
    )


def _recovery_example(rule: RecoveryRule) -> str:
    due = MONDAY + timedelta(hours=rule.wait_hours)
    expires = due + timedelta(hours=rule.expires_after_hours)
    again = due + timedelta(days=rule.cooldown_days)
    lead = "If it were switched on: on" if not rule.is_enabled else "On"
    return (
        f"{lead} {_at(MONDAY)} {_EVENTS[rule.trigger.event]}. {_KINDS[rule.kind].capitalize()} is due on {_at(due)} and"
        f" expires on {_at(expires)}. The next one for the same customer is possible from {_at(again)} on."
    )


def _routing(rule: RoutingRule) -> str:
    weights, hours = rule.weights, rule.sla_hours.by_tier
    targets = ", ".join(f"{name} {duration(limit)}" for name, limit in zip(TIERS.values(), hours, strict=True))
    lines = "; ".join(f"({position}) {_queue(queue)}" for position, queue in enumerate(rule.queues, start=1))
    return (
        f"A ticket's priority score adds up to {weights.tier:g} points for its tier, {weights.urgency:g} for urgency,"
        f" {weights.value:g} for the customer's {_value(rule.caps)} and {weights.waiting:g}"
        f" for waiting (full after {duration(rule.caps.waiting_hours)}). It goes to the first queue of this list that"
        f" it fits: {lines}. The first reply is due within, by tier: {targets}. No calm customer waits longer than"
        f" {duration(rule.calm_max_wait_hours)} for the sake of upset ones."
    )


def _value(caps: Caps) -> str:
    if caps.risk is None:
        return f"lifetime value (full at {caps.value:g})"
    return f"value at risk (full at a lifetime value of {caps.value:g} and a churn risk of {caps.risk:g})"


def _queue(queue: Queue) -> str:
    conditions = []
    if queue.min_tier:
        conditions.append(f"tier {queue.min_tier} or above")
    if queue.min_urgency:
        conditions.append(f"{queue.min_urgency} urgency{'' if queue.min_urgency == 'high' else ' or above'}")
    if queue.intents:
        conditions.append(f"about {' or '.join(intent.replace('_', ' ') for intent in queue.intents)}")
    return f"{' and '.join(conditions) or 'every other ticket'} to {queue.queue}, {queue.priority} priority"


def _routing_example(rule: RoutingRule) -> str:
    upset = rule.weights.tier * 2 / 3 + rule.weights.urgency
    calm = rule.weights.waiting
    order = "before" if upset > calm else "after"
    found = next(
        queue
        for queue in rule.queues
        if queue.min_tier <= 2 and not queue.intents  # urgency is high, so any bound is met
    )
    return (
        f"A customer in tier 2 whose gift must arrive tomorrow has {upset:g} points the moment they write and goes to"
        f" {found.queue} with {found.priority} priority; a calm customer who has waited"
        f" {duration(rule.caps.waiting_hours)} has {calm:g}. So the first one is answered {order} the second, who"
        f" is due within {duration(rule.sla_hours.calm)}."
    )


def _guardrail(rule: Rule) -> str:
    if isinstance(rule, MassChange):
        bound = f"more than {rule.max_share:.1%} of the customers, and more than {rule.floor_customers} people"
        if rule.median_multiple is not None:
            bound += f", and more than {rule.median_multiple:g} times the median of the last runs"
        if rule.guard == "newly_paused":
            return f"If one run would newly pause {bound}, those pauses are held until a person lets them go."
        return f"If {bound}, that a destination knows are missing from the marts, nothing about them is changed there."
    if isinstance(rule, OfferLimit):
        return f"At most {rule.max_per_day} offers leave within 24 hours, whatever their kind."
    if isinstance(rule, Freshness):
        return (
            f"If the data behind a run is older than {rule.max_age_minutes:g} minutes when it is sent, no recovery"
            " trigger leaves and no pause ends early. Pauses stay, and end on the date that was sent with them."
        )
    assert isinstance(rule, KillSwitch)
    meaning = "nothing leaves for any destination; pauses end on the date that was sent with them."
    return f"It is on: {meaning}" if rule.is_on else f"It is off. While it is on, {meaning}"


def _guardrail_example(rule: Rule) -> str:
    if isinstance(rule, MassChange):
        allowed = max(rule.floor_customers, int(rule.max_share * 20_000))
        whom = (
            "of 20,000 customers may be newly paused in one run"
            if rule.guard == "newly_paused"
            else "of 20,000 may be missing"
        )
        return f"Up to {allowed:,} {whom}; with {allowed + 1:,} they are held."
    if isinstance(rule, OfferLimit):
        return f"On a day with {rule.max_per_day + 20} offers due, {rule.max_per_day} leave and 20 wait or expire."
    if isinstance(rule, Freshness):
        limit = MONDAY + timedelta(minutes=rule.max_age_minutes)
        return f"A run computed for {_at(MONDAY)} sends its recovery triggers until {_at(limit)} and not after."
    return "A destination misbehaves; `is_on: true` is published, and nothing is sent until it is false again."


def _at(instant: datetime) -> str:
    return f"{instant:%A} {instant.day} {instant:%B} {instant:%H:%M}"
