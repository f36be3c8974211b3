"""The hook through which every HTTP exchange of the test process passes, on its way to the vendors' specifications."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from roomtone.sandbox.spec_check import FILES, SpecCheck
from roomtone.sandbox.web import Call, Reply


@dataclass
class Exchanges:
    """`seen` counts per (address, vendor) what went over the wire; `findings` are texts, one per thing that is wrong.

    A vendor is told by the first part of the path, which is how the sandbox tells them apart. Without specifications
    exchanges are counted and not checked.
    """

    check: SpecCheck | None
    seen: dict[tuple[str, str], int] = field(default_factory=dict)
    checked: int = 0
    findings: list[str] = field(default_factory=list)

    def note(self, request: httpx.Request, response: httpx.Response) -> None:
        first, _, rest = request.url.path.lstrip("/").partition("/")
        address = f"{request.url.scheme}://{request.url.netloc.decode()}"
        self.seen[address, first] = self.seen.get((address, first), 0) + 1
        if first not in FILES or self.check is None:
            return
        self.checked += 1
        headers = {name.lower(): value for name, value in request.headers.items()}
        base, query = f"{address}/{first}", request.url.query.decode()
        call = Call(request.method, f"/{rest}", query, headers, request.content, base, datetime.now(UTC))
        template = self.check.template_of(first, call.method, call.path)
        for finding in self.check.findings(first, template, call, _reply(response)):
            self.findings.append(f"{first} {call.method} {call.path}: {finding['finding']}")


def _reply(response: httpx.Response) -> Reply | None:
    """The reply, None where it is not the vendor's: what a proxy says in between is not JSON."""
    response.read()
    try:
        body: Any = json.loads(response.content) if response.content else None
    except ValueError:
        return None
    is_vendors = response.headers.get("content-type", "").partition(";")[0].endswith("json")
    return Reply(response.status_code, body) if is_vendors else None


@contextmanager
def recorded_exchanges(folder: Path | None) -> Iterator[Exchanges]:
    """Puts the hook into every httpx client of this process, also those that a test makes itself."""
    exchanges = Exchanges(SpecCheck(folder) if folder else None)
    send = httpx.Client.send

    def noted(self: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        response = send(self, request, **options)
        exchanges.note(request, response)
        return response

    httpx.Client.send = noted  # type: ignore[method-assign]
    try:
        yield exchanges
    finally:
        httpx.Client.send = send  # type: ignore[method-assign]
