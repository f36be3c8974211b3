"""Keys, scopes, types, sizes, certificates and links that do not fit: one line each, and the rest goes on."""

import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from conftest import Sandbox
from roomtone.errors import RoomtoneError
from roomtone.settings import Connection
from roomtone.stores import warehouse
from roomtone.stores.operational import OperationalStore
from roomtone.sync import sync
from roomtone.sync.destinations.klaviyo import ENDPOINTS
from roomtone.sync.transport import Timing, Transport, VendorUnreachableError

from .conftest import Mart, Person, Witness
from .test_differences import properties

KLAVIYO = Connection("klaviyo", "https://a.klaviyo.example", "pk_some_secret_key")


def answering(status: int, **body: object) -> Transport:
    client = Transport(KLAVIYO, {}, ENDPOINTS, Timing(lambda _: None))
    reply = httpx.MockTransport(lambda _: httpx.Response(status, json=body))
    client._client = httpx.Client(transport=reply, follow_redirects=False)
    return client


@pytest.mark.parametrize(
    ("status", "code", "detail"),
    [
        (401, "not_authenticated", "Missing or invalid private key."),
        (403, "permission_denied", "The key lacks the scope profiles:write."),
    ],
)
def test_a_revoked_key_and_a_missing_scope_are_told_in_the_vendor_s_words(status: int, code: str, detail: str) -> None:
    client = answering(status, errors=[{"code": code, "detail": detail}])
    with pytest.raises(VendorUnreachableError) as refused:
        client.call("PATCH", "/api/profiles/P1", body={})
    assert str(refused.value) == (
        f"klaviyo PATCH /api/profiles/{{}}: answered {status} ({code}: {detail}); "
        "check ROOMTONE_KLAVIYO_TOKEN and its scopes"
    )


def test_a_key_that_was_revoked_stops_the_sync_at_once_and_loses_nothing(
    brand: Sandbox, mart: Mart, person: Person, witness: Witness
) -> None:
    now = brand.now()
    mart.pause(person, now + timedelta(days=14))
    current = mart.commit(now)
    ours = mart.settings
    revoked = replace(ours.connection("klaviyo"), token="revoked")
    theirs = replace(ours, connections=ours.connections | {"klaviyo": revoked})
    with pytest.raises(RoomtoneError, match=r"answered 401 \(not_authenticated: .*\); check ROOMTONE_KLAVIYO_TOKEN"):
        sync(theirs, current, "klaviyo")
    assert len(witness.entries("request")) == 1 + len([e for e in witness.entries("request") if "clock" in e["path"]])
    assert sync(ours, current, "klaviyo").total.done == 1


def test_two_rows_about_one_customer_stop_that_sync(
    brand: Sandbox, mart: Mart, people: Callable[[int], list[Person]], witness: Witness
) -> None:
    now = brand.now()
    first, second = people(2)
    mart.pause(first, now + timedelta(days=14))
    mart.pause(second, now + timedelta(days=14))
    current = mart.commit(now)
    with warehouse.connect(mart.settings) as connection:
        connection.execute(
            "insert into activations.sync_profile_properties select * from activations.sync_profile_properties"
            " where customer_id = ?",
            [first.customer_id],
        )
    with pytest.raises(RoomtoneError) as refused:
        sync(mart.settings, current, "klaviyo")
    assert str(refused.value) == (
        f"activations for profile_properties: two rows about {first.customer_id}; repair the mart, then run again"
    )
    assert witness.writes() == []


@pytest.mark.parametrize(
    ("name", "table", "key"),
    [
        ("klaviyo", "sync_recovery_events", "trigger_id"),
        ("zendesk", "sync_ticket_routing", "ticket_id"),
        ("files", "sync_profile_properties", "customer_id"),
    ],
)
def test_two_rows_about_one_subject_stop_the_sync_of_every_kind(
    *, name: str, table: str, key: str, brand: Sandbox, mart: Mart, person: Person, witness: Witness
) -> None:
    """Nothing is sent by half: also the rows that are told once stay, and go out once the mart is right."""
    now = brand.now()
    mart.pause(person, now + timedelta(days=14))
    mart.owe(person, f"trigger-doubled-{name}", now)
    mart.route(7002, "urgent", "escalations", 2)
    current = mart.commit(now)
    with warehouse.connect(mart.settings) as connection:
        connection.execute(f"insert into activations.{table} select * from activations.{table}")
        [(subject,)] = connection.execute(f"select distinct {key} from activations.{table}").fetchall()
    with pytest.raises(RoomtoneError, match=f"two rows about {subject}; repair the mart, then run again"):
        sync(mart.settings, current, name)
    assert witness.writes() == []
    assert list(mart.settings.sent_dir.rglob("*.jsonl")) == []
    assert sync(mart.settings, mart.commit(now), "files").total.done == 3


def test_a_property_of_a_megabyte_is_refused_alone(
    brand: Sandbox, mart: Mart, people: Callable[[int], list[Person]], witness: Witness
) -> None:
    now = brand.now()
    chosen = people(12)
    for person in chosen:
        mart.pause(person, now + timedelta(days=14))
    mart.profiles[chosen[5].customer_id]["roomtone_reason"] = "x" * 1_000_000
    report = sync(mart.settings, mart.commit(now), "klaviyo")
    assert (report.total.done, report.total.rejected) == (11, 1)
    [note] = [note for note in report.notes if note.startswith("rejected")]
    assert note == "rejected 1 profile_properties: invalid: The profile is larger than 100KB."
    paused = {entry["profile_id"] for entry in witness.entries("profile_updated")}
    assert paused == {person.profile_id for person in chosen} - {chosen[5].profile_id}


def test_a_field_whose_type_the_platform_changed_is_drift_and_not_an_error(
    brand: Sandbox, mart: Mart, person: Person
) -> None:
    """Read back as text where a boolean was sent: the effect is not seen, stays in doubt, and is told."""
    now = brand.now()
    mart.pause(person, now + timedelta(days=14))
    sync(mart.settings, mart.commit(now), "klaviyo")
    edit = {"profile_id": person.profile_id, "properties": {"roomtone_pause_sales": "true"}}
    brand.client.post("/hand-edit", json=edit).raise_for_status()
    from roomtone.sync.reconcile import reconcile

    report = reconcile(mart.settings, "klaviyo")
    assert (report.equal, report.repaired) == (0, 1)
    assert properties(brand, person)["roomtone_pause_sales"] is True


def test_strangers_are_skipped_and_nobody_is_created(
    brand: Sandbox, mart: Mart, stranger: Person, person: Person, witness: Witness
) -> None:
    now = brand.now()
    mart.pause(stranger, now + timedelta(days=14))
    mart.pause(person, now + timedelta(days=14))
    mart.owe(stranger, "trigger-stranger", now)
    profiles = brand.get("/world")["profiles"]
    report = sync(mart.settings, mart.commit(now), "klaviyo")
    assert report.notes == (
        "skipped 1 profile_properties: not on the platform",
        "skipped 1 recovery_event: not on the platform",
    )
    assert report.total.done == 1
    assert brand.get("/world")["profiles"] == profiles


def test_a_page_link_to_another_host_is_refused() -> None:
    client = answering(200, data=[])
    for link in (
        "http://169.254.169.254/latest/meta-data",
        "https://a.klaviyo.example.evil.example/api/profiles",
        "https://a.klaviyo.example:8443/api/profiles",
        "http://a.klaviyo.example/api/profiles",
        "https://user@a.klaviyo.example/api/profiles",
    ):
        with pytest.raises(RoomtoneError, match="klaviyo page link: leads to another host; check the connection's URL"):
            client.follow(link)


def test_a_certificate_that_does_not_fit_is_named_and_not_tried_again(tmp_path: Path) -> None:
    certificate = tmp_path / "self-signed.pem"
    certificate.write_text(self_signed())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    slept: list[float] = []
    url = f"https://127.0.0.1:{server.server_address[1]}"
    client = Transport(replace(KLAVIYO, url=url), {}, ENDPOINTS, Timing(slept.append))
    try:
        with pytest.raises(VendorUnreachableError, match=r"klaviyo GET /api/profiles: .*CERTIFICATE_VERIFY_FAILED"):
            client.call("GET", "/api/profiles")
    finally:
        server.shutdown()
        server.server_close()
        client.close()
    assert slept == []


def self_signed() -> str:
    """A key and a certificate for it that no authority has signed."""
    from datetime import UTC, datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2040, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (private + built.public_bytes(serialization.Encoding.PEM)).decode()


def test_an_unknown_destination_has_no_hold_to_release(mart: Mart, brand: Sandbox) -> None:
    from roomtone.sync import holds

    store = OperationalStore(mart.settings)
    with pytest.raises(RoomtoneError, match="release nowhere: nothing is held there that a person could let go"):
        holds.release(store, "nowhere", "somebody", brand.now())
    store.close()
