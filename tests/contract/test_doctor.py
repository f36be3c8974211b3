"""What `roomtone doctor` finds out about the destinations, without changing anything there."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import Sandbox
from roomtone.doctor import Finding, examine
from roomtone.sandbox import customerio_api, webhook_receiver
from roomtone.settings import load_settings

DESTINATIONS = "csv,klaviyo,zendesk,braze,customerio,webhook,request_tracker"


@pytest.fixture(scope="module")
def brand(serving_brand: Sandbox) -> Sandbox:
    return serving_brand


@pytest.fixture(scope="module")
def serving_brand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    from sandbox.conftest import _serving

    with _serving("--customers", "20") as served:
        yield Sandbox(served.url, None)


@pytest.fixture
def examined(brand: Sandbox, tmp_path: Path) -> Callable[..., dict[str, Finding]]:
    def look(**other: str) -> dict[str, Finding]:
        url = brand.url
        environ = {
            "ROOMTONE_HOME": str(tmp_path / "home"),
            "ROOMTONE_SOURCES": "shop",
            "ROOMTONE_DESTINATIONS": DESTINATIONS,
            "ROOMTONE_CLOCK_URL": f"{url}/clock",
            "ROOMTONE_SHOP_URL": url,
            "ROOMTONE_KLAVIYO_URL": f"{url}/klaviyo",
            "ROOMTONE_KLAVIYO_TOKEN": "sandbox-klaviyo",
            "ROOMTONE_ZENDESK_URL": f"{url}/zendesk",
            "ROOMTONE_ZENDESK_TOKEN": "sandbox-zendesk",
            "ROOMTONE_BRAZE_URL": f"{url}/braze",
            "ROOMTONE_BRAZE_TOKEN": "sandbox-braze",
            "ROOMTONE_CUSTOMERIO_URL": f"{url}/customerio",
            "ROOMTONE_CUSTOMERIO_TOKEN": customerio_api.TRACK_KEY,
            "ROOMTONE_CUSTOMERIO_SITE_ID": customerio_api.SITE_ID,
            "ROOMTONE_CUSTOMERIO_APP_URL": f"{url}/customerio",
            "ROOMTONE_CUSTOMERIO_APP_KEY": customerio_api.APP_KEY,
            "ROOMTONE_WEBHOOK_URL": f"{url}/webhook{webhook_receiver.PATH}",
            "ROOMTONE_WEBHOOK_TOKEN": webhook_receiver.SECRET,
            "ROOMTONE_REQUEST_TRACKER_URL": f"{url}/request_tracker",
            "ROOMTONE_REQUEST_TRACKER_TOKEN": "sandbox-request-tracker",
            **other,
        }
        found = examine(load_settings(environ))
        return {f.check.removeprefix("destination "): f for f in found if f.check.startswith("destination ")}

    return look


def test_every_destination_is_asked_and_nothing_changes_there(brand: Sandbox, examined: Callable[..., dict]) -> None:
    before = brand.get("/log")["last"]
    found = examined()
    assert list(found) == DESTINATIONS.split(",")
    assert {name: finding.detail for name, finding in found.items() if not finding.is_ok} == {}
    said = {name: finding.detail for name, finding in found.items()}
    assert said["klaviyo"].startswith("the key is for account ")
    assert "calls are left in this window" in said["klaviyo"]
    assert "of 250 reads are left in this window; users.track is granted" in said["braze"]
    assert said["customerio"] == (
        "the key is for workspace 3 in region us (https://track.customer.io); the App API key reads people"
    )
    assert said["request_tracker"] == "RT 5.0.3; 4 queues can be read"
    assert said["zendesk"] == "the token reads tickets"
    assert said["webhook"] == "the secret has 32 bytes and signs; no delivery was tried"
    assert {e["kind"] for e in brand.log(after=before)} == {"request"}


@pytest.mark.parametrize(
    ("variable", "value", "name", "line"),
    [
        ("ROOMTONE_KLAVIYO_TOKEN", "revoked", "klaviyo", "answered 401"),
        ("ROOMTONE_ZENDESK_TOKEN", "revoked", "zendesk", "check ROOMTONE_ZENDESK_TOKEN and its scopes"),
        ("ROOMTONE_BRAZE_TOKEN", "sandbox-braze-reader", "braze", "the key lacks users.track"),
        ("ROOMTONE_CUSTOMERIO_TOKEN", "revoked", "customerio", "check ROOMTONE_CUSTOMERIO_TOKEN and its scopes"),
        ("ROOMTONE_CUSTOMERIO_APP_KEY", "revoked-key", "customerio", "answered 401"),
        ("ROOMTONE_CUSTOMERIO_SITE_ID", "", "customerio", "copy the Site ID beside the Track API key into it"),
        ("ROOMTONE_WEBHOOK_TOKEN", "nonsense", "webhook", "is no signing secret; give whsec_"),
        (
            "ROOMTONE_REQUEST_TRACKER_TOKEN",
            "",
            "request_tracker",
            "has no credential; set ROOMTONE_REQUEST_TRACKER_TOKEN",
        ),
    ],
)
def test_what_is_wrong_is_one_line_and_the_others_are_still_asked(
    *, examined: Callable[..., dict], variable: str, value: str, name: str, line: str
) -> None:
    found = examined(**{variable: value})
    assert [other for other, finding in found.items() if not finding.is_ok] == [name]
    assert line in found[name].detail
    assert "\n" not in found[name].detail
    assert not value or value not in found[name].detail


def test_without_an_app_key_it_says_what_is_not_done(examined: Callable[..., dict]) -> None:
    detail = examined(ROOMTONE_CUSTOMERIO_APP_KEY="")["customerio"].detail
    assert "nothing is read back, and no event is sent" in detail
