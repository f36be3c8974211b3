"""The shop source: customers, orders and shipments, each listed by when it last changed."""

from collections.abc import Iterator, Mapping
from typing import Any

from roomtone.errors import RoomtoneError
from roomtone.extract.http import VendorApi
from roomtone.extract.received import Cursors, Record, Refused
from roomtone.rate_window import RateWindow
from roomtone.settings import Connection

_PAGE = "1000"
# Fields that name a record of the shop, per stream.
_KEYS = {"customers": ("id",), "orders": ("id", "customer_id"), "shipments": ("id", "order_id")}


class ShopSource:
    """Cursor per stream: the greatest `updated_at` read, from which on (inclusive) the next run reads again."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.ignored: list[str] = []
        self.paces: Mapping[str, RateWindow] = {}

    def read(self, cursors: Cursors) -> Iterator[Record | Refused]:
        with VendorApi(self._connection, {"Authorization": f"Bearer {self._connection.token}"}) as api:
            for stream in _KEYS:
                yield from self._read_stream(api, stream, cursors)

    def _read_stream(self, api: VendorApi, stream: str, cursors: Cursors) -> Iterator[Record | Refused]:
        since = cursors.get(stream, "")
        params = {"limit": _PAGE, "updated_since": since} if since else {"limit": _PAGE}
        seen: set[str] = set()
        while True:
            page = api.get(f"/{stream}", params)
            items, cursor = page.get("items"), page.get("next_cursor")
            if not isinstance(items, list):
                raise self._failure(f"sends no items for {stream}", "check that its address is the shop's")
            for item in items:
                yield _record(stream, item)
                changed = item.get("updated_at") if isinstance(item, dict) else None
                if isinstance(changed, str):
                    since = max(since, changed)
            # Pages are ordered by time of change, so all that is older than `since` has been handed over.
            if since:
                cursors[stream] = since
            if not cursor:
                return
            if cursor in seen:
                raise self._failure(f"sends the same page of {stream} again and again", "ask the vendor")
            seen.add(cursor)
            params = {"limit": _PAGE, "cursor": cursor}

    def _failure(self, what: str, next_step: str) -> RoomtoneError:
        return RoomtoneError(f"source {self._connection.name}", what, next_step)


def _record(stream: str, item: Any) -> Record:
    if not isinstance(item, dict):
        return Record(stream, item, stream)
    payload = dict(item)
    for key in _KEYS[stream]:
        if isinstance(payload.get(key), str):
            payload[key] = f"shop-{payload[key]}"
    return Record(stream, payload | {"vendor": item}, f"{stream}/{item.get('id')}")
