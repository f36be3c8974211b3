"""What every destination must do, whoever is behind it: the same questions to all of the table."""

import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, cycle
from math import ceil
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from conftest import Sandbox
from roomtone.errors import RoomtoneError
from roomtone.settings import Settings, load_settings
from roomtone.stores import warehouse
from roomtone.stores.operational import OperationalStore
from roomtone.sync import sync, transport
from roomtone.sync.desired import PROFILE_PROPERTIES, RECOVERY_EVENT, read_desired
from roomtone.sync.destinations import NAMES, destination_class, klaviyo, open_destination, zendesk
from roomtone.sync.destinations.base import Answer, Nulls
from roomtone.sync.plan import Intent

from .conformance_table import CASES, ZENDESK
from .conftest import Mart, Person, Witness, on_the_platform
from .faulty_proxy import Fault, FaultyVendor, faulty_vendor
from .place import Place

of_people = [name for name, case in CASES.items() if case.profile]
of_tickets = [name for name, case in CASES.items() if case.ticket]
of_events = [name for name, case in CASES.items() if case.count_events]
# A tag that no ticket has yet, so that there is always something to change.
COUNTER = count(10)
over_http = [name for name, case in CASES.items() if case.refused]


@pytest.fixture
def settings(place: Place) -> Settings:
    return load_settings(place.environ())


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_FIRST_WAIT_SECONDS", 0.01)


@pytest.fixture(scope="module")
def numbers(brand: Sandbox) -> Iterator[str]:
    """Live tickets, round and round: every change that is made to one is a new one."""
    link = f"{brand.url}/zendesk/api/v2/incremental/tickets/cursor.json?start_time=1"
    tickets = httpx.get(link, headers=ZENDESK, timeout=60).json()["tickets"]
    return cycle([str(ticket["id"]) for ticket in tickets if ticket["status"] in {"new", "open", "pending"}])


def bring(mart: Mart, brand: Sandbox, name: str) -> Any:
    return sync(mart.settings, mart.commit(brand.now()), name)


def test_every_destination_is_in_the_table() -> None:
    assert set(CASES) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_declares_what_is_expected_of_it(name: str) -> None:
    declared, case = destination_class(name), CASES[name]
    assert (declared.name, declared.kinds) == (name, case.kinds)
    assert set(declared.batch_sizes) == set(case.kinds)
    assert declared.can_create_profiles is False
    for what, expected in (("nulls", case.nulls), ("can_read_back", case.can_read_back)):
        assert vars(declared).get(what, expected) == expected, what
    repeats = dict(getattr(declared, "idempotency", {}))
    if case.events is not None and repeats:
        assert repeats[RECOVERY_EVENT] == case.events


@pytest.mark.parametrize("name", of_people)
def test_a_pause_arrives_with_its_end_and_only_once(
    *, name: str, brand: Sandbox, mart: Mart, person: Person, place: Place, witness: Witness
) -> None:
    until = brand.now() + timedelta(days=14)
    mart.pause(person, until, scopes=("sales", "sms"))
    report = bring(mart, brand, name)
    assert (report.total.planned, report.total.done, report.total.in_doubt) == (1, 1, 0)
    held = CASES[name].profile(place, person.customer_id)
    assert held is not None
    assert (held["roomtone_pause_sales"], held["roomtone_pause_discount"], held["roomtone_tier"]) == (True, False, 2)
    end = held["roomtone_pause_until"]
    assert end in (until.strftime("%Y-%m-%dT%H:%M:%SZ"), int(until.timestamp()))
    assert "roomtone_synced_at" in held
    again = bring(mart, brand, name)
    assert (again.total.planned, again.total.unchanged) == (0, 1)


@pytest.mark.parametrize("name", of_people)
def test_the_end_of_a_pause_does_to_the_date_what_is_declared(
    *, name: str, brand: Sandbox, mart: Mart, person: Person, place: Place, witness: Witness
) -> None:
    mart.pause(person, brand.now() + timedelta(days=14))
    bring(mart, brand, name)
    mart.calm(person)
    assert bring(mart, brand, name).total.done == 1
    held = CASES[name].profile(place, person.customer_id)
    assert held is not None
    assert held["roomtone_pause_sales"] is False
    is_there = "roomtone_pause_until" in held
    assert is_there is (CASES[name].nulls is Nulls.STORED)
    assert held.get("roomtone_pause_until") is None


@pytest.mark.parametrize("name", ["braze", "customerio"])
def test_what_is_held_is_read_in_a_payload_s_words(
    *, name: str, brand: Sandbox, mart: Mart, person: Person, witness: Witness
) -> None:
    """Or the platform would seem to have been changed by hand wherever it only writes a value its own way."""
    mart.pause(person, brand.now() + timedelta(days=14), scopes=("sales",))
    bring(mart, brand, name)
    store = OperationalStore(mart.settings)
    target = open_destination(mart.settings, store, name, 1)
    try:
        for change in (lambda: None, lambda: mart.calm(person)):
            change()
            bring(mart, brand, name)
            [row] = desired(mart, PROFILE_PROPERTIES)
            number = person.customer_id.removeprefix("shop-")
            shown = target.read_state(PROFILE_PROPERTIES, [number, "999999"])
            assert list(shown) == [number]
            assert {field: shown[number].get(field) for field in row.payload} == dict(row.payload)
    finally:
        target.close()
        store.close()


@pytest.mark.parametrize("name", of_people)
def test_a_row_that_vanishes_ends_the_pause(
    *, name: str, brand: Sandbox, mart: Mart, person: Person, place: Place, witness: Witness
) -> None:
    mart.pause(person, brand.now() + timedelta(days=14))
    bring(mart, brand, name)
    mart.profiles.clear()
    assert bring(mart, brand, name).total.done == 1
    held = CASES[name].profile(place, person.customer_id)
    assert held is not None
    assert held["roomtone_pause_sales"] is False


@pytest.mark.parametrize("name", of_people)
def test_a_stranger_is_never_made(
    *, name: str, brand: Sandbox, mart: Mart, stranger: Person, place: Place, witness: Witness
) -> None:
    mart.pause(stranger, brand.now() + timedelta(days=14))
    mart.owe(stranger, f"trigger-stranger-{name}", brand.now())
    report = bring(mart, brand, name)
    if CASES[name].skips_unknown:
        assert (report.total.planned, report.total.skipped) == (0, 2)
        assert "skipped 1 profile_properties: not on the platform" in report.notes
        assert CASES[name].profile(place, stranger.customer_id) is None
    assert witness.entries("violation") == []


@pytest.mark.parametrize("name", of_events)
def test_an_event_arrives_once_whatever_is_repeated(
    *, name: str, brand: Sandbox, mart: Mart, person: Person, place: Place, witness: Witness
) -> None:
    """Sent, read back, planned again, and handed to the destination once more as after a crash."""
    case, trigger_id = CASES[name], f"trigger-once-{name}"
    mart.owe(person, trigger_id, brand.now())
    current = mart.commit(brand.now())
    report = sync(mart.settings, current, name)
    assert (report.total.planned, report.total.done) == (1, 1)
    assert bring(mart, brand, name).total.planned == 0
    store = OperationalStore(mart.settings)
    target = open_destination(mart.settings, store, name, 1)
    try:
        row = next(r for r in desired(mart, RECOVERY_EVENT) if r.subject_id == trigger_id)
        vendor_id = target.vendor_ids([row], brand.now())[trigger_id]
        intent = Intent(
            intent_id=f"{name}:{trigger_id}",
            destination=name,
            kind=RECOVERY_EVENT,
            subject_id=trigger_id,
            vendor_id=vendor_id,
            fingerprint=row.fingerprint,
            payload=row.payload,
            pass_sequence=current.sequence,
            as_of=current.as_of,
            attempts=2,
            sent_at=brand.now(),
        )
        [outcome] = target.send(RECOVERY_EVENT, [intent], brand.now())
    finally:
        target.close()
        store.close()
    assert outcome.answer is Answer.ACCEPTED
    assert case.count_events(place, trigger_id, person.customer_id) == 1


def desired(mart: Mart, kind: str) -> list[Any]:
    with warehouse.connect(mart.settings) as connection:
        return read_desired(connection, [kind])[kind]


@pytest.mark.parametrize("name", of_tickets)
def test_a_ticket_is_routed_and_a_null_does_what_is_declared(
    *, name: str, brand: Sandbox, mart: Mart, numbers: Iterator[str], place: Place, witness: Witness
) -> None:
    case, number = CASES[name], next(numbers)
    mart.route(int(number), "urgent", "escalations", 2, source=case.source)
    assert bring(mart, brand, name).total.done == 1
    held = case.ticket(place, number)
    assert (held["priority"], held["queue"], held["tags"]) == ("urgent", "escalations", ["roomtone_tier_2"])
    mart.tickets[f"{case.source}-{number}"]["priority"] = None
    mart.tickets[f"{case.source}-{number}"]["tags"] = "roomtone_tier_0"
    assert bring(mart, brand, name).total.done == 1
    held = case.ticket(place, number)
    assert held["priority"] == (None if case.nulls is Nulls.STORED else "urgent")
    assert held["tags"] == ["roomtone_tier_0"]


@pytest.fixture
def proxied(place: Place, brand: Sandbox) -> Iterator[tuple[FaultyVendor, Settings]]:
    """Settings whose vendors are reached through a proxy that has bad days."""
    with faulty_vendor(brand.url) as vendor:
        environ = {
            name: value.replace(brand.url, vendor.url) if name != "ROOMTONE_CLOCK_URL" else value
            for name, value in place.environ().items()
        }
        yield vendor, load_settings(environ)


def change(name: str, mart: Mart, brand: Sandbox, person: Person, numbers: Iterator[str]) -> None:
    """Something for a destination to do."""
    if CASES[name].profile:
        mart.pause(person, brand.now() + timedelta(days=14))
    else:
        tier = next(COUNTER)
        mart.route(int(next(numbers)), "high", "escalations", tier, source=CASES[name].source)


@pytest.mark.parametrize("kind", ["429", "500_after"])
@pytest.mark.parametrize("name", over_http)
def test_a_call_that_goes_wrong_is_made_again_and_has_one_effect(
    *,
    name: str,
    kind: str,
    brand: Sandbox,
    person: Person,
    numbers: Iterator[str],
    proxied: tuple[FaultyVendor, Settings],
    witness: Witness,
) -> None:
    vendor, settings = proxied
    mart = Mart(settings)
    change(name, mart, brand, person, numbers)
    method, path = CASES[name].writes.split(" ")
    vendor.faults = [Fault(method, path, kind)]
    assert sync(settings, mart.commit(brand.now()), name).total.done == 1
    assert vendor.faults[0].times == 0
    effects = witness.entries("profile_updated", "delivery_received", "ticket_updated")
    assert sum(not e.get("is_duplicate") and e.get("changed") != {} for e in effects) == 1


@pytest.mark.parametrize("name", [name for name in of_people if name in ("braze", "customerio", "klaviyo")])
def test_many_changes_take_no_more_calls_than_batches(
    *, name: str, brand: Sandbox, mart: Mart, place: Place, witness: Witness
) -> None:
    known = [person for person in on_the_platform(brand) if person.customer_id.removeprefix("shop-").isdecimal()]
    for person in known:
        mart.pause(person, brand.now() + timedelta(days=9))
    witness.forward()
    report = bring(mart, brand, name)
    assert report.total.done == len(known) > 150
    path = CASES[name].writes.split(" ")[1].removeprefix(f"/{name}")
    path = "/api/profile-bulk-import-jobs" if name == "klaviyo" else path
    calls = [entry for entry in witness.writes() if entry["path"] == path]
    size = destination_class(name).batch_sizes["profile_properties"]
    assert len(calls) == ceil(len(known) / size)


@pytest.mark.parametrize("name", of_people)
def test_a_row_of_a_megabyte_spoils_nobody_else_s(
    *, name: str, brand: Sandbox, mart: Mart, people: Callable[[int], list[Person]], place: Place, witness: Witness
) -> None:
    first, second, third = people(3)
    for person in (first, second, third):
        mart.pause(person, brand.now() + timedelta(days=14))
    mart.profiles[second.customer_id]["roomtone_reason"] = "x" * 1_000_000
    report = bring(mart, brand, name)
    words = CASES[name].refuses_megabyte
    assert (report.total.done, report.total.rejected) == ((2, 1) if words else (3, 0))
    assert words in "".join(report.notes)
    assert all("x" * 100 not in note for note in report.notes)
    for person in (first, third):
        assert CASES[name].profile(place, person.customer_id)["roomtone_pause_sales"] is True


@pytest.mark.parametrize("name", over_http)
def test_no_call_may_be_faster_than_the_vendor_allows(name: str) -> None:
    """The client's own limits, in numbers, against those that the server enforces."""
    declared = destination_class(name)
    older = {"klaviyo": klaviyo.ENDPOINTS, "zendesk": zendesk.ENDPOINTS}
    limits = CASES[name].vendor_limits
    for endpoint in getattr(declared, "rate_limits", ()) or older.get(name, ()):
        key = f"{endpoint.method} {endpoint.path.split('{')[0]}"
        if limits:
            fastest, most = limits[key]
            assert endpoint.per_second <= fastest, key
            assert endpoint.per_minute <= most, key
        assert endpoint.per_minute <= endpoint.per_second * 60


def told(settings: Settings, mart: Mart, brand: Sandbox, name: str) -> str:
    """The one line of a sync that cannot go on."""
    with pytest.raises(RoomtoneError) as raised:
        sync(settings, mart.commit(brand.now()), name)
    line = str(raised.value)
    assert "\n" not in line
    assert line.count("; ") >= 1
    for secret in ("revoked", "whsec_", "sandbox-site", *[c.token for c in settings.connections.values() if c.token]):
        assert secret not in line
    return line


@pytest.mark.parametrize("name", over_http)
def test_a_revoked_key_is_one_line(
    *, name: str, brand: Sandbox, person: Person, numbers: Iterator[str], place: Place, witness: Witness
) -> None:
    other = "whsec_" + "cmV2b2tlZCByZXZva2VkIHJldm9rZWQgcmV2b2tlZCE=" if name == "webhook" else "revoked-revoked"
    environ = place.environ() | {f"ROOMTONE_{name.upper()}_TOKEN": other}
    environ.pop("ROOMTONE_CUSTOMERIO_APP_KEY")
    settings = load_settings(environ)
    mart = Mart(settings)
    change(name, mart, brand, person, numbers)
    line = told(settings, mart, brand, name)
    assert CASES[name].refused.replace(".", "(") in line
    assert f"check ROOMTONE_{name.upper()}_TOKEN and its scopes" in line
    assert witness.entries("profile_updated", "delivery_received", "ticket_updated") == []
    # Nothing is lost: with the right key the same pass goes out.
    settings = load_settings(place.environ())
    assert sync(settings, mart.commit(brand.now()), name).total.done == 1


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("redirect", "answered 302, a redirect; set the connection's URL to the final address"),
        ("html", "answered 200 with text/html, not JSON; check that the connection's URL is the API's"),
    ],
)
@pytest.mark.parametrize("name", over_http)
def test_somebody_else_at_the_address_is_one_line(
    *,
    name: str,
    kind: str,
    words: str,
    brand: Sandbox,
    person: Person,
    numbers: Iterator[str],
    proxied: tuple[FaultyVendor, Settings],
    witness: Witness,
) -> None:
    vendor, settings = proxied
    mart = Mart(settings)
    change(name, mart, brand, person, numbers)
    vendor.faults = [Fault(method, f"/{name}/", kind, times=99) for method in ("GET", "POST", "PUT", "PATCH")]
    assert words in told(settings, mart, brand, name)
    assert witness.writes() == []


@pytest.fixture(scope="module")
def stranger_s_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An HTTPS server whose certificate nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody.example.com")])
    began = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(began)
        .not_valid_after(began + timedelta(days=9))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", over_http)
def test_a_certificate_that_does_not_fit_is_one_line(
    *, name: str, brand: Sandbox, person: Person, numbers: Iterator[str], place: Place, stranger_s_certificate: str
) -> None:
    url = f"{stranger_s_certificate}/{name}" + ("/deliveries" if name == "webhook" else "")
    environ = place.environ() | {f"ROOMTONE_{name.upper()}_URL": url, "ROOMTONE_CUSTOMERIO_APP_URL": url}
    settings = load_settings(environ)
    mart = Mart(settings)
    change(name, mart, brand, person, numbers)
    line = told(settings, mart, brand, name)
    assert "CERTIFICATE_VERIFY_FAILED" in line
    assert "check the address and that it is up" in line
