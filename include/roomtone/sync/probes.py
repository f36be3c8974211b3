"""What can be found out about a destination without changing anything there: for `roomtone doctor`."""

from collections.abc import Mapping
from datetime import UTC, datetime

from roomtone.errors import RoomtoneError
from roomtone.settings import Connection, Settings
from roomtone.stores.operational import OperationalStore
from roomtone.sync.desired import TICKET_ROUTING
from roomtone.sync.destinations import destination_class, open_destination
from roomtone.sync.destinations.base import Destination
from roomtone.sync.destinations.klaviyo import MEDIA_TYPE, REVISION, Klaviyo
from roomtone.sync.destinations.zendesk import Zendesk
from roomtone.sync.plan import Intent
from roomtone.sync.reconcile import lacking
from roomtone.sync.transport import Endpoint, Transport, VendorRefusedError, VendorUnreachableError

NOBODY = "roomtone-probe"

# Scopes that a Klaviyo key has to have, each with a call that needs it and changes nothing. A profile that does not
# exist is answered with 404 to whoever may write profiles; whether a key may write events cannot be asked so.
KLAVIYO_NEEDED: tuple[tuple[str, str, str], ...] = (
    ("accounts:read", "GET", "/api/accounts"),
    ("profiles:read", "GET", "/api/profiles"),
    ("profiles:write", "PATCH", f"/api/profiles/{NOBODY}"),
    ("events:read", "GET", "/api/events"),
    ("campaigns:read", "GET", "/api/campaigns"),
    ("flows:read", "GET", "/api/flows"),
    ("segments:read", "GET", "/api/segments"),
)
# Scopes that roomtone never uses: a key that has them can do more harm than it needs to when it is lost.
KLAVIYO_EXCESS: tuple[tuple[str, str, str], ...] = (
    ("templates:read", "GET", "/api/templates"),
    ("coupons:read", "GET", "/api/coupons"),
)
# What a call needs beside its path.
_PARAMS = {"/api/campaigns": {"filter": "equals(messages.channel,'email')"}}
_PROFILE = {"data": {"type": "profile", "id": NOBODY, "attributes": {}}}


def unguarded_sends(settings: Settings, store: OperationalStore, name: str) -> list[str]:
    """Live campaigns and flows that a paused customer would still get, where the destination tells; else nothing."""
    if not destination_class(name).reaches_people:
        return []
    target = open_destination(settings, store, name, 0)
    try:
        lacks = {send: lacking(send) for send in target.promotional_sends()}
        return [f"{send.kind} {send.send_id} lacks {what}" for send, what in lacks.items() if what]
    finally:
        target.close()


def probe(settings: Settings, store: OperationalStore, name: str) -> list[str]:
    """What is right about the destination `name`, one sentence each; raises RoomtoneError for what is not."""
    if not destination_class(name).reaches_people:
        return [f"writes {settings.sent_dir}"]
    target = open_destination(settings, store, name, 0)
    try:
        if isinstance(target, Klaviyo):
            return _klaviyo(settings.connection(name))
        if isinstance(target, Zendesk):
            return _zendesk(target)
        return target.probe()
    finally:
        target.close()


def _klaviyo(connection: Connection) -> list[str]:
    calls = (*KLAVIYO_NEEDED, *KLAVIYO_EXCESS)
    headers = {"Authorization": f"Klaviyo-API-Key {connection.token}", "revision": REVISION, "Accept": MEDIA_TYPE}
    http = Transport(connection, headers, [Endpoint(method, path, 1, 15) for _, method, path in calls])
    try:
        missing = [scope for scope, method, path in KLAVIYO_NEEDED if _status(http, method, path) == 403]
        if missing:
            raise RoomtoneError(
                "ROOMTONE_KLAVIYO_TOKEN",
                f"lacks {', '.join(missing)}",
                "give the key these scopes, or make one that has",
            )
        account = http.call("GET", "/api/accounts")["data"][0]["id"]
        said = [f"the key is for account {account} and has every scope that can be asked for", headroom(http.headers)]
        excess = [scope for scope, method, path in KLAVIYO_EXCESS if _status(http, method, path) == 200]
        return said + ([f"it also has {', '.join(excess)}, which roomtone never uses"] if excess else [])
    finally:
        http.close()


def _status(http: Transport, method: str, path: str) -> int:
    """What a call is answered with: 200 and 404 to whoever may make it, 403 to whoever may not."""
    body = _PROFILE if method == "PATCH" else None
    try:
        http.call(method, path, params=_PARAMS.get(path), body=body, media_type=MEDIA_TYPE)
    except VendorRefusedError as refusal:
        return refusal.status
    except VendorUnreachableError as error:
        if "answered 403" in error.value:
            return 403
        raise
    return 200


def _zendesk(target: Destination) -> list[str]:
    """Asks for a ticket that cannot exist: a refused token is told, a missing ticket is what is expected."""
    instant = datetime.now(UTC)
    asked = Intent(NOBODY, target.name, TICKET_ROUTING, NOBODY, "0", "", {}, 0, instant)
    target.look_up(TICKET_ROUTING, [asked])
    return ["the token reads tickets"]


def headroom(headers: Mapping[str, str]) -> str:
    """What a vendor says of its rate limit, in one sentence."""
    limit, remaining = headers.get("ratelimit-limit", "?"), headers.get("ratelimit-remaining", "?")
    return f"{remaining} of {limit} calls are left in this window"
