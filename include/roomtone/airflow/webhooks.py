"""Where senders deliver webhooks: `POST /roomtone/webhooks/<sender>`, closed to everybody without a signature.

A request is verified over its raw bytes, kept in the inbox, and only then answered; nothing here reads what it says.
Every Airflow process reads its plugins, so the web framework is imported by the first request and not before.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from roomtone.stores.operational import OperationalStore

PREFIX = "/roomtone/webhooks"

# A sender gives up after five to twelve seconds, and sends again; so it is told sooner.
_LONGEST_WAIT_SECONDS = 4.0
# Of one sender; a burst in a bad hour is 35 a second. Beyond it senders are asked to come back.
_REQUESTS_A_SECOND, _REQUESTS_AT_ONCE = 300.0, 3000.0
_SECRETS_GOOD_FOR_SECONDS = 30.0
_CALLS, _CALL_WAIT_SECONDS = 5, 1.0

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Secrets = Callable[[str], tuple[str, ...]]


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The ASGI application that the plugin mounts under PREFIX."""
    await _application()(scope, receive, send)


@cache
def _application() -> Any:
    from roomtone.airflow.connections import webhook_secrets
    from roomtone.settings import load_settings
    from roomtone.stores.operational import OperationalStore

    store = OperationalStore(load_settings())
    return make_app(store, webhook_secrets, announce)


def make_app(store: "OperationalStore", secrets: Secrets, call_pass: Callable[[], None]) -> Any:
    """The web application over an inbox; `call_pass` is called when a pass has to take what waits."""
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse, Response

    from roomtone.extract import webhooks
    from roomtone.stores import inbox

    caller = PassCaller(store, call_pass)
    writer = inbox.InboxWriter(store, caller.wake)
    limits = {sender: webhooks.RateLimit(_REQUESTS_A_SECOND, _REQUESTS_AT_ONCE) for sender in webhooks.SCHEMES}
    # Whoever floods with forgeries does not fill the log.
    talk = webhooks.RateLimit(0.2, 5)
    known_secrets = _remembered(secrets)
    web = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    def told(status: int, text: str, **headers: str) -> Response:
        return JSONResponse({"status": text}, status, headers=headers)

    @web.post("/{sender}")
    async def receive(sender: str, request: Request) -> Response:
        in_force = await known_secrets(sender) if sender in webhooks.SCHEMES else ()
        if not in_force:
            return told(404, "nobody is expected here")
        if not limits[sender].take():
            return told(429, "too many requests", **{"Retry-After": "1"})
        body = await _body(request, webhooks.MAXIMUM_BODY_BYTES)
        if body is None:
            return told(413, "too large")
        try:
            delivery = webhooks.verify(sender, request.headers, body, in_force, datetime.now(UTC))
        except webhooks.ForgedError as error:
            if talk.take():
                log.warning("webhook of %s refused: %s", sender, error)
            return told(401, "the signature does not fit")
        try:
            kept = asyncio.wrap_future(writer.append(delivery))
            await asyncio.wait_for(asyncio.shield(kept), _LONGEST_WAIT_SECONDS)
        except (TimeoutError, sa.exc.SQLAlchemyError) as error:
            log.exception("webhook of %s could not be kept (%s)", sender, type(error).__name__)
            return told(503, "could not be kept; send it again", **{"Retry-After": "10"})
        return told(202, "kept")

    return web


class PassCaller:
    """Calls a pass for what waits in the inbox, in a thread of its own; many deliveries make one call."""

    def __init__(self, store: "OperationalStore", call_pass: Callable[[], None]) -> None:
        self._store = store
        self._call_pass = call_pass
        self._woken = threading.Event()
        threading.Thread(target=self._run, name="pass-caller", daemon=True).start()

    def wake(self) -> None:
        self._woken.set()

    def _run(self) -> None:
        from roomtone.stores import inbox

        while True:
            self._woken.wait()
            self._woken.clear()
            try:
                if inbox.call_once(self._store, datetime.now(UTC)):
                    self._call()
            except Exception:
                # The minute's poll takes what waits; a caller that is gone would leave every later one to it as well.
                log.exception("a pass could not be called; the next poll takes what waits")

    def _call(self) -> None:
        for attempt in range(1, _CALLS + 1):
            try:
                self._call_pass()
            except sa.exc.OperationalError:
                # Airflow's own database is busy.
                if attempt == _CALLS:
                    raise
                time.sleep(_CALL_WAIT_SECONDS)
            else:
                return


def announce() -> None:
    """Tell Airflow, in its API server, that the inbox has news: its asset wakes `react`."""
    from airflow.assets.manager import asset_manager
    from airflow.models.asset import AssetModel
    from airflow.utils.session import create_session

    from roomtone.airflow.assets import INBOX

    with create_session() as session:
        asset = session.scalar(sa.select(AssetModel).where(AssetModel.name == INBOX.name, AssetModel.uri == INBOX.uri))
        if asset is not None:
            asset_manager.register_asset_change(asset=asset, source_is_api=True, session=session)


async def _body(request: Any, limit: int) -> bytes | None:
    """The body as it came; None for one that is too large, of which no more than the limit is read."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        return None
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            return None
        parts.append(part)
    return b"".join(parts)


def _remembered(secrets: Secrets) -> Callable[[str], Awaitable[tuple[str, ...]]]:
    """`secrets`, asked again only after a while: a changed secret is in force within half a minute."""
    kept: dict[str, tuple[float, tuple[str, ...]]] = {}

    async def lookup(sender: str) -> tuple[str, ...]:
        at, found = kept.get(sender, (float("-inf"), ()))
        if time.monotonic() - at > _SECRETS_GOOD_FOR_SECONDS:
            # Airflow's connections are in a database.
            found = await asyncio.to_thread(secrets, sender)
            kept[sender] = (time.monotonic(), found)
        return found

    return lookup
