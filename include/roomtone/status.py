"""`roomtone status`: how fresh everything is, against what was promised, and what still works while it is not."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from roomtone.settings import Settings
from roomtone.stores import heartbeats, inbox
from roomtone.stores.heartbeats import Alert, Heartbeat
from roomtone.stores.operational import OperationalStore, passes
from roomtone.stores.operational import inbox as inbox_table

# The promise, at the 95th percentile: from a message's arrival to the pause at the platform.
WEBHOOK_SECONDS = 10.0
POLL_SECONDS = 70.0
# From here on facts count as stale: see the fail-safe table in docs/runbooks/degraded.md.
STALE_AFTER = timedelta(minutes=15)
_WINDOW = timedelta(hours=1)
_ALERTS_SHOWN = timedelta(hours=24)
_SHARE = 0.95

STALE = "facts are stale: pauses stay and end when planned; none ends early, no offer is made"
SOURCE_SILENT = "what it would tell is missing; the other sources go on"
DESTINATION_SILENT = "what it is owed is kept and sent when it answers; pauses that it has end when planned"
INBOX_LATE = "webhooks are kept and wait; the poll of each minute takes them too"
UNSCORED = "new messages go to the normal queue unscored; pauses go on from the scores that exist"
INVALID = "the last pass was not valid: nothing of it was sent, destinations keep what they have"


@dataclass(frozen=True)
class Figure:
    """One promise and how it is kept: seconds at the 95th percentile over the last hour, None where nothing came."""

    way: str
    objective_seconds: float
    measured_seconds: float | None
    count: int

    @property
    def is_met(self) -> bool:
        return self.measured_seconds is None or self.measured_seconds <= self.objective_seconds


@dataclass(frozen=True)
class Degraded:
    """Something that does not work now, and what that means until it does."""

    what: str
    since: datetime | None
    meaning: str


@dataclass(frozen=True)
class Status:
    """Everything that `roomtone status` shows."""

    now: datetime
    is_fresh: bool
    figures: tuple[Figure, ...]
    heartbeats: tuple[Heartbeat, ...]
    inbox: inbox.InboxState
    degraded: tuple[Degraded, ...]
    alerts: tuple[Alert, ...]
    risk: str


def examine(settings: Settings, now: datetime) -> Status:
    """The status at `now`, an instant of the machine's clock, from the operational store alone."""
    store = OperationalStore(settings)
    try:
        beats = tuple(heartbeats.latest(store))
        waiting = inbox.state(store)
        newest = _newest_pass(store)
        figures = (
            _webhook_figure(store, now),
            _poll_figure(store, now),
        )
        alerts = tuple(heartbeats.alerts_since(store, now - _ALERTS_SHOWN))
    finally:
        store.close()
    degraded = tuple(degraded_modes(settings, beats, waiting, newest, now))
    is_fresh = not degraded and all(figure.is_met for figure in figures)
    return Status(now, is_fresh, figures, beats, waiting, degraded, alerts, risk_decision(settings))


def risk_decision(settings: Settings) -> str:
    """What weighs churn risk, and why, as the last learning left it."""
    try:
        found = json.loads((settings.risk_dir / "decision.json").read_text(encoding="utf-8"))
        return f"{found['risk_version']}: {found['line']}"
    except FileNotFoundError:
        return "the declared rule, on mood alone: `roomtone risk` has not run yet"
    except (OSError, ValueError, KeyError, TypeError):
        return f"not told: {settings.risk_dir / 'decision.json'} cannot be read; `roomtone risk` writes it within a day"


@dataclass(frozen=True)
class NewestPass:
    """When a valid pass last reached a destination, and whether the newest judged pass was valid."""

    synced_at: datetime | None
    is_valid: bool


def degraded_modes(
    settings: Settings, beats: Sequence[Heartbeat], waiting: inbox.InboxState, newest: NewestPass, now: datetime
) -> list[Degraded]:
    """What does not work, by the fail-safe table: pure, from what was noted."""
    found: list[Degraded] = []
    if newest.synced_at is None or now - newest.synced_at > STALE_AFTER:
        found.append(Degraded("facts", newest.synced_at, STALE))
    if not newest.is_valid:
        found.append(Degraded("validate", newest.synced_at, INVALID))
    meanings = {"extract": SOURCE_SILENT, "score": UNSCORED, "sync": DESTINATION_SILENT}
    known = {"extract": settings.sources, "sync": settings.destinations}
    for beat in beats:
        is_meant = beat.stage not in known or beat.subject in known[beat.stage]
        if beat.failure and beat.stage in meanings and is_meant:
            name = f"{beat.stage} {beat.subject}".strip()
            found.append(Degraded(name, beat.succeeded_at, meanings[beat.stage]))
    if waiting.oldest_at is not None and now - waiting.oldest_at > timedelta(seconds=POLL_SECONDS):
        found.append(Degraded("inbox", waiting.oldest_at, INBOX_LATE))
    return found


def _newest_pass(store: OperationalStore) -> NewestPass:
    judged = sa.select(passes.c.is_valid).where(passes.c.validated_at.is_not(None)).order_by(passes.c.sequence.desc())
    with store.begin() as connection:
        synced_at = connection.execute(sa.select(sa.func.max(passes.c.synced_at))).scalar()
        is_valid = connection.execute(judged.limit(1)).scalar()
    return NewestPass(synced_at, is_valid is not False)


def _webhook_figure(store: OperationalStore, now: datetime) -> Figure:
    """Each delivery of the last hour: from its arrival to the end of the first sync that began after it had landed."""
    recent = (
        sa.select(inbox_table.c.received_at, inbox_table.c.landed_at)
        .where(inbox_table.c.landed_at >= now - _WINDOW)
        .order_by(inbox_table.c.landed_at)
    )
    with store.begin() as connection:
        landed = connection.execute(recent).all()
    synced = _synced_passes(store, now)
    seconds = []
    position = 0
    for row in landed:
        while position < len(synced) and synced[position][0] < row.landed_at:
            position += 1
        if position < len(synced):
            seconds.append((synced[position][1] - row.received_at).total_seconds())
    return Figure("webhook", WEBHOOK_SECONDS, percentile(seconds, _SHARE), len(seconds))


def _poll_figure(store: OperationalStore, now: datetime) -> Figure:
    """Passes of the last hour: from the beginning of one to the end of the next, the longest that news can wait."""
    synced = _synced_passes(store, now)
    seconds = [(later[1] - earlier[0]).total_seconds() for earlier, later in itertools.pairwise(synced)]
    return Figure("poll", POLL_SECONDS, percentile(seconds, _SHARE), len(seconds))


def _synced_passes(store: OperationalStore, now: datetime) -> list[tuple[datetime, datetime]]:
    """(begun, synced) of the passes of the last hour that were synced, in order."""
    query = (
        sa.select(passes.c.begun_at, passes.c.synced_at)
        .where(passes.c.begun_at >= now - _WINDOW, passes.c.synced_at.is_not(None))
        .order_by(passes.c.sequence)
    )
    with store.begin() as connection:
        return [(row.begun_at, row.synced_at) for row in connection.execute(query)]


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of the values do not exceed (nearest rank); None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    rank = max(1, -(-len(ordered) * round(share * 100) // 100))
    return round(ordered[rank - 1], 3)


def as_text(found: Status) -> str:
    """The status in lines for a person."""
    lines = ["fresh" if found.is_fresh else "NOT AS PROMISED"]
    for figure in found.figures:
        measured = "nothing came" if figure.measured_seconds is None else f"{figure.measured_seconds:.1f} s"
        promised = f"{figure.objective_seconds:.0f} s promised"
        lines.append(
            f"  by {figure.way}: 95 % within {measured} in the last hour, {promised} ({figure.count} measured)"
        )
    waiting = found.inbox
    since = f", the oldest for {_age(found.now, waiting.oldest_at)}" if waiting.oldest_at else ""
    lines.append(f"  inbox: {waiting.count_waiting} waiting{since}")
    lines.append(f"  churn risk is weighed by {found.risk}")
    for beat in found.heartbeats:
        name = f"{beat.stage} {beat.subject}".strip()
        failed = f"; failed {_age(found.now, beat.failed_at)} ago: {beat.failure}" if beat.failure else ""
        lines.append(f"  {name}: {_worked(found.now, beat)}{failed}")
    lines += [f"DEGRADED {mode.what} (since {_age(found.now, mode.since)}): {mode.meaning}" for mode in found.degraded]
    lines += [f"ALERT {alert.kind} {alert.subject}: {_age(found.now, alert.raised_at)} ago" for alert in found.alerts]
    return "\n".join(lines)


def _worked(now: datetime, beat: Heartbeat) -> str:
    return f"worked {_age(now, beat.succeeded_at)} ago" if beat.succeeded_at else "has not worked yet"


def _age(now: datetime, at: datetime | None) -> str:
    if at is None:
        return "ever"
    seconds = max(0, int((now - at).total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
