"""That no HTTP exchange gets round the hook which checks it against the vendors' specifications."""

from datetime import timedelta

import pytest

from conftest import Sandbox
from exchanges import Exchanges
from roomtone.extract import extract
from roomtone.sandbox.spec_check import FILES
from roomtone.settings import Settings, load_settings
from roomtone.sync import sync

from .conftest import Mart, Person, Witness
from .place import Place


@pytest.fixture
def settings(place: Place) -> Settings:
    return load_settings(place.environ())


@pytest.mark.specs
def test_no_exchange_bypasses_the_hook(
    *, brand: Sandbox, place: Place, mart: Mart, person: Person, witness: Witness, exchanges: Exchanges
) -> None:
    """What the brand's servers count in their own log is what the hook saw, vendor by vendor, and all of it checked."""
    if exchanges.check is None:
        pytest.skip(f"the vendors' specifications are not at hand: {load_settings().specs_dir} (set ROOMTONE_SPECS)")
    before = {vendor: exchanges.seen.get((brand.url, vendor), 0) for vendor in FILES}
    checked = exchanges.checked
    now = brand.now()
    for source in ("zendesk", "klaviyo"):
        extract(mart.settings, source, now)
    mart.pause(person, now + timedelta(days=14))
    mart.owe(person, "trigger-hook", now)
    mart.route(7001, "urgent", "escalations", 2)
    current = mart.commit(now)
    for destination in FILES:
        sync(mart.settings, current, destination)
    requests = witness.entries("request")
    counted = {vendor: sum(entry["api"] == vendor for entry in requests) for vendor in FILES}
    assert min(counted.values()) >= 2, counted
    assert counted == {vendor: exchanges.seen[brand.url, vendor] - before[vendor] for vendor in FILES}
    assert exchanges.checked - checked == sum(counted.values())
