"""Webhooks: signed as the specification says, one id for ever, and what a receiver may answer."""

from base64 import b64decode, b64encode
from datetime import timedelta

import pytest

from conftest import Sandbox
from roomtone.errors import RoomtoneError
from roomtone.settings import Connection, Settings, load_settings
from roomtone.sync import sync
from roomtone.sync.destinations.webhook import Webhook, signed

from .conftest import Mart, Person, Witness
from .faulty_proxy import Fault, faulty_vendor
from .place import Place


@pytest.fixture
def settings(place: Place) -> Settings:
    return load_settings(place.environ())


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of the Standard Webhooks specification and its reference libraries."""
    key = b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_delivery_names_a_customer_and_nothing_personal(
    brand: Sandbox, mart: Mart, person: Person, witness: Witness
) -> None:
    mart.pause(person, brand.now() + timedelta(days=14))
    mart.owe(person, "trigger-hook-1", brand.now())
    assert sync(mart.settings, mart.commit(brand.now()), "webhook").total.done == 2
    deliveries = witness.entries("delivery_received")
    assert [d["body"]["type"] for d in deliveries] == ["roomtone.profile_properties", "roomtone.recovery_event"]
    assert all(d["body"]["data"]["customer_id"] == person.customer_id for d in deliveries)
    assert person.email not in str(deliveries)
    assert deliveries[1]["unique_id"] == "webhook:trigger-hook-1"


def test_an_answer_that_was_lost_brings_the_same_id_again(
    *, brand: Sandbox, place: Place, person: Person, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    from roomtone.sync import transport

    monkeypatch.setattr(transport, "_FIRST_WAIT_SECONDS", 0.01)
    with faulty_vendor(brand.url) as vendor:
        url = place.environ()["ROOMTONE_WEBHOOK_URL"].replace(brand.url, vendor.url)
        settings = load_settings(place.environ() | {"ROOMTONE_WEBHOOK_URL": url})
        mart = Mart(settings)
        mart.owe(person, "trigger-hook-lost", brand.now())
        vendor.faults = [Fault("POST", "/deliveries", "cut_after", times=2)]
        assert sync(settings, mart.commit(brand.now()), "webhook").total.done == 1
    deliveries = witness.entries("delivery_received")
    assert [d["unique_id"] for d in deliveries] == ["webhook:trigger-hook-lost"] * 3
    assert [d["is_duplicate"] for d in deliveries] == [False, True, True]


@pytest.mark.parametrize("token", ["", "whsec_", "not base64!", "whsec_" + b64encode(b"short").decode()])
def test_a_secret_that_is_none_is_told(token: str) -> None:
    with pytest.raises(RoomtoneError, match="ROOMTONE_WEBHOOK_TOKEN: is no signing secret; give whsec_ followed by"):
        Webhook(Connection("webhook", "https://receiver.example.com/in", token))


@pytest.mark.parametrize("url", ["ftp://receiver.example.com", "https://receiver.example.com/in?key=secret"])
def test_an_address_that_is_none_is_told_without_its_query(url: str) -> None:
    with pytest.raises(RoomtoneError, match="give https://HOST/PATH without a query") as raised:
        Webhook(Connection("webhook", url, "whsec_" + b64encode(bytes(24)).decode()))
    assert "secret" not in str(raised.value)


def test_a_receiver_that_wants_no_more_is_believed(brand: Sandbox, place: Place, person: Person) -> None:
    with faulty_vendor(brand.url) as vendor:
        url = place.environ()["ROOMTONE_WEBHOOK_URL"].replace(brand.url, vendor.url)
        settings = load_settings(place.environ() | {"ROOMTONE_WEBHOOK_URL": url})
        mart = Mart(settings)
        mart.pause(person, brand.now() + timedelta(days=14))
        vendor.faults = [Fault("POST", "/deliveries", "410")]
        with pytest.raises(RoomtoneError, match="webhook receiver: answered 410: it wants no more; take webhook out"):
            sync(settings, mart.commit(brand.now()), "webhook")
