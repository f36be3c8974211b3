"""What the guardrails let one sync do: which open intents may leave now, which are held, and why. Pure.

The direction in which each fails is fixed: adding a pause is cheap and only bounded in number; a pause is kept while
data is stale and still ends by its own date; an early end and an event need fresh data; nothing leaves while the kill
switch is on.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from roomtone.policies.guardrails import Guardrails, MassChange
from roomtone.sync.desired import PAUSES, PROFILE_PROPERTIES, RECOVERY_EVENT, is_paused
from roomtone.sync.plan import Intent

STOPPED = "kill switch is on"
STALE = "data is stale"
TOO_MANY_PAUSES = "too many customers newly paused"
TOO_MANY_VANISHED = "too many customers vanished from the mart"
TOO_MANY_OFFERS = "offers a day are used up"


@dataclass(frozen=True)
class Situation:
    """What is known when a sync sends.

    `held_payloads`: the acknowledged payload per customer whose profile is to change. `is_first`: this destination has
    never acknowledged a profile. `count_held`: how many profiles it has acknowledged. `offers_today`: marketing events
    of the last 24 hours. `vanished`: customers that the destination holds and the mart has lost.
    """

    now: datetime
    as_of: datetime
    count_customers: int
    count_held: int
    is_first: bool
    offers_today: int
    held_payloads: Mapping[str, Mapping[str, Any]]
    vanished: AbstractSet[str]


def holds(
    rules: Guardrails, situation: Situation, intents: Sequence[Intent], is_released: bool = False
) -> dict[str, str]:
    """The reason per id of each intent that may not leave now.

    `is_released`: a person has let go what is held for its number. The kill switch and stale data are not released.
    """
    if rules.kill_switch.is_on:
        return {intent.intent_id: STOPPED for intent in intents}
    held: dict[str, str] = {}
    profiles = [intent for intent in intents if intent.kind == PROFILE_PROPERTIES]
    if situation.now - situation.as_of > timedelta(minutes=rules.freshness.max_age_minutes):
        held |= {intent.intent_id: STALE for intent in intents if intent.kind == RECOVERY_EVENT}
        held |= {intent.intent_id: STALE for intent in profiles if _ends_early(intent, situation)}
    if is_released:
        return held
    # The first load of a destination is new in every row; there is nothing yet to measure a jump against.
    added = [intent for intent in profiles if _is_new_pause(intent, situation)]
    if not situation.is_first and _is_mass(rules.newly_paused, len(added), situation.count_customers):
        held |= {intent.intent_id: TOO_MANY_PAUSES for intent in added}
    if _is_mass(rules.vanished, len(situation.vanished), situation.count_held):
        held |= {intent.intent_id: TOO_MANY_VANISHED for intent in profiles if intent.subject_id in situation.vanished}
    return held | _offers_over_budget(rules, situation, intents)


def told(kind: str, held: Mapping[str, str]) -> tuple[str, ...]:
    """One line per reason with its count, for a report."""
    return tuple(f"held {count} {kind}: {reason}" for reason, count in sorted(Counter(held.values()).items()))


def _is_mass(guard: MassChange, count: int, base: int) -> bool:
    return count > guard.max_share * base and count > guard.floor_customers


def _is_new_pause(intent: Intent, situation: Situation) -> bool:
    return is_paused(intent.payload) and not is_paused(situation.held_payloads.get(intent.subject_id, {}))


def _ends_early(intent: Intent, situation: Situation) -> bool:
    """Whether some pause that the destination holds would stop, or stop sooner, by this intent."""
    before = situation.held_payloads.get(intent.subject_id, {})
    if any(before.get(pause) is True and intent.payload.get(pause) is not True for pause in PAUSES):
        return True
    # RFC 3339 in UTC to the second sorts as text.
    until_before, until_after = before.get("roomtone_pause_until"), intent.payload.get("roomtone_pause_until")
    return bool(is_paused(before) and until_before and until_after and until_after < until_before)


def _offers_over_budget(rules: Guardrails, situation: Situation, intents: Sequence[Intent]) -> dict[str, str]:
    # What was tried before may have arrived already, so it is not new.
    offers = [i for i in intents if i.payload.get("message_class") == "marketing" and i.attempts == 0]
    room = max(0, rules.offers.max_per_day - situation.offers_today)
    return {intent.intent_id: TOO_MANY_OFFERS for intent in offers[room:]}
