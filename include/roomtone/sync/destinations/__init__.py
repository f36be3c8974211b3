"""The destinations by name."""

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings
from roomtone.stores.operational import OperationalStore
from roomtone.sync.destinations.base import Destination
from roomtone.sync.destinations.files import Files
from roomtone.sync.destinations.klaviyo import Klaviyo
from roomtone.sync.destinations.zendesk import Zendesk
from roomtone.sync.transport import Timing

_CLASSES: dict[str, type[Destination]] = {"files": Files, "klaviyo": Klaviyo, "zendesk": Zendesk}
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
    declared = destination_class(name)
    if declared is Files:
        return Files(settings, sync_run_id)
    if declared is Klaviyo:
        return Klaviyo(settings.connection(name), store, timing)
    return Zendesk(settings.connection(name))
