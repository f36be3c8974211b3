"""The destinations by name."""

from collections.abc import Callable

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings
from roomtone.stores.operational import OperationalStore
from roomtone.sync.destinations.base import Destination
from roomtone.sync.destinations.braze import Braze
from roomtone.sync.destinations.customerio import CustomerIo
from roomtone.sync.destinations.files import Files
from roomtone.sync.destinations.klaviyo import Klaviyo
from roomtone.sync.destinations.request_tracker import RequestTracker
from roomtone.sync.destinations.sftp import Sftp
from roomtone.sync.destinations.tables import Csv, Parquet
from roomtone.sync.destinations.webhook import Webhook
from roomtone.sync.destinations.zendesk import Zendesk
from roomtone.sync.transport import Timing

_Opener = Callable[[Settings, OperationalStore, int, Timing | None], Destination]

# A new destination is one file, one line here and one line in the table of tests/sync/test_conformance.py.
_KNOWN: dict[type[Destination], _Opener] = {
    Files: lambda settings, _, run, __: Files(settings, run),
    Csv: lambda settings, _, run, __: Csv(settings, run),
    Parquet: lambda settings, _, run, __: Parquet(settings, run),
    Sftp: lambda settings, _, run, __: Sftp(settings.connection("sftp"), run),
    Klaviyo: lambda settings, store, _, timing: Klaviyo(settings.connection("klaviyo"), store, timing),
    Braze: lambda settings, store, _, timing: Braze(settings.connection("braze"), store, timing),
    CustomerIo: lambda settings, store, _, timing: CustomerIo(settings.connection("customerio"), store, timing),
    Webhook: lambda settings, _, __, timing: Webhook(settings.connection("webhook"), timing),
    Zendesk: lambda settings, _, __, timing: Zendesk(settings.connection("zendesk"), timing),
    RequestTracker: lambda settings, _, __, timing: RequestTracker(settings.connection("request_tracker"), timing),
}
_CLASSES: dict[str, type[Destination]] = {declared.name: declared for declared in _KNOWN}
NAMES = tuple(_CLASSES)


def destination_class(name: str) -> type[Destination]:
    """What a destination declares of itself; raises RoomtoneError for one that does not exist."""
    try:
        return _CLASSES[name]
    except KeyError:
        known = ", ".join(NAMES)
        raise RoomtoneError(
            "destination", f"{name!r} is unknown", f"use one of {known} in ROOMTONE_DESTINATIONS"
        ) from None


def open_destination(
    settings: Settings, store: OperationalStore, name: str, sync_run_id: int, timing: Timing | None = None
) -> Destination:
    """The destination `name`, connected; raises RoomtoneError for an unknown one or one without an address."""
    return _KNOWN[destination_class(name)](settings, store, sync_run_id, timing)
