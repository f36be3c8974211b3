"""Lands tables in the raw store through dlt, which commits rows and cursors of a run as one load package.

What dlt's filesystem destination does when it is killed was tried step by step (tests/extract/test_kill.py): before
the package is committed nothing has happened; from then on it lies in the working folder and the next run loads it; the
cursors are written a moment before the load's record, which is why cursors without a record are taken back here.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from roomtone.errors import RoomtoneError
from roomtone.extract.received import Cursors
from roomtone.settings import Settings
from roomtone.stores import raw
from roomtone.stores.locks import exclusive

WAIT_SECONDS = 120.0
_POLL_SECONDS = 0.1
_RESOURCE = "landing"
_DISK_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO, errno.EMFILE}
)

Fill = Callable[[Cursors], Iterator[tuple[str, pa.Table]]]


class Landing:
    """The way of one source into the raw store. Hold it (`held`) while using it."""

    def __init__(self, settings: Settings, source: str) -> None:
        self._source = source
        self._dataset = settings.raw_dir / source
        self._working = working_folder(settings)
        self._name = f"roomtone_{source}"
        with _explained(self._source, self._working):
            self._pipeline = _pipeline(self._name, self._working, settings.raw_dir, source)

    def recover(self) -> None:
        """Finish what a killed run had packed, and take the cursors from the raw store where it is ahead."""
        with _explained(self._source, self._working):
            for state in raw.uncommitted_states(self._dataset):
                state.unlink(missing_ok=True)
            self._pipeline.sync_destination()
            if self._pipeline.has_pending_data:
                self._load_packages()
                self._pipeline.sync_destination()
            self._drop_leftovers()

    def land(self, fill: Fill) -> str | None:
        """Land what `fill(cursors)` gives as one load and return its id; None when it gave nothing.

        `cursors` are those of the last committed load; what `fill` makes of them is committed with the tables or not
        at all.
        """
        import dlt

        def landing() -> Iterator[Any]:
            cursors = dlt.current.resource_state(_RESOURCE)
            for name, table in fill(cursors):
                yield dlt.mark.with_table_name(table, name)

        with _explained(self._source, self._working):
            self._pipeline.extract(dlt.resource(landing, name=_RESOURCE), loader_file_format="parquet")
            load_ids = self._load_packages()
            self._drop_leftovers()
        return load_ids[-1] if load_ids else None

    def _load_packages(self) -> list[str]:
        self._pipeline.normalize()
        # One worker makes dlt sleep for a second between two looks at its only job.
        loaded = self._pipeline.load(workers=2)
        for load_id in loaded.loads_ids:
            self._sync_to_disk(load_id)
        return [str(load_id) for load_id in loaded.loads_ids]

    def _sync_to_disk(self, load_id: str) -> None:
        for folder in [entry for entry in self._dataset.iterdir() if entry.is_dir()]:
            if files := [file for file in folder.iterdir() if load_id in file.name]:
                for path in (*files, folder):
                    raw.sync_to_disk(path)

    def _drop_leftovers(self) -> None:
        """Loaded packages and those cut off before they were whole: copies of customer data that nothing needs."""
        folder = self._working / self._name
        for leftover in (*folder.glob("load/loaded/*"), *folder.glob("load/new/*"), *folder.glob("normalize/*")):
            # What is packed and waits to be loaded.
            if leftover.is_dir() and leftover.name != "extracted":
                shutil.rmtree(leftover, ignore_errors=True)


def working_folder(settings: Settings) -> Path:
    """dlt's working folder, with packages on their way. It may be deleted: cursors come back from the raw store."""
    return settings.home / "extract"


@contextmanager
def held(settings: Settings, source: str, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Let one process at a time extract from a source; raises RoomtoneError after `wait_seconds`."""
    lock_path = working_folder(settings) / f"{source}.lock"
    with exclusive(lock_path, f"source {source}", wait_seconds):
        yield


def _pipeline(name: str, working: Path, raw_dir: Path, dataset: str) -> Any:
    # dlt takes a second to import, which nothing but an extraction should pay.
    import dlt

    from roomtone.extract.dlt_context import confine

    confine(working)
    destination = dlt.destinations.filesystem(
        bucket_url=str(raw_dir),
        layout="{table_name}/{load_id}.{file_id}.{ext}",
        max_state_files=20,
        # Timestamps are UTC without zone everywhere; dlt would add one.
        supports_tz_aware_datetime=False,
    )
    return dlt.pipeline(name, pipelines_dir=str(working), destination=destination, dataset_name=dataset)


@contextmanager
def _explained(source: str, working: Path) -> Iterator[None]:
    """Turn failures of dlt and of the disk into a RoomtoneError that repeats no data."""
    try:
        yield
    except RoomtoneError:
        raise
    except Exception as error:
        chain = list(_causes(error))
        for cause in chain:
            # The version index is asked while dlt reads; its failures are told by whoever opened it.
            if isinstance(cause, (RoomtoneError, sa.exc.OperationalError)):
                raise cause from None
        for cause in chain:
            if isinstance(cause, OSError) and cause.errno in _DISK_ERRORS:
                raise RoomtoneError(
                    f"landing of {source}",
                    f"{cause.filename or working.parent} cannot be written ({os.strerror(cause.errno)})",
                    "free the disk or give roomtone the right to write, then run again: nothing is lost",
                ) from error
        names = " <- ".join(type(cause).__name__ for cause in chain)
        raise RoomtoneError(
            f"landing of {source}",
            f"failed ({names})",
            f"run again; if it fails again delete {working}, which is made anew from the raw store",
        ) from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    queue: list[BaseException | None] = [error]
    while queue:
        cause = queue.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inner = getattr(cause, "exception", None)
        queue += [inner if isinstance(inner, BaseException) else None, cause.__cause__, cause.__context__]
