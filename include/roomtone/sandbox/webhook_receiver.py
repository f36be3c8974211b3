"""A receiver of webhooks as Standard Webhooks wants one: it checks signature and time, and takes each id once."""

import hashlib
import hmac
import time
from base64 import b64decode, b64encode
from math import ceil

from roomtone.sandbox.web import Call, Limit, RefusedError, Reply, read_json
from roomtone.sandbox.witness import Witness

SECRET = "whsec_" + b64encode(b"the sandbox's webhook secret, ok").decode()
# "webhooks should be verified ... within some tolerance"; five minutes is what the reference libraries take.
TOLERANCE_SECONDS = 300
CALLS_PER_SECOND = 50
BODY_BYTES = 256_000
PATH = "/deliveries"


class WebhookReceiver:
    """Answers POSTs on `/deliveries`. The time of a signature is the machine's, not the brand's."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self._seen: set[str] = set()
        self._limit = Limit(CALLS_PER_SECOND, 1)

    def answer(self, call: Call) -> tuple[Reply, str]:
        """The reply, and the path that gave it (empty if none did)."""
        if call.path != PATH:
            return Reply(404, {"error": "there is nothing here"}), ""
        try:
            self._admit(call)
            body = read_json(call.content)
        except RefusedError as refusal:
            headers = {"Retry-After": refusal.code} if refusal.status == 429 else {}
            return Reply(refusal.status, {"error": refusal.detail}, headers), PATH
        except ValueError:
            return Reply(400, {"error": "the body is not JSON"}), PATH
        message_id = call.headers["webhook-id"]
        facts = {"api": "webhook", "unique_id": message_id, "is_duplicate": message_id in self._seen, "body": body}
        self._seen.add(message_id)
        self._witness.record(call.at, "delivery_received", facts)
        return Reply(204), PATH

    def _admit(self, call: Call) -> None:
        if call.method != "POST":
            raise RefusedError(405, "", "deliveries are POSTed")
        wait = self._limit.wait(call.at)
        if wait > 0:
            raise RefusedError(429, str(ceil(wait)), "too fast")
        self._limit.take(call.at)
        if len(call.content) > BODY_BYTES:
            raise RefusedError(413, "", "larger than 256 KB")
        message_id, sent_at = call.headers.get("webhook-id", ""), call.headers.get("webhook-timestamp", "")
        if not self._is_signed(call, message_id, sent_at):
            raise RefusedError(401, "", "the signature does not fit")
        if abs(time.time() - int(sent_at)) > TOLERANCE_SECONDS:
            raise RefusedError(400, "", "the delivery is too old")

    def _is_signed(self, call: Call, message_id: str, sent_at: str) -> bool:
        if not message_id or not sent_at.isdecimal():
            return False
        key = b64decode(SECRET.removeprefix("whsec_"))
        text = f"{message_id}.{sent_at}.".encode() + call.content
        wanted = "v1," + b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
        given = call.headers.get("webhook-signature", "").split(" ")
        return any(hmac.compare_digest(wanted.encode(), one.encode()) for one in given)
