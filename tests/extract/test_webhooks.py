"""Who is believed: the signature schemes of four senders, over the bytes as they came."""

import base64
import hashlib
import hmac
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from roomtone.extract.webhooks import REPLAY_WINDOW, SCHEMES, ForgedError, RateLimit, sign, verify

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
STAMP = str(int(NOW.timestamp()))
SECRET = "0123456789abcdef0123456789abcdef"
# Spaces, a letter outside ASCII and an escape: written anew by a JSON library it would be other bytes.
BODY = '{ "type" : "messages",\n "data": {"body": "caf\u00e9 \\u00fc"} }'.encode()
SENDERS = sorted(SCHEMES)


def signed(sender: str, body: bytes = BODY, secret: str = SECRET, stamp: str = STAMP) -> dict[str, str]:
    return sign(sender, secret, body, stamp, "delivery-1")


def is_believed(sender: str, headers: Mapping[str, str], body: bytes = BODY, now: datetime = NOW) -> bool:
    try:
        verify(sender, headers, body, (SECRET,), now)
    except ForgedError:
        return False
    return True


def mac(digest: str, *parts: bytes) -> bytes:
    return hmac.new(SECRET.encode(), b"".join(parts), digest).digest()


@pytest.mark.parametrize(
    ("sender", "headers"),
    [
        (
            "zendesk",
            {
                "x-zendesk-webhook-signature": base64.b64encode(mac("sha256", b"2026-03-02T09:00:00Z", BODY)).decode(),
                "x-zendesk-webhook-signature-timestamp": "2026-03-02T09:00:00Z",
            },
        ),
        ("intercom", {"x-hub-signature": "sha1=" + mac("sha1", BODY).hex()}),
        (
            "klaviyo",
            {"klaviyo-signature": mac("sha256", BODY, STAMP.encode()).hex(), "klaviyo-timestamp": STAMP},
        ),
        (
            "generic",
            {
                "webhook-id": "msg_1",
                "webhook-timestamp": STAMP,
                "webhook-signature": "v1,"
                + base64.b64encode(mac("sha256", b"msg_1.", STAMP.encode(), b".", BODY)).decode(),
            },
        ),
    ],
)
def test_each_vendor_s_own_way_of_signing(sender: str, headers: dict[str, str]) -> None:
    delivery = verify(sender, headers, BODY, (SECRET,), NOW)
    assert (delivery.sender, delivery.body) == (sender, BODY)


def test_the_example_of_standard_webhooks() -> None:
    """The test vector that the specification's reference libraries share."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    now = datetime.fromtimestamp(1614265330, UTC)
    assert verify("generic", headers, b'{"test": 2432232314}', (secret,), now).delivery_id == headers["webhook-id"]


@pytest.mark.parametrize("sender", SENDERS)
def test_ten_thousand_forgeries_are_refused(sender: str) -> None:
    """Every byte of the body, and of each header that the scheme reads, altered, dropped and added in turn."""
    rng = random.Random(sender)
    scheme, genuine = SCHEMES[sender], signed(sender)
    assert is_believed(sender, genuine)
    read = [scheme.signature_header, scheme.timestamp_header]
    read += [scheme.delivery_header] if scheme.is_delivery_signed else []
    targets = [name for name in read if name]
    accepted = 0
    for _ in range(10_000 // len(SENDERS)):
        headers, body = dict(genuine), BODY
        target = rng.choice([*targets, "body"])
        text = body if target == "body" else headers[target].encode()
        at, kind = rng.randrange(len(text)), rng.choice(("alter", "drop", "add", "cut", "none"))
        match kind:
            case "alter":
                forged = text[:at] + bytes([text[at] ^ (1 << rng.randrange(7))]) + text[at + 1 :]
            case "drop":
                forged = text[:at] + text[at + 1 :]
            case "add":
                forged = text[:at] + bytes([rng.randrange(33, 127)]) + text[at:]
            case "cut":
                forged = text[:at]
            case _:
                forged = hashlib.sha256(rng.randbytes(8)).hexdigest().encode()
        if target == "body":
            body = forged
        else:
            headers[target] = forged.decode("latin-1")
        if (body, headers) != (BODY, genuine):
            accepted += is_believed(sender, headers, body)
    assert accepted == 0


@pytest.mark.parametrize("sender", [name for name in SENDERS if SCHEMES[name].timestamp_header])
def test_stamps_outside_the_window_are_refused(sender: str) -> None:
    for seconds in (*range(301, 2000, 100), 86_400, 10**9):
        for sign_of in (-1, 1):
            stamp = str(int((NOW + timedelta(seconds=sign_of * seconds)).timestamp()))
            assert not is_believed(sender, signed(sender, stamp=stamp)), stamp
    for seconds in (-300, -1, 0, 1, 300):
        stamp = str(int((NOW + timedelta(seconds=seconds)).timestamp()))
        assert is_believed(sender, signed(sender, stamp=stamp)), stamp
    for stamp in ("", "soon", "2026-03-02T09:00:00", "9" * 30, "-1", "1e9", "\u0661\u0662"):
        assert not is_believed(sender, signed(sender, stamp=stamp)), stamp
    assert timedelta(minutes=5) == REPLAY_WINDOW


@pytest.mark.parametrize("sender", SENDERS)
def test_a_changed_secret_overlaps_with_the_old_one(sender: str) -> None:
    new, old = "new-secret-new-secret-new-secret", SECRET
    for secret in (new, old):
        assert verify(sender, signed(sender, secret=secret), BODY, (new, old), NOW).body == BODY
    with pytest.raises(ForgedError, match="no signature fits"):
        verify(sender, signed(sender, secret=old), BODY, (new,), NOW)
    with pytest.raises(ForgedError):
        verify(sender, signed(sender), BODY, (), NOW)


def test_a_sender_may_sign_twice_while_it_changes_its_secret() -> None:
    headers = signed("generic")
    headers["webhook-signature"] = "v1,bm90IHRoaXMgb25l v1a,other " + headers["webhook-signature"]
    assert is_believed("generic", headers)
    headers["webhook-signature"] = " ".join(["v1,bm90IHRoaXMgb25l"] * 5 + [signed("generic")["webhook-signature"]])
    assert not is_believed("generic", headers), "no more than five are tried"


@pytest.mark.parametrize("sender", SENDERS)
def test_missing_headers_are_refused(sender: str) -> None:
    scheme = SCHEMES[sender]
    for name in (scheme.signature_header, scheme.timestamp_header):
        headers = signed(sender)
        if name:
            headers.pop(name)
            assert not is_believed(sender, headers), name
    assert not is_believed(sender, {})


def test_a_signature_of_one_sender_is_none_of_another() -> None:
    for sender in SENDERS:
        for other in SENDERS:
            assert is_believed(other, signed(sender)) is (sender == other)


def test_the_rate_limit_lets_a_burst_through_and_then_the_rate() -> None:
    at = [0.0]
    limit = RateLimit(per_second=10, burst=5, now=lambda: at[0])
    assert [limit.take() for _ in range(7)] == [True] * 5 + [False] * 2
    at[0] = 0.25
    assert [limit.take() for _ in range(4)] == [True, True, False, False]
    at[0] = 1000.0
    assert sum(limit.take() for _ in range(20)) == 5
