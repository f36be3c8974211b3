"""One run in one process: extract, score, transform, validate, sync, publish, by the functions that the DAGs call."""

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from roomtone.settings import Settings
from roomtone.stores.heartbeats import watched
from roomtone.stores.ledger import note_first_read, note_source_read
from roomtone.stores.operational import OperationalStore, Pass

if TYPE_CHECKING:
    from roomtone.extract import ExtractReport

Progress = Callable[[str], None]

# Stages with one sign of life each; extract has one a source and sync one a destination.
_WHOLE = frozenset({"score", "transform", "validate", "publish"})
# So many refused records are told one by one.
_MOST_TOLD = 10


@dataclass
class RunReport:
    """What one run did. `seconds` by stage; `peak_memory_mib` of this process.

    `failures` kept something from being done; `notes` are one line each about what was set aside, held or looks wrong.
    """

    pass_id: str
    as_of: datetime
    stages: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    messages_scored: int = 0
    is_valid: bool = False
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def messages_per_second(self) -> float:
        """Customer messages scored over the time that scoring them took."""
        return self.messages_scored / self.seconds["score"] if self.seconds.get("score") else 0.0

    @property
    def peak_memory_mib(self) -> float:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def begin(settings: Settings, as_of: datetime) -> Pass:
    """Publish the policy files and begin a pass for `as_of`."""
    from roomtone.policies.publish import publish

    store = OperationalStore(settings)
    try:
        publish(settings, store, as_of)
        return store.begin_pass(as_of)
    finally:
        store.close()


def note_read(settings: Settings, source: str, as_of: datetime, unfinished: str) -> None:
    """Keep how far a source is known, unless a part of it is `unfinished`: what leaves must not rest on old news."""
    store = OperationalStore(settings)
    try:
        note_first_read(store, source, as_of, is_finished=not unfinished)
        if not unfinished:
            note_source_read(store, source, as_of)
    finally:
        store.close()


def note_degraded(settings: Settings, current: Pass) -> None:
    """Keep that a pass was scored without its model: it adds and ends pauses, and fires no offers."""
    store = OperationalStore(settings)
    try:
        store.mark_degraded(current)
    finally:
        store.close()


def run_once(settings: Settings, as_of: datetime, progress: Progress = lambda _: None) -> RunReport:
    """Run the whole path once. A source that fails is reported and the rest goes on; an invalid pass is not synced."""
    from roomtone.errors import RoomtoneError
    from roomtone.extract import extract
    from roomtone.score.scoring import score_pass
    from roomtone.sync import sync
    from roomtone.sync.publish import publish as publish_marts
    from roomtone.transform import transform
    from roomtone.validate import validate

    current = begin(settings, as_of)
    report = RunReport(current.pass_id, as_of)

    stage = partial(_stage, settings, report, progress)
    with stage("extract"):
        for source in settings.sources:
            try:
                with watched(settings, "extract", source):
                    extracted = extract(settings, source, as_of)
                report.stages[f"extract {source}"] = extracted
                report.failures += [extracted.unfinished] if extracted.unfinished else []
                report.notes += _quarantine_notes(settings, extracted)
                note_read(settings, source, as_of, extracted.unfinished)
            except RoomtoneError as error:
                report.failures.append(str(error))
    with stage("score"):
        scored = score_pass(settings, current)
        report.stages["score"] = scored
        report.messages_scored = scored.count_scored
        if scored.failure:
            note_degraded(settings, current)
            report.failures.append(scored.failure)
    with stage("transform"):
        report.stages["transform"] = transform(settings, current)
    with stage("validate"):
        validation = validate(settings, current)
        report.stages["validate"] = validation
        report.is_valid = validation.is_valid
        report.notes += validation.warnings
    if not report.is_valid:
        report.failures += [f"validate: {line}" for line in validation.critical]
        report.failures.append(f"{current.pass_id}: is not valid; nothing was synced or published")
        return report
    with stage("sync"):
        for destination in settings.destinations:
            try:
                with watched(settings, "sync", destination):
                    synced = sync(settings, current, destination)
                report.stages[f"sync {destination}"] = synced
                report.notes += [f"{destination}: {note}" for note in synced.notes]
            except RoomtoneError as error:
                report.failures.append(str(error))
    with stage("publish"):
        report.stages["publish"] = publish_marts(settings, current)
    return report


def _quarantine_notes(settings: Settings, extracted: "ExtractReport") -> list[str]:
    from roomtone.stores.raw import quarantined

    if not extracted.total.quarantined or extracted.load_id is None:
        return []
    found = quarantined(settings, extracted.source, extracted.load_id)
    told = found.slice(length=_MOST_TOLD).to_pylist()
    lines = [f"quarantined {row['stream']} at {row['location']}: {row['reason']}" for row in told]
    left = found.num_rows - len(told)
    folder = settings.raw_dir / extracted.source / "quarantine"
    return [*lines, f"quarantined {left} more: see {folder}"] if left else lines


@contextmanager
def _stage(settings: Settings, report: RunReport, progress: Progress, name: str) -> Iterator[None]:
    progress(name)
    started = time.perf_counter()
    try:
        with watched(settings, name) if name in _WHOLE else nullcontext():
            yield
    finally:
        report.seconds[name] = round(report.seconds.get(name, 0.0) + time.perf_counter() - started, 3)
