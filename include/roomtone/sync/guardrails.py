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
from statistics import median
from typing import Any

from roomtone.policies.guardrails import Guardrails, MassChange
from roomtone.sync.desired import PAUSES, PROFILE_PROPERTIES, RECOVERY_EVENT, is_paused
from roomtone.sync.plan import Intent

STOPPED = "kill switch is on"
STALE = "data is stale"
TOO_MANY_PAUSES = "too many customers newly paused"
TOO_MANY_VANISHED = "too many customers vanished from the mart"
TOO_MANY_OFFERS = "offers a day are used up"
DEGRADED = "scored without the model"
ROLLED_BACK = "rolled back"
NO_CONSENT = "no consent to it at the platform"
UNCONFIRMED = "the pass is not confirmed by validation any more"

# What a person may let go; the rest ends only when its reason does.
RELEASABLE = (TOO_MANY_PAUSES, TOO_MANY_VANISHED, TOO_MANY_OFFERS, ROLLED_BACK)
# The runs whose median says what is usual.
MEDIAN_RUNS = 30


@dataclass(frozen=True)
class Situation:
    """What is known when a sync sends.

    `as_of`: the instant up to which every source is known. `held_payloads`: the acknowledged payload per customer whose
    profile is to change. `is_first`: this destination has never acknowledged a profile, or none since all history of
    the brand is known. `count_held`: how many profiles it has acknowledged. `offers_today`: marketing events of the
    last 24 hours. `vanished`: customers that the destination holds and the mart has lost. `newly_paused_before`: how
    many customers each of the last runs newly paused. `released`: reasons that a person has let go for this run.
    `is_rolled_back`: a run was taken back here and nobody has said yet that the sync may go on.
    """

    now: datetime
    as_of: datetime
    count_customers: int
    count_held: int
    is_first: bool
    offers_today: int
    held_payloads: Mapping[str, Mapping[str, Any]]
    vanished: AbstractSet[str]
    newly_paused_before: Sequence[int] = ()
    released: AbstractSet[str] = frozenset()
    is_degraded: bool = False
    is_confirmed: bool = True
    is_rolled_back: bool = False

    @classmethod
    def without_data(cls, now: datetime, *, is_first: bool) -> "Situation":
        """Of a sending that no pass asked for, to which how old or how many the data are does not matter."""
        return cls(now, now, 0, 0, is_first, 0, {}, frozenset())


def holds(
    rules: Guardrails, situation: Situation, intents: Sequence[Intent], is_released: bool = False
) -> dict[str, str]:
    """The reason per id of each intent that may not leave now.

    `is_released`: a person has let go whatever is held for its number. What `timely` holds is not released by it.
    """
    released = frozenset(RELEASABLE) if is_released else situation.released
    held = timely(rules, situation, intents)
    if rules.kill_switch.is_on or not situation.is_confirmed:
        return held
    if situation.is_rolled_back and ROLLED_BACK not in released:
        return {intent.intent_id: ROLLED_BACK for intent in intents} | held
    profiles = [intent for intent in intents if intent.kind == PROFILE_PROPERTIES]
    # The first load of a destination is new in every row; there is nothing yet to measure a jump against.
    added = newly_paused(intents, situation)
    if not situation.is_first and TOO_MANY_PAUSES not in released and len(added) > pause_limit(rules, situation):
        held |= {intent.intent_id: TOO_MANY_PAUSES for intent in added}
    if TOO_MANY_VANISHED not in released and _is_mass(rules.vanished, len(situation.vanished), situation.count_held):
        held |= {intent.intent_id: TOO_MANY_VANISHED for intent in profiles if intent.subject_id in situation.vanished}
    if TOO_MANY_OFFERS in released:
        return held
    return held | _offers_over_budget(rules, situation, [i for i in intents if i.intent_id not in held])


def timely(rules: Guardrails, situation: Situation, intents: Sequence[Intent]) -> dict[str, str]:
    """What may not leave at this very instant, whatever a person lets go: asked again before each batch."""
    if rules.kill_switch.is_on:
        return {intent.intent_id: STOPPED for intent in intents}
    if not situation.is_confirmed:
        return {intent.intent_id: UNCONFIRMED for intent in intents}
    held: dict[str, str] = {}
    if situation.is_degraded:
        held |= {intent.intent_id: DEGRADED for intent in intents if is_offer(intent)}
    if situation.now - situation.as_of > timedelta(minutes=rules.freshness.max_age_minutes):
        held |= {intent.intent_id: STALE for intent in intents if intent.kind == RECOVERY_EVENT}
        held |= {
            intent.intent_id: STALE
            for intent in intents
            if intent.kind == PROFILE_PROPERTIES and _ends_early(intent, situation)
        }
    return held


def newly_paused(intents: Sequence[Intent], situation: Situation) -> list[Intent]:
    """The intents that would pause somebody whom nothing pauses at the destination."""
    return [i for i in intents if i.kind == PROFILE_PROPERTIES and _is_new_pause(i, situation)]


def pause_limit(rules: Guardrails, situation: Situation) -> int:
    """How many customers one run may newly pause: a share of the base, or a multiple of what the last runs did."""
    guard = rules.newly_paused
    limits = [float(guard.floor_customers), guard.max_share * situation.count_customers]
    if guard.median_multiple is not None and situation.newly_paused_before:
        limits.append(guard.median_multiple * median(situation.newly_paused_before))
    return int(max(limits))


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


def is_offer(intent: Intent) -> bool:
    """Whether an intent is marketing: it needs consent, costs money and cannot be recalled."""
    return intent.kind == RECOVERY_EVENT and intent.payload.get("message_class") == "marketing"


def _offers_over_budget(rules: Guardrails, situation: Situation, intents: Sequence[Intent]) -> dict[str, str]:
    # What was tried before may have arrived already, so it is not new.
    offers = [i for i in intents if is_offer(i) and i.attempts == 0]
    room = max(0, rules.offers.max_per_day - situation.offers_today)
    return {intent.intent_id: TOO_MANY_OFFERS for intent in offers[room:]}
