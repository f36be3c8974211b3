"""The web application: the vendors' servers and the controls of the sandbox, over one world and one clock."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from roomtone.sandbox.braze_api import BrazeApi
from roomtone.sandbox.clock import SandboxClock, parse, rfc3339
from roomtone.sandbox.customerio_api import CustomerIoApi
from roomtone.sandbox.faults import FaultPlan, FaultRates, plan_incidents
from roomtone.sandbox.helpdesk_api import HelpdeskApi
from roomtone.sandbox.load import Load
from roomtone.sandbox.marketing import is_paused
from roomtone.sandbox.marketing_api import MarketingApi
from roomtone.sandbox.records import Ticket
from roomtone.sandbox.request_tracker_api import RequestTrackerApi
from roomtone.sandbox.shop_api import ShopApi
from roomtone.sandbox.spec_check import SpecCheck
from roomtone.sandbox.truth import truth
from roomtone.sandbox.web import Call, Reply, VendorApi
from roomtone.sandbox.webhook_receiver import WebhookReceiver
from roomtone.sandbox.webhooks import Subscription, WebhookSender
from roomtone.sandbox.witness import KINDS
from roomtone.sandbox.world import World

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class Sandbox:
    """Joins world, clock and APIs. Everything runs in one event loop, so nothing here needs a lock."""

    def __init__(self, world: World, spec_check: SpecCheck | None = None, call_seconds: float | None = None) -> None:
        self.world = world
        self.clock = SandboxClock(world.plan.start, call_seconds)
        self._machine_is_ahead = timedelta()
        self.webhooks = WebhookSender(world.plan.seed, world.witness)
        world.helpdesk.listeners.append(self.webhooks)
        self._load = Load(world)
        self._check = spec_check
        limits = spec_check.rate_limits if spec_check else {}
        marketing = MarketingApi(world.plan.seed, world.marketing, world.witness, world.schedule, limits)
        seed, customers = world.plan.seed, world.shop.customers
        self._apis: dict[str, VendorApi] = {
            "zendesk": HelpdeskApi(world.helpdesk, world.witness),
            "klaviyo": marketing,
            "shop": ShopApi(world.shop),
            "braze": BrazeApi(seed, customers, world.witness, world.schedule),
            "customerio": CustomerIoApi(seed, customers, world.witness),
            "request_tracker": RequestTrackerApi(world.helpdesk, world.witness),
            "webhook": WebhookReceiver(world.witness),
        }

    def catch_up(self) -> None:
        """Processes what has become due by the clock."""
        self.world.advance(self.clock.now())

    @property
    def vendors(self) -> tuple[str, ...]:
        """The first part of the path of each vendor's server."""
        return tuple(self._apis)

    async def vendor(self, request: Request) -> Response:
        """A call on one of the vendors."""
        self.clock.note_call()
        self.catch_up()
        vendor = request.url.path.split("/")[1]
        content = await request.body()
        base = f"{request.url.scheme}://{request.url.netloc}" + ("" if vendor == "shop" else f"/{vendor}")
        path = request.url.path if vendor == "shop" else request.url.path.removeprefix(f"/{vendor}")
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(request.method, path, request.url.query, headers, content, base, self.world.at)
        reply, template = self._apis[vendor].answer(call)
        if self._check:
            for finding in self._check.findings(vendor, template, call, reply):
                facts = {"what": "specification", "api": vendor, "method": call.method, "path": path, **finding}
                self.world.witness.record(call.at, "violation", facts)
        facts = {"api": vendor, "method": call.method, "path": path, "query": call.query, "status": reply.status}
        self.world.witness.record(call.at, "request", facts | {"agent": headers.get("user-agent", "")})
        if reply.delay_seconds:
            await asyncio.sleep(reply.delay_seconds)
        response = _response(reply)
        response.headers.setdefault("date", format_datetime(self.clock.now(), usegmt=True))
        return response

    async def plan_faults(self, request: Request) -> Response:
        """`{"seed": n, "rates": {fault: share}, ...}`: what goes wrong at the marketing platform from now on."""
        self.catch_up()
        try:
            wanted = json.loads(await request.body())
            rates = FaultRates(**wanted.get("rates", {}))
            plan = FaultPlan(int(wanted.get("seed", 0)), rates)
        except (ValueError, TypeError, AttributeError) as error:
            return JSONResponse({"error": f"faults: {error}; send a seed and rates from 0 to 1"}, 400)
        self.world.marketing.faults = plan
        plan_incidents(self.world.marketing, self.world.schedule, plan, self.world.at)
        return JSONResponse({"seed": plan.seed, "rates": asdict(rates)})

    async def show_clock(self, _: Request) -> Response:
        return JSONResponse({"now": rfc3339(self.clock.now())})

    async def move_clock(self, request: Request) -> Response:
        """`{"advance_seconds": n}` or `{"now": t}`: everything up to then has happened when this answers."""
        self.catch_up()
        try:
            wanted = json.loads(await request.body())
            if "advance_seconds" in wanted:
                to = self.clock.now() + timedelta(seconds=float(wanted["advance_seconds"]))
            else:
                to = parse(wanted["now"])
            self.clock.put_forward(to)
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            return JSONResponse({"error": f"clock: {error}; send advance_seconds or a later now"}, 400)
        ran = self.world.advance(to)
        return JSONResponse({"now": rfc3339(to), "happenings": ran})

    async def show_machine_clock(self, _: Request) -> Response:
        """What a machine shows whose clock may be wrong: a roomtone's, by ROOMTONE_CLOCK_URL."""
        return JSONResponse({"now": rfc3339(self.clock.now() + self._machine_is_ahead)})

    async def put_machine_clock_wrong(self, request: Request) -> Response:
        """`{"ahead_seconds": n}`: so far ahead of the brand's clock, or behind it, from now on."""
        try:
            self._machine_is_ahead = timedelta(seconds=float(json.loads(await request.body())["ahead_seconds"]))
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            return JSONResponse({"error": f"machine clock: {error}; send ahead_seconds"}, 400)
        return await self.show_machine_clock(request)

    async def subscribe(self, request: Request) -> Response:
        """`{"url", "secret", "twice_share", "late_share"}`: events of tickets go there from now on; `{}` ends it."""
        self.catch_up()
        try:
            wanted = json.loads(await request.body())
            self.webhooks.subscribe(Subscription(**wanted) if wanted else None)
        except (ValueError, TypeError) as error:
            return JSONResponse({"error": f"webhooks: {error}; send url and secret"}, 400)
        return JSONResponse({"is_subscribed": bool(wanted)})

    async def show_webhooks(self, _: Request) -> Response:
        """How many events there were, and what became of their deliveries."""
        self.catch_up()
        return JSONResponse({**self.webhooks.counts, "waiting": self.webhooks.count_waiting})

    async def write(self, request: Request) -> Response:
        """`{"count": n, "upset_share": s}`: so many customers write now."""
        self.catch_up()
        try:
            wanted = json.loads(await request.body())
            tickets = self._load.write(int(wanted["count"]), float(wanted.get("upset_share", 0.5)), self.world.at)
        except (ValueError, KeyError, TypeError) as error:
            return JSONResponse({"error": f"messages: {error}; send count and upset_share"}, 400)
        profiles = self.world.marketing.profile_of
        rows = [
            {
                "ticket_id": ticket.id,
                "message_id": ticket.comments[0].id,
                "customer": ticket.customer.shop_id,
                "heat": _heat(ticket),
                "is_paused": is_paused(profiles[ticket.customer.number].properties, "discount", self.world.at),
            }
            for ticket in tickets
        ]
        return JSONResponse({"at": rfc3339(self.world.at), "messages": rows})

    async def show_log(self, request: Request) -> Response:
        self.catch_up()
        try:
            after = int(request.query_params.get("after", "0"))
        except ValueError:
            return JSONResponse({"error": "after: not a whole number; send a sequence number"}, 400)
        kinds = frozenset(k for part in request.query_params.getlist("kind") for k in part.split(",") if k)
        unknown = sorted(kinds - set(KINDS))
        if unknown:
            return JSONResponse({"error": f"kind: {unknown[0]} is unknown; use one of {', '.join(KINDS)}"}, 400)
        return JSONResponse(self.world.witness.after(after, kinds or None))

    async def edit_by_hand(self, request: Request) -> Response:
        """`{"profile_id", "properties": {...}, "withdraw": "email"}`: somebody changes a profile by hand.

        `withdraw` is the channel, email or sms, for which the person takes consent back.
        """
        self.catch_up()
        wanted = json.loads(await request.body())
        profile = self.world.marketing.profiles.get(wanted.get("profile_id"))
        if profile is None:
            return JSONResponse({"error": "profile_id: unknown; use an id of /klaviyo/api/profiles"}, 404)
        if "withdraw" in wanted:
            self.world.marketing.withdraw(profile, wanted["withdraw"], self.world.at)
        if "properties" in wanted:
            self.world.marketing.edit_by_hand(profile, wanted["properties"], self.world.at)
        return JSONResponse({"profile_id": profile.id})

    async def show_story(self, _: Request) -> Response:
        self.catch_up()
        return JSONResponse(self.world.story.told())

    async def show_truth(self, _: Request) -> Response:
        self.catch_up()
        return JSONResponse(truth(self.world))

    async def show_counterfactual(self, _: Request) -> Response:
        self.catch_up()
        return JSONResponse(self.world.story.counterfactual())

    async def show_world(self, _: Request) -> Response:
        """What the world is made of, with its fingerprint at this instant."""
        self.catch_up()
        plan, world = self.world.plan, self.world
        return JSONResponse(
            {
                "seed": plan.seed,
                "start": rfc3339(plan.start),
                "history_days": plan.history_days,
                "now": rfc3339(world.at),
                "customers": len(world.shop.customers),
                "orders": len(world.shop.orders),
                "tickets": len(world.helpdesk.tickets),
                "messages": sum(c.truth is not None for c in world.helpdesk.comments.values()),
                "profiles": len(world.marketing.profiles),
                "events": len(world.marketing.events),
                "is_spec_checked": self._check is not None,
                "fingerprint": world.fingerprint(),
            }
        )


def make_app(sandbox: Sandbox) -> FastAPI:
    """The ASGI application; while it runs, due happenings are processed ten times a second, and webhooks are sent."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async def tick() -> None:
            while True:
                sandbox.catch_up()
                await asyncio.sleep(0.1)

        running = [asyncio.create_task(tick()), asyncio.create_task(sandbox.webhooks.deliver())]
        yield
        for task in running:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    app = FastAPI(title="roomtone sandbox", lifespan=lifespan, openapi_url=None)
    app.add_route("/clock", sandbox.show_clock, methods=["GET"])
    app.add_route("/clock", sandbox.move_clock, methods=["POST"])
    app.add_route("/machine-clock", sandbox.show_machine_clock, methods=["GET"])
    app.add_route("/machine-clock", sandbox.put_machine_clock_wrong, methods=["POST"])
    app.add_route("/webhooks", sandbox.show_webhooks, methods=["GET"])
    app.add_route("/webhooks", sandbox.subscribe, methods=["POST"])
    app.add_route("/messages", sandbox.write, methods=["POST"])
    app.add_route("/log", sandbox.show_log, methods=["GET"])
    app.add_route("/faults", sandbox.plan_faults, methods=["POST"])
    app.add_route("/hand-edit", sandbox.edit_by_hand, methods=["POST"])
    app.add_route("/story", sandbox.show_story, methods=["GET"])
    app.add_route("/truth", sandbox.show_truth, methods=["GET"])
    app.add_route("/counterfactual", sandbox.show_counterfactual, methods=["GET"])
    app.add_route("/world", sandbox.show_world, methods=["GET"])
    for vendor in sandbox.vendors:
        app.add_route(f"/{vendor}/{{rest:path}}", sandbox.vendor, methods=METHODS)

    async def unrouted(request: Request, _: Exception) -> Response:
        """What no route can read, such as an id with a line break in it, is the vendor's to refuse in its own words."""
        if request.url.path.split("/")[1] in sandbox.vendors:
            return await sandbox.vendor(request)
        return JSONResponse({"detail": "Not Found"}, 404)

    app.add_exception_handler(404, unrouted)
    return app


def _heat(ticket: Ticket) -> int:
    truth = ticket.comments[0].truth
    return truth.heat if truth else 0


class _CutResponse(Response):
    """Promises more than it sends, so that the connection breaks off: the client cannot know what happened."""

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        super().init_headers(headers)
        self.headers["content-length"] = str(len(self.body) + 1)


def _response(reply: Reply) -> Response:
    body: Any = b"" if reply.body is None else json.dumps(reply.body, ensure_ascii=False).encode()
    media_type = None if reply.body is None else reply.content_type
    if reply.is_cut:
        return _CutResponse(body, reply.status, reply.headers, media_type)
    return Response(body, reply.status, reply.headers, media_type)
