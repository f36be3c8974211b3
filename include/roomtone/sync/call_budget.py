"""A destination that is open: what the sync before has called counts towards its limits, and its clock is compared."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime

from roomtone import clock
from roomtone.settings import Settings
from roomtone.stores.heartbeats import raise_alert
from roomtone.stores.ledger import calls_before, note_calls
from roomtone.stores.operational import OperationalStore
from roomtone.sync.destinations import open_destination
from roomtone.sync.destinations.base import Destination
from roomtone.sync.transport import Timing

log = logging.getLogger(__name__)


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
            _compare_clocks(store, name, target.clock_skew(now()))


def _compare_clocks(store: OperationalStore, name: str, skew: float | None) -> None:
    """Raises an alert, once a day for each error: pauses begin and end by the clock of this machine."""
    if skew is not None and abs(skew) > clock.MOST_SKEW_SECONDS:
        today = datetime.now(UTC)
        way = "ahead of" if skew > 0 else "behind"
        subject = f"{round(abs(skew) / 60)} minutes {way} {name} on {today:%Y-%m-%d}"
        log.error("alert: this machine's clock is %s; set it by NTP", subject)
        raise_alert(store, "clock", subject, today)
