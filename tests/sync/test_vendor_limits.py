"""The client's own table of limits against the vendor's specification, where that is at hand."""

import json
import re

import pytest

from roomtone.extract.klaviyo import PROFILE_CALLS
from roomtone.settings import load_settings
from roomtone.sync.destinations.klaviyo import ENDPOINTS, REVISION


@pytest.mark.specs
def test_klaviyo_s_limits_are_those_of_its_specification() -> None:
    file = load_settings().specs_dir / f"klaviyo-{REVISION}.openapi.json"
    if not file.is_file():
        pytest.skip("SKIPPED: ROOMTONE_SPECS is absent, so the client's limits were compared with nothing")
    paths = {
        re.sub(r"\{\w+\}", "{}", path): operations for path, operations in json.loads(file.read_text())["paths"].items()
    }
    for endpoint in ENDPOINTS:
        limit = paths[endpoint.path][endpoint.method.lower()]["x-klaviyo-ratelimit"]
        # The list of profiles is asked by the extraction too, once a minute: together they stay at the limit.
        extracted = PROFILE_CALLS if (endpoint.method, endpoint.path) == ("GET", "/api/profiles") else 0
        assert (f"{endpoint.per_second}/s", f"{endpoint.per_minute + extracted}/m") == (
            limit["burst"],
            limit["steady"],
        ), endpoint.path
