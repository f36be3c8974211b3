"""The shop's HTTP API: three lists in a simple shape of our own."""

from roomtone.sandbox.clock import parse
from roomtone.sandbox.shop import Shop
from roomtone.sandbox.web import Call, RefusedError, Reply, Routes, whole_number

AUTHORIZATION = "Bearer sandbox-shop"
PAGE, MOST = 200, 1000


class ShopApi:
    """Answers calls on `/shop/...`."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self.routes = Routes({"GET /shop/{stream}": self._list})

    def answer(self, call: Call) -> tuple[Reply, str]:
        """The reply, and the template of the route that gave it (empty if none did)."""
        if call.headers.get("authorization") != AUTHORIZATION:
            return Reply(401, {"error": "unauthorized", "detail": "The bearer token is missing or wrong"}), ""
        template = ""
        try:
            route, arguments = self.routes.find(call)
            template = route.template
            return route.handler(call, **arguments), template
        except RefusedError as refusal:
            return Reply(refusal.status, {"error": refusal.code, "detail": refusal.detail}), template

    def _list(self, call: Call, stream: str) -> Reply:
        """`?updated_since=RFC3339&limit=&cursor=`: rows changed at or after that instant, oldest change first."""
        if stream not in {"customers", "orders", "shipments"}:
            raise RefusedError(404, "not_found", "There are customers, orders and shipments")
        params = call.params
        limit = whole_number(params.get("limit", str(PAGE)), 1, MOST)
        if limit is None:
            raise RefusedError(400, "bad_limit", f"limit must be a whole number from 1 to {MOST}")
        cursor = params.get("cursor")
        after = None
        if cursor:
            instant, _, number = cursor.partition("|")
            if not number:
                raise RefusedError(400, "bad_cursor", "The cursor is not one that this API gave out")
            after = (instant, number)
        try:
            since = parse(params["updated_since"]) if params.get("updated_since") else None
        except ValueError:
            raise RefusedError(400, "bad_time", "updated_since must be RFC 3339 with an offset") from None
        return Reply(200, self._shop.listed(stream, since, after, limit))
