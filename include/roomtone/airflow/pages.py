"""The page "Why is this customer quiet?": the answer of `roomtone why`, for whoever is logged in.

Every Airflow process reads its plugins, so the web framework is imported by the first request and not before.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from pathlib import Path
from typing import Any

PREFIX = "/roomtone"
PAGE = f"{PREFIX}/quiet"

_TEMPLATES = Path(__file__).parent / "templates"

# Nothing but the style sheet below is loaded, no script runs, and only Airflow's own pages may frame it.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

Message = MutableMapping[str, Any]


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The ASGI application that the plugin mounts under PREFIX."""
    await _application()(scope, receive, send)


@cache
def _application() -> Any:
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi import Depends, FastAPI
    from fastapi.responses import FileResponse, HTMLResponse

    # A mounted application is open to everybody unless it asks who is there: here every route does.
    web = FastAPI(dependencies=[Depends(get_user)], docs_url=None, redoc_url=None, openapi_url=None)

    @web.get("/quiet", response_class=HTMLResponse)
    def quiet(customer: str = "") -> HTMLResponse:
        status, html = quiet_page(customer.strip())
        return HTMLResponse(html, status_code=status, headers=_HEADERS)

    @web.get("/quiet.css")
    def style() -> FileResponse:
        return FileResponse(_TEMPLATES / "quiet.css", media_type="text/css", headers=_HEADERS)

    return web


def quiet_page(customer_id: str) -> tuple[int, str]:
    """HTTP status and HTML of the page for one customer; an empty id gives the form alone."""
    from roomtone.errors import RoomtoneError
    from roomtone.policies.why import explain
    from roomtone.settings import load_settings

    template = _environment().get_template("quiet.html")
    if not customer_id:
        return 200, template.render(customer_id="", answer=None, problem=None)
    try:
        answer = explain(load_settings(), customer_id)
    except RoomtoneError as error:
        return 404, template.render(customer_id=customer_id, answer=None, problem=str(error))
    return 200, template.render(customer_id=customer_id, answer=answer, problem=None)


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Ids and reasons come from outside: whatever they hold is shown as text.
    environment = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)
    environment.filters["reasons"] = json.loads
    return environment
