"""A destination that is open: what the sync before has called a moment ago counts towards the vendor's limits too."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime

from roomtone.settings import Settings
from roomtone.stores.ledger import calls_before, note_calls
from roomtone.stores.operational import OperationalStore
from roomtone.sync.destinations import open_destination
from roomtone.sync.destinations.base import Destination
from roomtone.sync.transport import Timing


@contextmanager
def opened(
    settings: Settings,
    store: OperationalStore,
    name: str,
    sync_run_id: int,
    now: Callable[[], datetime],
    *,
    timing: Timing | None = None,
) -> Iterator[Destination]:
    """The destination `name` for the block, under the lease of its sync; raises as `open_destination` does.

    A process that is killed leaves no note of its calls: the vendor's own 429 then says when to go on.
    """
    caller = f"sync {name}"
    with closing(open_destination(settings, store, name, sync_run_id, timing)) as target:
        target.remember_calls(calls_before(store, caller, now()))
        try:
            yield target
        finally:
            if ages := target.call_ages():
                note_calls(store, caller, ages, now())
