"""What goes wrong at the marketing platform, drawn from a seed: busy, broken, forgetful, late, and edited by hand."""

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from roomtone.sandbox.schedule import Schedule
from roomtone.sandbox.web import RefusedError, Reply

if TYPE_CHECKING:
    from roomtone.sandbox.marketing import Marketing

_SLOW_SECONDS = 0.05
_ASKED_TO_WAIT = "1"


@dataclass(frozen=True)
class FaultRates:
    """Shares from 0 to 1: of calls for the first six, of 202s, of rows of a job, of profiles.

    `lag_seconds` is the longest time until an effect is visible. Merges and hand edits are spread over
    `incident_seconds` from the moment at which the plan begins.
    """

    busy_with_wait: float = 0.0
    busy_without_wait: float = 0.0
    error_before: float = 0.0
    error_after: float = 0.0
    cut_after: float = 0.0
    slow_page: float = 0.0
    duplicate_page: float = 0.0
    dropped: float = 0.0
    failed_rows: float = 0.0
    merged: float = 0.0
    hand_edited: float = 0.0
    lag_seconds: float = 0.0
    incident_seconds: float = 600.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int | float) or not 0 <= value <= (1e6 if "seconds" in field.name else 1):
                raise ValueError(f"{field.name}: {value!r} is out of bounds")


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong with one call; `has_effect`: the call was carried out all the same."""

    kind: str
    has_effect: bool

    def reply(self, honest: Reply | None) -> Reply:
        """What the client gets in place of the honest reply."""
        if self.kind == "busy_with_wait":
            return Reply(429, {"errors": []}, {"Retry-After": _ASKED_TO_WAIT})
        if self.kind == "busy_without_wait":
            return Reply(429, {"errors": []})
        if honest is None or self.kind == "error_after":
            return Reply(500, {"errors": []})
        if self.kind == "cut_after":
            honest.is_cut = True
        elif self.kind == "slow_page":
            honest.delay_seconds = _SLOW_SECONDS
        elif self.kind == "duplicate_page" and isinstance(honest.body, dict) and isinstance(honest.body["data"], list):
            honest.body["data"] = honest.body["data"] * 2
        return honest


class FaultPlan:
    """Draws faults; the same seed and the same calls in the same order give the same ones."""

    def __init__(self, seed: int, rates: FaultRates) -> None:
        self.seed = seed
        self.rates = rates
        self.random = Random(seed)

    def draw(self, method: str) -> Fault | None:
        """The fault of the next call, if any: what befalls writes also befalls reads, and pages only reads."""
        kinds = ["busy_with_wait", "busy_without_wait", "error_before", "error_after", "cut_after"]
        if method == "GET":
            kinds += ["slow_page", "duplicate_page"]
        drawn = self.random.random()
        for kind in kinds:
            drawn -= getattr(self.rates, kind)
            if drawn < 0:
                return Fault(kind, kind not in {"busy_with_wait", "busy_without_wait", "error_before"})
        return None

    def drops(self) -> bool:
        """Whether something that was accepted gets lost."""
        return self.rates.dropped > 0 and self.random.random() < self.rates.dropped

    def refuse_row(self) -> None:
        """Raises RefusedError for a row of a job that fails by bad luck."""
        if self.rates.failed_rows > 0 and self.random.random() < self.rates.failed_rows:
            raise RefusedError(503, "unavailable", "The row could not be processed.")

    def visibility_lag(self) -> timedelta:
        """How long the next effect stays unseen."""
        if self.rates.lag_seconds == 0:
            return timedelta(0)
        return timedelta(seconds=self.random.uniform(0, self.rates.lag_seconds))


NO_FAULTS = FaultPlan(0, FaultRates())


def plan_incidents(marketing: "Marketing", schedule: Schedule, plan: FaultPlan, now: datetime) -> None:
    """Spreads merges and hand edits over the time of a plan."""
    for profile in list(marketing.profiles.values()):
        at = now + timedelta(seconds=plan.random.uniform(0, plan.rates.incident_seconds))
        if plan.random.random() < plan.rates.merged:
            schedule.add(at, partial(marketing.merge, profile))
        if plan.random.random() < plan.rates.hand_edited:
            turned = not profile.properties.get("roomtone_pause_sales")
            edit = {"roomtone_pause_sales": turned, "favourite_colour": "blue"}
            schedule.add(at, partial(marketing.edit_by_hand, profile, edit))
