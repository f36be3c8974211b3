"""Takes a stored decision again from its stored inputs alone: the same inputs give the same action, whoever asks and
whenever. This is the policies' logic a second time, in Python and row by row, beside the set logic of the dbt models.

`fct_decisions.inputs` is one flat JSON object with `decision` (pause, recovery or override) and what that kind reads.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from roomtone.errors import RoomtoneError

Inputs = Mapping[str, Any]


@dataclass(frozen=True)
class Action:
    """What was decided: pause, release, recover or withhold (none: nothing), and the codes of its reasons."""

    action: str
    reason_codes: str


def execute(inputs: str) -> Action:
    """The action that the JSON text of `inputs` leads to; raises RoomtoneError for inputs of another roomtone."""
    try:
        read = json.loads(inputs)
        return _KINDS[read["decision"]](read)
    except (ValueError, KeyError, TypeError) as error:
        raise RoomtoneError(
            "fct_decisions",
            f"inputs cannot be read ({type(error).__name__}: {str(error)[:80]})",
            "they were stored by another roomtone: run `roomtone rebuild`",
        ) from error


def inputs_hash(inputs: str) -> str:
    """MD5 of the stored text, as `fct_decisions.inputs_hash` holds it."""
    return hashlib.md5(inputs.encode(), usedforsecurity=False).hexdigest()


def _pause(inputs: Inputs) -> Action:
    live = ",ticket_live" if inputs["subject_kind"] == "ticket" else ""
    if inputs["start_kind"] == "sentiment":
        is_met = (
            inputs["is_ticket_live"]
            and not inputs["is_abstained"]
            and inputs["sentiment"] == inputs["start_sentiment"]
            and inputs["confidence"] >= inputs["start_min_confidence"]
        )
        reasons = f"sentiment_{inputs['start_sentiment']},confidence_reached{live}"
    else:
        is_met = _fact_holds(inputs)
        reasons = f"fact_{inputs['start_fact']}{live}"
    return Action("pause", reasons) if is_met else Action("none", "start_not_met")


def _fact_holds(inputs: Inputs) -> bool:
    fact = inputs["start_fact"]
    if fact == "threat":
        return bool(inputs["is_ticket_live"] and inputs["has_threat"])
    if fact == "repeat_contact":
        return bool(inputs["is_ticket_live"] and inputs["contacts"] >= inputs["start_count"])
    held_for = _instant(inputs["evidence_at"]) - _instant(inputs["fact_since_at"])
    return held_for >= timedelta(days=inputs["start_days"] or 0)


def _recovery(inputs: Inputs) -> Action:
    reason = None if inputs["is_sent"] else (_cancelled(inputs) or _blocked(inputs) or _too_many(inputs))
    if reason is None:
        return Action("recover", f"{inputs['trigger_event']},owed")
    return Action("withhold", f"{inputs['trigger_event']},{reason}")


def _cancelled(inputs: Inputs) -> str | None:
    """Why it is no longer owed, though it was."""
    again, due = inputs["upset_again_at"], inputs["due_at"]
    if inputs["is_over_before_due"]:
        return "cause_ended"
    if inputs["reopened_at"] is not None:
        return "reopened"
    if again is not None and (inputs["trigger_event"] != "shipment_stalled" or _instant(again) > _instant(due)):
        return "upset_again"
    return None


def _blocked(inputs: Inputs) -> str | None:
    """Why it may not go to this customer."""
    is_marketing = inputs["message_class"] == "marketing"
    gates: tuple[tuple[str, bool], ...] = (
        ("was_upset_already", inputs["was_upset_already"]),
        ("no_verified_fact", inputs["requires_fact"] and not inputs["has_verified_fact"]),
        ("ticket_cause_lasts", is_marketing and inputs["has_lasting_ticket_cause"]),
        ("offers_paused", is_marketing and inputs["are_offers_paused"]),
        ("no_email_consent", inputs["consent"] == "email" and not inputs["has_email_consent"]),
        ("no_sms_consent", inputs["consent"] == "sms" and not inputs["has_sms_consent"]),
        ("no_address", inputs["message_class"] != "human" and not inputs["has_address"]),
    )
    return next((reason for reason, is_closed in gates if is_closed), None)


def _too_many(inputs: Inputs) -> str | None:
    """Which limit it does not fit: the customer's allowance, the day's budget, the month's."""
    if not inputs["is_within_allowance"]:
        return "allowance_used"
    if inputs["place_in_day"] > inputs["budget_per_day"]:
        return "daily_budget_spent"
    if inputs["place_in_month"] > inputs["budget_per_month"]:
        return "monthly_budget_spent"
    return None


def _override(inputs: Inputs) -> Action:
    if _instant(inputs["starts_at"]) >= _instant(inputs["ends_at"]):
        return Action("none", "no_duration")
    return Action(str(inputs["action"]), "person")


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


_KINDS: Mapping[str, Callable[[Inputs], Action]] = {"pause": _pause, "recovery": _recovery, "override": _override}
