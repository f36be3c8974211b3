"""One extraction: finish what was cut off, read what is new, land it, index it, report it."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import sqlalchemy as sa

from roomtone.errors import RoomtoneError
from roomtone.extract.files import FilesSource
from roomtone.extract.inbox import WebhookSource
from roomtone.extract.index import VersionIndex
from roomtone.extract.intake import Intake, StreamCount
from roomtone.extract.klaviyo import KlaviyoSource
from roomtone.extract.landing import Landing, held
from roomtone.extract.received import Cursors, Record, Refused, Source, UnfinishedError
from roomtone.extract.shop import ShopSource
from roomtone.extract.zendesk import ZendeskSource
from roomtone.rate_window import RateWindow
from roomtone.settings import Settings
from roomtone.stores.ledger import calls_before, note_calls
from roomtone.stores.operational import OperationalStore
from roomtone.stores.raw import COUNTS


@dataclass(frozen=True)
class Opening:
    """What a source may need to begin with."""

    settings: Settings
    index: VersionIndex
    as_of: datetime
    store: OperationalStore


SOURCES: Mapping[str, Callable[[Opening], Source]] = {
    "files": lambda opening: FilesSource(opening.settings.files_dir),
    "klaviyo": lambda opening: KlaviyoSource(opening.settings.connection("klaviyo"), opening.as_of),
    "shop": lambda opening: ShopSource(opening.settings.connection("shop")),
    "webhook": lambda opening: WebhookSource(opening.settings, opening.store),
    "zendesk": lambda opening: ZendeskSource(opening.settings.connection("zendesk"), opening.index, opening.as_of),
}


@dataclass(frozen=True)
class ExtractReport:
    """What one extraction did.

    `load_id` is None when nothing new came. `recovered` are loads that an earlier, killed run had begun and this one
    finished or indexed. `ignored` is what lies in the source and is no input. `unfinished` says why the source gave out
    before its end, or is empty. `seconds` is the time the whole took.
    """

    source: str
    load_id: str | None
    streams: Mapping[str, StreamCount]
    recovered: tuple[str, ...]
    ignored: tuple[str, ...]
    unfinished: str
    seconds: float

    @property
    def total(self) -> StreamCount:
        counts = self.streams.values()
        return StreamCount(
            sum(count.read for count in counts),
            sum(count.landed for count in counts),
            sum(count.duplicate for count in counts),
            sum(count.quarantined for count in counts),
        )


def extract(settings: Settings, source: str, as_of: datetime) -> ExtractReport:
    """Bring everything new of `source` into the raw store; `as_of` (aware) becomes its `received_at`.

    Raises RoomtoneError when the source or the disk fails in a way that a person must mend. Whatever had landed before
    stays, and the next run goes on from there.
    """
    begun = time.perf_counter()
    maker = SOURCES.get(source)
    if maker is None:
        known = ", ".join(sorted(SOURCES))
        raise RoomtoneError("source", f"{source!r} is not known", f"use one of {known} in ROOMTONE_SOURCES")
    store = OperationalStore(settings)
    try:
        index = VersionIndex(store, source)
        reader = maker(Opening(settings, index, as_of, store))
        with held(settings, source), _one_limit(store, source, reader.paces, as_of):
            landing = Landing(settings, source)
            landing.recover()
            recovered = index.follow(settings)
            run = _Run(reader, Intake(source, as_of, index.known))
            load_id = landing.land(run.tables)
            if load_id is not None:
                index.follow(settings)
            elif run.intake.counts:
                index.record_unlanded(run.intake.counts, as_of)
            if isinstance(reader, WebhookSource) and run.failure is None:
                reader.mark_landed()
        if run.failure is not None:
            raise run.failure
        return ExtractReport(
            source=source,
            load_id=load_id,
            streams=dict(sorted(run.intake.counts.items())),
            recovered=tuple(load.load_id for load in recovered),
            ignored=tuple(reader.ignored),
            unfinished=run.unfinished,
            seconds=time.perf_counter() - begun,
        )
    except sa.exc.OperationalError as error:
        raise RoomtoneError(
            "operational store",
            f"cannot be used ({error.orig})",
            "free the disk or end what locks it, then run again: nothing is lost",
        ) from error
    finally:
        store.close()


@contextmanager
def _one_limit(
    store: OperationalStore, source: str, paces: Mapping[str, RateWindow], as_of: datetime
) -> Iterator[None]:
    """Counts the calls of the run before towards the vendor's limits, and this run's for the next one."""
    if not paces:
        yield
        return
    begun = time.monotonic()
    caller = f"extract {source}"
    before = calls_before(store, caller, as_of)
    for name, pace in paces.items():
        pace.remember(before.get(name, ()), begun)
    try:
        yield
    finally:
        ended = time.monotonic()
        made = {name: pace.ages(ended) for name, pace in paces.items()}
        note_calls(store, caller, made, as_of + timedelta(seconds=ended - begun))


class _Run:
    """Reads a source into tables, and keeps what it read when the source fails half-way."""

    def __init__(self, source: Source, intake: Intake) -> None:
        self._source = source
        self.intake = intake
        self.unfinished = ""
        self.failure: RoomtoneError | None = None

    def tables(self, cursors: Cursors) -> Iterator[tuple[str, pa.Table]]:
        before = dict(cursors)
        yield from self.intake.tables(self._records(cursors))
        # Without news and with the cursors where they were there is nothing to keep, so no load is made.
        if self.intake.has_news() or cursors != before:
            yield COUNTS, self.intake.counts_table()

    def _records(self, cursors: Cursors) -> Iterator[Record | Refused]:
        try:
            yield from self._source.read(cursors)
        except UnfinishedError as failure:
            self.unfinished = str(failure)
        except RoomtoneError as failure:
            self.failure = failure
