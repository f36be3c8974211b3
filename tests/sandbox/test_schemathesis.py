"""Requests that a machine makes up from the vendors' specifications, against the sandbox's servers.

Only what is valid is made up, seeded and bounded. A server of the sandbox must not break on it, must answer with a
status that the vendor documents, and must answer in the vendor's shape.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from roomtone.sandbox import braze_api, customerio_api, marketing_api
from roomtone.sandbox.spec_check import FILES, SpecCheck
from roomtone.settings import load_settings

schemathesis = pytest.importorskip("schemathesis", reason="SKIPPED: schemathesis is not installed")
pytestmark = [pytest.mark.specs, pytest.mark.off_spec]

EXAMPLES = 15
SEED = 7

# What each server serves, as (method, path); its key; statuses that the files leave out, each told in prose.
SERVED: dict[str, tuple[tuple[str, str], ...]] = {
    "klaviyo": tuple(tuple(key.split(" ", 1)) for key in marketing_api.RATE_LIMITS),  # type: ignore[misc]
    "zendesk": (
        ("GET", "/api/v2/groups"),
        ("GET", "/api/v2/tickets/{ticket_id}"),
        ("GET", "/api/v2/tickets/{ticket_id}/comments"),
        ("GET", "/api/v2/users/{user_id}"),
    ),
    "braze": (("POST", "/users/track"), ("POST", "/users/export/ids")),
    "customerio": (("POST", "/api/v2/batch"), ("GET", "/api/v1/accounts/region")),
}
HEADERS = {
    "klaviyo": {"Authorization": marketing_api.AUTHORIZATION, "revision": marketing_api.REVISION},
    "zendesk": {"Authorization": "Bearer sandbox-zendesk"},
    "braze": {"Authorization": "Bearer sandbox-braze"},
    "customerio": {"Authorization": customerio_api.AUTHORIZATION},
}
UNTOLD = {"zendesk": {400, 404, 422, 429}, "customerio": {429}, "braze": {413}, "klaviyo": set()}


@pytest.fixture(scope="module")
def folder() -> Path:
    found = load_settings().specs_dir
    missing = [name for name in FILES.values() if not (found / name).is_file()]
    if missing:
        pytest.skip(f"the vendors' specifications are not at hand: {found} has no {missing[0]} (set ROOMTONE_SPECS)")
    return found


@pytest.fixture(scope="module")
def served(serving: Callable[..., Any]) -> Iterator[Any]:
    with serving("--customers", "20") as running:
        yield running


def _slice(check: SpecCheck, vendor: str) -> dict[str, Any]:
    """The vendor's document with the operations served and nothing else; components stay, they are referred to."""
    document = check.document(vendor)
    paths: dict[str, Any] = {}
    for method, path in SERVED[vendor]:
        item = document["paths"][path]
        kept = paths.setdefault(path, {"parameters": item.get("parameters", [])})
        kept[method.lower()] = item[method.lower()]
    return {**document, "paths": paths, "servers": []}


@pytest.mark.parametrize("vendor", SERVED)
def test_what_is_valid_is_answered_as_documented(vendor: str, served: Any, folder: Path) -> None:
    import hypothesis

    check = SpecCheck(folder)
    schema = schemathesis.openapi.from_dict(_slice(check, vendor))
    url, asked, wrong = f"{served.url}/{vendor}", [], []
    for result in schema.get_all_operations():
        operation = result.ok()

        @hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE))
        def answered(case: Any) -> None:
            response = case.call(base_url=url, headers=HEADERS[vendor], timeout=30)
            asked.append(response.status_code)
            wrong.extend(_problems(check, vendor, case, response))

        answered()
    assert len(asked) >= len(SERVED[vendor])
    assert sorted(set(wrong)) == []
    assert any(status < 300 for status in asked)


def _problems(check: SpecCheck, vendor: str, case: Any, response: Any) -> list[str]:
    name = f"{vendor} {case.method} {case.operation.path}"
    if response.status_code >= 500:
        return [f"{name}: {response.status_code}"]
    # Dots for an id make the path of another server.
    is_vendors = urlsplit(response.request.url).path.startswith(f"/{vendor}/")
    if response.status_code in UNTOLD[vendor] or not is_vendors:
        return []
    reply = response.json() if response.content else None
    findings = check.reply_findings(vendor, case.method, case.operation.path, response.status_code, reply)
    return [f"{name}: {finding}" for finding in findings]


def test_the_limits_of_the_servers_are_named() -> None:
    """What a made-up flood runs into: these are the vendors' own numbers."""
    assert (braze_api.TRACK_CALLS, braze_api.EXPORT_CALLS, customerio_api.TRACK_CALLS) == (3000, 250, 1000)
