"""Import jobs to their end: "complete" with failures is a partial failure, and each failure belongs to one customer."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from roomtone.settings import Connection, Settings, load_settings
from roomtone.stores.operational import OperationalStore
from roomtone.sync.desired import PROFILE_PROPERTIES, calm_profile
from roomtone.sync.destinations.base import Answer
from roomtone.sync.destinations.klaviyo import Klaviyo
from roomtone.sync.plan import Intent

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
BASE = "https://a.klaviyo.example"
INTENTS = [
    Intent(f"i{n}", "klaviyo", PROFILE_PROPERTIES, f"c{n}", f"P{n}", "f", calm_profile(), 1, NOW) for n in range(12)
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """No platform is asked here."""
    return load_settings({"ROOMTONE_HOME": str(tmp_path / "home")})


class Platform:
    """Answers with the vendor's shapes: every profile exists, a job goes through `statuses` and tells its `errors`."""

    def __init__(self, statuses: list[str], errors: list[dict[str, Any]]) -> None:
        self.statuses, self.errors = statuses, errors
        self.imported: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/api/profiles":
            ids = json.loads(request.url.params["filter"].removeprefix("any(id,").removesuffix(")"))
            data = [{"type": "profile", "id": i, "attributes": {"email": f"{i}@example.com"}} for i in ids]
            return httpx.Response(200, json={"data": data})
        if request.method == "POST":
            self.imported += json.loads(request.content)["data"]["attributes"]["profiles"]["data"]
            return httpx.Response(202, json={"data": {"type": "profile-bulk-import-job", "id": "job1"}})
        if path.endswith("/import-errors"):
            # Over two pages, so that the second is not lost.
            number = int(request.url.params.get("page[cursor]", 0))
            links = {"next": f"{BASE}{path}?page[cursor]=1"} if number == 0 else {"next": None}
            return httpx.Response(200, json={"data": self.errors[number::2], "links": links})
        status = self.statuses.pop(0)
        facts = {"status": status, "failed_count": len(self.errors) if status == "complete" else 0}
        return httpx.Response(200, json={"data": {"attributes": facts}})


@pytest.fixture
def send(settings: Settings) -> Callable[[Platform], dict[str, tuple[Answer, str]]]:
    def run(platform: Platform) -> dict[str, tuple[Answer, str]]:
        store = OperationalStore(settings)
        target = Klaviyo(Connection("klaviyo", BASE, "pk_some_secret"), store)
        target._http._client = httpx.Client(transport=httpx.MockTransport(platform))
        target._http._sleep = lambda seconds: None
        outcomes = target.send(PROFILE_PROPERTIES, INTENTS, NOW)
        store.close()
        return {outcome.intent_id: (outcome.answer, outcome.words) for outcome in outcomes}

    return run


def error(**facts: Any) -> dict[str, Any]:
    words = {"code": "invalid", "title": "Invalid", "detail": "no good for c@example.com"}
    return {"type": "import-error", "id": "e", "attributes": words | {"source": {}} | facts}


def test_each_failure_is_given_to_its_customer(send: Any) -> None:
    errors = [
        error(source={"pointer": "/data/attributes/profiles/data/3/attributes/properties"}),
        error(original_payload={"type": "profile", "id": "P7", "attributes": {}}),
    ]
    outcomes = send(Platform(["queued", "processing", "complete"], errors))
    assert {i: words for i, (answer, words) in outcomes.items() if answer is Answer.REJECTED} == {
        "i3": "invalid: no good for ***",
        "i7": "invalid: no good for ***",
    }
    assert sum(answer is Answer.ACCEPTED for answer, _ in outcomes.values()) == 10


@pytest.mark.parametrize(
    ("statuses", "words"), [(["cancelled"], "was cancelled"), (["processing"] * 20, "is still running")]
)
def test_a_job_without_an_end_leaves_all_in_doubt(statuses: list[str], words: str, send: Any) -> None:
    outcomes = send(Platform(statuses, []))
    assert len(outcomes) == 12
    assert all(answer is Answer.UNKNOWN and words in said for answer, said in outcomes.values())


def test_a_job_holds_ids_and_our_properties_and_nothing_else(send: Any) -> None:
    platform = Platform(["complete"], [])
    send(platform)
    assert [profile["id"] for profile in platform.imported] == [f"P{n}" for n in range(12)]
    for profile in platform.imported:
        assert profile.keys() == {"type", "id", "attributes"}
        assert profile["attributes"].keys() == {"properties"}
        assert all(name.startswith("roomtone_") for name in profile["attributes"]["properties"])
