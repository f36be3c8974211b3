"""What the tasks run: one function a stage, each handing on the pass's sequence number and nothing a customer wrote.

The libraries of a stage are imported when it runs: every task parses its DAG file, so that file has to stay light.
"""

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from roomtone import clock
from roomtone.airflow import assets, metrics
from roomtone.airflow.connections import settings_from_airflow
from roomtone.errors import RoomtoneError
from roomtone.settings import Settings
from roomtone.stores import inbox
from roomtone.stores.ledger import newest_source_read
from roomtone.stores.operational import OperationalStore, Pass, passes

log = logging.getLogger(__name__)

WEBHOOK = "webhook"

_MARTS_MAY_WAIT = timedelta(minutes=1)
# Publishing the marts of a large brand keeps the machine busy. From so long on it gets a tenth of the time.
_LONG_PUBLISHING = timedelta(seconds=20)
_TIMES_AS_LONG = 10
_STEPPED_BACK = 19
# Twice what arrives during a pass of ten seconds in the worst burst that is provided for.
_A_BACKLOG = 2_000
# How long a sync goes on with what is no pause although a pass waits.
_UNDISTURBED_SECONDS = 1.5


def extract_source(source: str) -> dict[str, int]:
    """Land what `source` has that is new. Returns the counts of the report."""
    from roomtone import pipeline
    from roomtone.extract import extract

    settings = settings_from_airflow()
    as_of = clock.now(settings)
    with metrics.stage(settings, "extract", source):
        report = extract(settings, source, as_of)
    pipeline.note_read(settings, source, as_of, report.unfinished)
    return _told(f"extract {source}", report)


def extract_webhooks(is_needless_without: bool = False) -> dict[str, int]:
    """Land what waits in the inbox. Returns the counts of the report, none when webhooks are not a source.

    A pass that is needless without them is skipped when a valid pass before it has taken them all.
    """
    settings = settings_from_airflow()
    if WEBHOOK not in settings.sources:
        return {}
    counts = extract_source(WEBHOOK)
    if is_needless_without and not any(counts.values()) and _is_all_decided(settings):
        raise AirflowSkipException("a pass before this one has taken all that waited")
    return counts


def is_called_by_webhooks_alone(events: Mapping[Any, Sequence[Any]] | None) -> bool:
    """Whether nothing but the inbox called for this run; `events` are Airflow's, by asset."""
    called_by = {asset.name for asset, found in (events or {}).items() if found}
    return called_by == {assets.INBOX.name}


@contextmanager
def one_warehouse() -> Iterator[None]:
    """The stages in the block open the warehouse once together, and nobody else does meanwhile."""
    from roomtone.stores import warehouse

    with warehouse.kept_open(settings_from_airflow()):
        yield


def begin_and_score() -> int:
    """Begin a pass and score what it finds; its `as_of` is asked of the clock here, once. Returns its sequence."""
    from roomtone import pipeline
    from roomtone.score.scoring import score_pass

    settings = settings_from_airflow()
    with metrics.stage(settings, "score"):
        current = pipeline.begin(settings, clock.now(settings))
        report = score_pass(settings, current)
    if report.failure:
        # Pauses have to end on time without new scores too, so the pass goes on.
        log.error("score %s: %s", current.pass_id, report.failure)
        pipeline.note_degraded(settings, current)
    _told(f"score {current.pass_id}", report)
    return current.sequence


def transform_pass(sequence: int) -> int:
    """Build the warehouse for the pass. Returns its sequence."""
    from roomtone.transform import transform

    settings = settings_from_airflow()
    current = _find(settings, sequence)
    with metrics.stage(settings, "transform"):
        _told(f"transform {current.pass_id}", transform(settings, current))
    return sequence


def validate_pass(sequence: int) -> int:
    """Check the pass at its boundaries. Returns its sequence; an invalid pass fails for good: its rows stay."""
    from roomtone.validate import validate

    settings = settings_from_airflow()
    current = _find(settings, sequence)
    with metrics.stage(settings, "validate"):
        report = validate(settings, current)
    _told(f"validate {current.pass_id}", report)
    if not report.is_valid:
        next_step = "read its validations with `roomtone doctor`; nothing was synced"
        error = RoomtoneError(current.pass_id, "is not valid", next_step)
        raise AirflowFailException(str(error))
    return sequence


def sync_pass(sequence: int, destination: str) -> dict[str, int]:
    """Bring `destination` to the state that the validated pass wants. Returns the counts of the report."""
    from roomtone.sync import sync

    settings = settings_from_airflow()
    current = _find(settings, sequence)
    with metrics.stage(settings, "sync", destination):
        report = sync(settings, current, destination, is_awaited=_awaited(settings, current))
        counts = _told(f"sync {destination} {current.pass_id}", report)
    metrics.tell(settings)
    return counts


def reconcile_destination(destination: str) -> dict[str, int]:
    """Read `destination` back, repair drift and report what people changed. Returns the counts of the report."""
    from roomtone.sync.reconcile import reconcile

    report = reconcile(settings_from_airflow(), destination)
    for note in report.notes:
        log.warning("reconcile %s: %s", destination, note)
    return _told(f"reconcile {destination}", report)


def weigh_risks() -> dict[str, int]:
    """Weigh anew what a promotion would risk with each customer; the next pass takes it in. Returns the counts."""
    from roomtone.score import risk_table

    settings = settings_from_airflow()
    return _told("risk", risk_table.weigh(settings, clock.now(settings)))


def marts_may_wait() -> bool:
    """Whether the marts need not be published now: they are young for what they cost, or people wait for a pass and the
    marts are less than a minute old.

    A pause goes before a report.
    """
    settings = settings_from_airflow()
    store = OperationalStore(settings)
    try:
        age, took = _last_publishing(store)
        if age is None or _is_young(age, took):
            return age is not None
        return age < _MARTS_MAY_WAIT and inbox.state(store).count_waiting > 0
    finally:
        store.close()


def _last_publishing(store: OperationalStore) -> tuple[timedelta | None, timedelta]:
    """How long ago marts were last published (None: never), and how long after their validation that was."""
    query = sa.select(passes.c.validated_at, passes.c.published_at).where(passes.c.published_at.is_not(None))
    with store.begin() as connection:
        last = connection.execute(query.order_by(passes.c.published_at.desc()).limit(1)).one_or_none()
    if last is None:
        return None, timedelta()
    return datetime.now(UTC) - last.published_at, last.published_at - (last.validated_at or last.published_at)


def _is_young(age: timedelta, took: timedelta) -> bool:
    return took >= _LONG_PUBLISHING and age < _TIMES_AS_LONG * took


def is_backlog_left() -> bool:
    """Whether far more waits in the inbox than can have come during a pass, which takes a part of a backlog at most.

    What came during it has called for the next one by itself.
    """
    settings = settings_from_airflow()
    if WEBHOOK not in settings.sources:
        return False
    store = OperationalStore(settings)
    try:
        return inbox.state(store).count_waiting >= _A_BACKLOG
    finally:
        store.close()


def copy_pass(sequence: int) -> int:
    """Copy the warehouse for publishing. Returns the sequence. Skipped once a newer pass has replaced the marts, and
    where they have been published, while this waited, at too high a cost to do it again.
    """
    from roomtone.sync.publish import take_copy

    settings = settings_from_airflow()
    current = _find(settings, sequence)
    store = OperationalStore(settings)
    try:
        age, took = _last_publishing(store)
    finally:
        store.close()
    if age is not None and _is_young(age, took):
        raise AirflowSkipException(
            f"the marts are {age.seconds} s old and took {took.seconds} s; a later pass publishes"
        )
    with _skipped_if_replaced(settings, current):
        take_copy(settings, current)
    return sequence


def step_back() -> None:
    """For the rest of this task's process, let everything else on the machine go first."""
    os.nice(_STEPPED_BACK)


def publish_pass(sequence: int) -> int:
    """Publish the marts of a validated pass. Returns its sequence. Skipped once a newer pass has replaced them."""
    from roomtone.sync.publish import publish

    settings = settings_from_airflow()
    current = _find(settings, sequence)
    with _skipped_if_replaced(settings, current), metrics.stage(settings, "publish"):
        _told(f"publish {current.pass_id}", publish(settings, current))
    return sequence


@contextmanager
def _skipped_if_replaced(settings: Settings, current: Pass) -> Iterator[None]:
    try:
        yield
    except RoomtoneError as error:
        newest = _newest_sequence(settings)
        if error.thing == current.pass_id and newest > current.sequence:
            raise AirflowSkipException(f"{error}: pass {newest} has begun and publishes for itself") from error
        raise


def latest_sequence(events: Sequence[Any]) -> int:
    """Sequence of the pass that the newest of `events` (newest first) announced."""
    if not events:
        raise RoomtoneError("publish", "no pass has been validated yet", "run react first")
    return int(events[0].extra["pass_sequence"])


def _awaited(settings: Settings, current: Pass) -> Callable[[], bool]:
    """Tells whether the next pass waits for this one's sync: a message came by webhook, or a poll since it began.

    A helpdesk takes a few hundred changes a minute, and nobody's pause waits for the routing of a bad hour.
    """
    began = time.monotonic()
    polled = [source for source in settings.sources if source != WEBHOOK]

    def is_awaited() -> bool:
        gone = time.monotonic() - began
        if gone < _UNDISTURBED_SECONDS:
            return False
        store = OperationalStore(settings)
        try:
            polled_at = newest_source_read(store, polled)
            is_polled = polled_at is not None and polled_at > current.as_of
            return is_polled or inbox.state(store).count_waiting > 0
        finally:
            store.close()

    return is_awaited


def _find(settings: Settings, sequence: int) -> Pass:
    store = OperationalStore(settings)
    try:
        return store.find_pass(sequence)
    finally:
        store.close()


def _is_all_decided(settings: Settings) -> bool:
    """Whether the newest pass is valid and began after the newest delivery had landed: a failed one does not count."""
    store = OperationalStore(settings)
    try:
        with store.begin() as connection:
            newest = connection.execute(sa.select(passes).order_by(passes.c.sequence.desc()).limit(1)).one_or_none()
        landed_at = inbox.newest_landed_at(store)
        return newest is not None and bool(newest.is_valid) and (landed_at is None or landed_at <= newest.begun_at)
    finally:
        store.close()


def _newest_sequence(settings: Settings) -> int:
    store = OperationalStore(settings)
    try:
        with store.begin() as connection:
            return int(connection.execute(sa.select(sa.func.max(passes.c.sequence))).scalar_one() or 0)
    finally:
        store.close()


def _told(what: str, report: Any) -> dict[str, int]:
    """The counts of a report, logged; text in a report stays out of the log and of XCom."""
    counts = dict(_counts("", report))
    log.info("%s: %s", what, ", ".join(f"{name}={value}" for name, value in counts.items()) or "done")
    return counts


def _counts(name: str, value: Any) -> Iterator[tuple[str, int]]:
    """Numbers in `value` under dotted names: fields of dataclasses and entries of dictionaries, to any depth."""
    if isinstance(value, int):
        yield name, int(value)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _counts(f"{name}.{field.name}".lstrip("."), getattr(value, field.name))
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _counts(f"{name}.{key}".lstrip("."), entry)
