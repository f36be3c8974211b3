"""What is known of a customer at the instant of a promotion: mood, tickets, orders, parcels, earlier promotions.

Arrow tables in, one row of numbers out for each instant. Everything lies strictly before the instant, so that a row
made today for a send of last month is the row that would have been made then.
"""

from dataclasses import dataclass, fields
from importlib.resources import files

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from roomtone.stores import warehouse

Doubles = npt.NDArray[np.float64]

_AT = pa.timestamp("us")
SCHEMAS = {
    "moments": pa.schema([("customer_id", pa.string()), ("occurred_at", _AT)]),
    "messages": pa.schema(
        [
            ("customer_id", pa.string()),
            ("ticket_id", pa.string()),
            ("occurred_at", _AT),
            ("p_negative", pa.float64()),
            ("threat", pa.float64()),
        ]
    ),
    "replies": pa.schema([("ticket_id", pa.string()), ("occurred_at", _AT)]),
    "tickets": pa.schema([("customer_id", pa.string()), ("live_from", _AT), ("live_to", _AT)]),
    "orders": pa.schema([("customer_id", pa.string()), ("occurred_at", _AT), ("total", pa.float64())]),
    "shipments": pa.schema([("customer_id", pa.string()), ("promised_at", _AT), ("delivered_at", _AT)]),
    "promotions": pa.schema([("customer_id", pa.string()), ("occurred_at", _AT), ("type", pa.string())]),
}
"""Columns of the tables, timestamps UTC without zone. `moments` are the instants to describe; `promotions` hold what
was sent, opened or clicked; a ticket that is still live has no `live_to`, a parcel on its way no `delivered_at`.
"""

FEATURES = (
    "tone_worst_14d",
    "tone_last_30d",
    "tone_mean_30d",
    "threat_30d",
    "contacts_7d",
    "contacts_30d",
    "days_since_contact",
    "open_tickets",
    "unanswered_hours",
    "orders_count",
    "value_log",
    "days_since_order",
    "late_shipments",
    "promotions_7d",
    "promotions_30d",
    "days_since_promotion",
    "opened_share_90d",
)
"""Columns of `describe`. Tones are probabilities of negative, 0 where nothing was written; days are capped at 90."""

_QUERY = files("roomtone.score").joinpath("risk_features.sql").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Facts:
    """The tables of `SCHEMAS` that lie behind the moments."""

    messages: pa.Table
    replies: pa.Table
    tickets: pa.Table
    orders: pa.Table
    shipments: pa.Table
    promotions: pa.Table

    @classmethod
    def of(cls, tables: dict[str, pa.Table]) -> "Facts":
        """Facts from tables by name; a name that is missing stands for an empty table."""
        return cls(
            **{
                field.name: tables.get(field.name, SCHEMAS[field.name].empty_table())
                .select(SCHEMAS[field.name].names)
                .cast(SCHEMAS[field.name])
                for field in fields(cls)
            }
        )


def describe(moments: pa.Table, facts: Facts) -> Doubles:
    """Features (moments x `FEATURES`) of customers at instants, in the order of `moments`."""
    with warehouse.in_memory() as memory:
        memory.register("moments", moments.cast(SCHEMAS["moments"]))
        for field in fields(facts):
            memory.register(field.name, getattr(facts, field.name))
        found = memory.sql(_QUERY).to_arrow_table()
    return np.column_stack([found[name].to_numpy().astype(np.float64) for name in FEATURES])
