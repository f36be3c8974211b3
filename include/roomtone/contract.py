"""The input records, the words and the version of the contract that sources, marts and destinations rely on.

Every source is turned into these records; a line that does not fit is quarantined with the reason that `check` gives.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from roomtone.errors import RoomtoneError

CONTRACT_VERSION = 1

SCOPES = ("sales", "upsell", "recommendation", "sms", "discount", "celebration", "review_request")
TIERS = {0: "calm", 1: "mild", 2: "negative", 3: "severe"}
RECOVERY_KINDS = ("apology", "priority_confirmation", "discount_code", "free_shipping", "personal_note", "welcome_back")
MESSAGE_CLASSES = ("service", "marketing", "human")
LIVE_STATUSES = ("new", "open", "pending", "hold")
SENTIMENTS = ("negative", "neutral", "positive")
CUES = ("frustration", "gratitude", "confusion", "sarcasm", "threat")

SentimentName = Literal["negative", "neutral", "positive"]
Scope = Literal["sales", "upsell", "recommendation", "sms", "discount", "celebration", "review_request"]


def _with_offset(value: object) -> datetime:
    if isinstance(value, datetime):
        instant = value
    elif isinstance(value, str):
        # fromisoformat reads bare dates and times without seconds as well; RFC 3339 wants the full form.
        if len(value) < 19 or value[10] not in "Tt ":
            raise ValueError(f"{value[:40]!r} is not an RFC 3339 timestamp")
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value[:40]!r} is not an RFC 3339 timestamp") from None
    else:
        # pydantic reports a ValueError as this field's fault and lets a TypeError through.
        raise ValueError(f"{value!r:.40} is not an RFC 3339 timestamp")  # noqa: TRY004
    if instant.tzinfo is None:
        raise ValueError(f"{value!s:.40} has no UTC offset")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{value!s:.40} is outside the calendar") from None


def _encodable(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("holds a lone surrogate, which is not Unicode text") from None
    return value


_CONSENT_WORDS = {"subscribed": True, "unsubscribed": False, "never_subscribed": False}


def _consent(value: object) -> object:
    return _CONSENT_WORDS.get(value.lower(), value) if isinstance(value, str) else value


def _money(value: object) -> object:
    # Through text, so that 19.99 stays 19.99 and not the nearest binary fraction.
    return str(value) if isinstance(value, float) else value


Text = Annotated[str, Field(strict=True), AfterValidator(_encodable)]
Key = Annotated[str, Field(strict=True, min_length=1, max_length=200), AfterValidator(_encodable)]
Flag = Annotated[bool, Field(strict=True)]
Consent = Annotated[bool, BeforeValidator(_consent), Field(strict=True)]
Instant = Annotated[datetime, BeforeValidator(_with_offset)]
Money = Annotated[Decimal, BeforeValidator(_money), Field(ge=0, max_digits=18, decimal_places=4)]
Channel = Literal["email", "chat", "form", "in_app", "sms"]


class Record(BaseModel):
    """One record of a stream. Unknown fields are kept in the raw record and ignored here."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: Key


class Customer(Record):
    email: Text | None = None
    phone: Text | None = None
    name: Text | None = None
    timezone: Text | None = None
    email_marketing_consent: Consent
    sms_marketing_consent: Consent
    created_at: Instant
    updated_at: Instant


class Ticket(Record):
    customer_id: Key
    channel: Channel
    subject: Text | None = None
    status: Literal["new", "open", "pending", "hold", "solved", "closed", "deleted"]
    priority: Text | None = None
    assignee_id: Text | None = None
    group_id: Text | None = None
    order_id: Text | None = None
    merged_into: Text | None = None
    created_at: Instant
    updated_at: Instant


class Message(Record):
    ticket_id: Key
    author: Literal["customer", "agent", "bot"]
    body: Text
    is_public: Flag
    created_at: Instant
    updated_at: Instant


class SatisfactionRating(Record):
    ticket_id: Key
    score: Annotated[int, Field(strict=True, ge=1, le=5)]
    created_at: Instant


class Order(Record):
    customer_id: Key
    placed_at: Instant
    total: Money
    currency: Text
    status: Text
    refunded_amount: Money | None = None
    updated_at: Instant


class Shipment(Record):
    order_id: Key
    shipped_at: Instant | None = None
    promised_at: Instant | None = None
    last_scan_at: Instant | None = None
    delivered_at: Instant | None = None
    updated_at: Instant


class Campaign(Record):
    name: Text
    kind: Literal["campaign", "flow"]
    channel: Literal["email", "sms", "push"]
    scope: Scope | Literal["transactional"] | None = None
    updated_at: Instant


class MarketingEvent(Record):
    customer_id: Key
    campaign_id: Key
    type: Literal["sent", "delivered", "opened", "clicked", "unsubscribed", "marked_spam", "bounced"]
    occurred_at: Instant


@dataclass(frozen=True)
class Stream:
    """One stream of records: its model and the field that dates a version of a record."""

    name: str
    record: type[Record]
    version_field: str

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of the record's columns, timestamps in microseconds UTC without zone."""
        return pa.schema([(name, _arrow_type(field.annotation)) for name, field in self.record.model_fields.items()])

    @property
    def landed_schema(self) -> pa.Schema:
        """`schema` plus what landing adds: source, version, time of receipt, and the record as it was received."""
        return pa.schema([*self.schema, *LANDED_COLUMNS])


TIMESTAMP = pa.timestamp("us")

LANDED_COLUMNS = (
    pa.field("source", pa.string()),
    pa.field("version_at", TIMESTAMP),
    pa.field("record_hash", pa.string()),
    pa.field("received_at", TIMESTAMP),
    pa.field("payload", pa.string()),
)


def _arrow_type(annotation: Any) -> pa.DataType:
    text = str(annotation)
    if "datetime" in text:
        return TIMESTAMP
    if "Decimal" in text:
        return pa.decimal128(18, 4)
    if "bool" in text:
        return pa.bool_()
    if "int" in text:
        return pa.int64()
    return pa.string()


STREAMS: Mapping[str, Stream] = {
    stream.name: stream
    for stream in (
        Stream("customers", Customer, "updated_at"),
        Stream("tickets", Ticket, "updated_at"),
        Stream("messages", Message, "updated_at"),
        Stream("satisfaction_ratings", SatisfactionRating, "created_at"),
        Stream("orders", Order, "updated_at"),
        Stream("shipments", Shipment, "updated_at"),
        Stream("campaigns", Campaign, "updated_at"),
        Stream("marketing_events", MarketingEvent, "occurred_at"),
    )
}


# What a customer wrote or is called is not repeated in a reason: reasons are counted, logged and shown.
_PERSONAL_FIELDS = frozenset({"body", "subject", "name", "email", "phone"})


@dataclass(frozen=True)
class Landed:
    """One checked version of a record, as a row of `Stream.landed_schema` (timestamps naive UTC)."""

    row: dict[str, Any]

    @property
    def key(self) -> tuple[str, str]:
        """(record id, record hash): two rows with one key are the same version."""
        return self.row["id"], self.row["record_hash"]


def check(stream: str, source: str, payload: object, received_at: datetime) -> Landed:
    """One received record as a landed row.

    Raises RoomtoneError whose thing is the field, value what it held, and next step what the contract wants.
    """
    spec = STREAMS[stream]
    if not isinstance(payload, Mapping):
        raise RoomtoneError(stream, f"{type(payload).__name__} is not a JSON object", "write one object a line")
    try:
        record = spec.record.model_validate(payload)
        text = json.dumps(payload, ensure_ascii=False, sort_keys=True, default=str)
        _encodable(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = str(first["loc"][0])
        if first["type"] == "missing":
            raise RoomtoneError(f"{stream}.{name}", "is missing", "send the field") from None
        shown = f"a {type(first['input']).__name__}" if name in _PERSONAL_FIELDS else f"{first['input']!r:.60}"
        raise RoomtoneError(f"{stream}.{name}", shown, first["msg"].removeprefix("Value error, ")) from None
    except ValueError as error:
        raise RoomtoneError(stream, f"{error}", "send UTF-8 text") from None
    values = record.model_dump()
    digest = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()
    row = {name: value.replace(tzinfo=None) if isinstance(value, datetime) else value for name, value in values.items()}
    return Landed(
        row
        | {
            "source": source,
            "version_at": row[spec.version_field],
            "record_hash": digest[:32],
            "received_at": received_at.astimezone(UTC).replace(tzinfo=None),
            "payload": text,
        }
    )
