"""Recovery rules: what is owed to a customer once, on which shift, with whose consent, and within which budget."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from roomtone.policies.rules import Count, Days, Hours, Rule, Sentence, Strict, refused

Kind = Literal["apology", "priority_confirmation", "discount_code", "free_shipping", "personal_note", "welcome_back"]
Event = Literal[
    "cause_started", "ticket_resolved", "shipment_stalled", "suppression_ended", "ticket_routed", "severe_state"
]

# Which shifts can owe which kind. A coupon needs a closed ticket or a stalled parcel, a person's note a severe case.
_EVENTS: dict[Kind, tuple[Event, ...]] = {
    "apology": ("cause_started", "shipment_stalled"),
    "priority_confirmation": ("ticket_routed",),
    "discount_code": ("ticket_resolved",),
    "free_shipping": ("shipment_stalled", "ticket_resolved"),
    "personal_note": ("severe_state", "cause_started"),
    "welcome_back": ("suppression_ended",),
}
_CLASSES: dict[Kind, tuple[str, ...]] = {
    "apology": ("service",),
    "priority_confirmation": ("service",),
    "discount_code": ("marketing",),
    "free_shipping": ("marketing",),
    "personal_note": ("human",),
    "welcome_back": ("service", "marketing"),
}


class Trigger(Strict):
    """The shift that owes something. `min_tier` is the tier that the cause must have reached (0: any);
    `requires_fact` asks for a verified fact (a stalled parcel, a refund) beside what the customer wrote."""

    event: Event
    min_tier: Annotated[int, Field(strict=True, ge=0, le=3)] = 0
    requires_fact: Annotated[bool, Field(strict=True)] = False


class Budget(Strict):
    """At most so many per customer within `cooldown_days`, and per day and calendar month over all customers (UTC)."""

    per_customer: Annotated[int, Field(strict=True, ge=1, le=100)]
    per_day: Count
    per_month: Count


class RecoveryRule(Rule):
    """One rule of recovery.yml.

    Customers' allowance of marketing kinds is one for all of them: a discount code uses up free shipping as well.
    `offer_value` is what one offer costs the brand where it is used, in the shop's currency: what simulations add up.
    """

    enabled: Annotated[bool, Field(strict=True)] = True
    kind: Kind
    message_class: Literal["service", "marketing", "human"]
    trigger: Trigger
    wait_hours: Hours
    expires_after_hours: Annotated[float, Field(strict=True, gt=0, le=720, allow_inf_nan=False)]
    consent: Literal["none", "email", "sms"]
    cooldown_days: Days
    budget: Budget
    offer: Sentence | None = None
    offer_value: Annotated[float, Field(strict=True, ge=0, le=1e6, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "RecoveryRule":
        if self.message_class not in _CLASSES[self.kind]:
            raise refused(
                "message_class", self.message_class, f"{self.kind} is of class {' or '.join(_CLASSES[self.kind])}"
            )
        if self.trigger.event not in _EVENTS[self.kind]:
            raise refused(
                "trigger.event", self.trigger.event, f"{self.kind} is owed on {' or '.join(_EVENTS[self.kind])}"
            )
        if self.trigger.event == "shipment_stalled" and self.trigger.min_tier:
            raise refused(
                "trigger.min_tier",
                self.trigger.min_tier,
                "a stalled shipment is judged by the fact, not by a tier: leave it out",
            )
        if self.budget.per_day > self.budget.per_month:
            raise refused(
                "budget.per_day", self.budget.per_day, f"is more than per_month ({self.budget.per_month}): lower it"
            )
        if self.message_class == "marketing":
            self._check_marketing()
        elif self.offer is not None or self.offer_value is not None:
            raise refused(
                "offer" if self.offer is not None else "offer_value",
                self.offer if self.offer is not None else self.offer_value,
                f"a message with an offer is marketing, not {self.message_class}: leave the offer out",
            )
        return self

    def _check_marketing(self) -> None:
        if self.consent == "none":
            raise refused("consent", "none", "a marketing message needs consent: set email or sms")
        if not self.trigger.requires_fact:
            raise refused("trigger.requires_fact", "false", "words alone never pay a coupon: set requires_fact: true")
        if self.offer is None:
            raise refused("offer", "is missing", "say what is offered, in the words of the template")


def contradictions(rules: Sequence[RecoveryRule]) -> Iterator[tuple[RecoveryRule, str, str]]:
    """Each enabled rule that owes the same kind on the same event as one before it, as (rule, value, next step)."""
    seen: dict[tuple[str, str], RecoveryRule] = {}
    for rule in rules:
        if not rule.is_enabled:
            continue
        first = seen.setdefault((rule.kind, rule.trigger.event), rule)
        if first is not rule:
            yield (
                rule,
                f"owes {rule.kind} on {rule.trigger.event} as {first.id} does",
                "keep one of the two: each is owed once",
            )
