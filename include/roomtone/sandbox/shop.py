"""State of the shop: customers, orders and shipments, each with the instant of its last change."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from roomtone.sandbox.clock import rfc3339
from roomtone.sandbox.records import Customer, Order, Shipment
from roomtone.sandbox.witness import Witness


@dataclass
class Shop:
    """Rows by id; the API lists them by (updated_at, id)."""

    witness: Witness
    customers: dict[int, Customer] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    shipments: dict[int, Shipment] = field(default_factory=dict)

    def place(
        self,
        customer: Customer,
        items: list[str],
        total: str,
        at: datetime,
        *,
        is_gift: bool = False,
        gift_note: str | None = None,
    ) -> Order:
        order = Order(100_001 + len(self.orders), customer, at, at, total, "paid", items, is_gift, gift_note)
        self.orders[order.id] = order
        facts = {"order_id": order.id, "customer": customer.shop_id, "status": "paid", "total": total}
        self.witness.record(at, "order", facts)
        return order

    def ship(self, order: Order, promised_at: datetime, at: datetime) -> Shipment:
        number = 500_001 + len(self.shipments)
        shipment = Shipment(number, order, at, promised_at, at, f"RT{number * 7919 % 10**9:09d}NL")
        self.shipments[shipment.id] = shipment
        self._order_status(order, "shipped", at)
        return shipment

    def scan(self, shipment: Shipment, at: datetime) -> None:
        shipment.last_scan_at = shipment.updated_at = at
        facts = {"shipment_id": shipment.id, "order_id": shipment.order.id, "is_delivery": False}
        self.witness.record(at, "shipment_scan", facts)

    def deliver(self, shipment: Shipment, at: datetime) -> None:
        shipment.last_scan_at = shipment.delivered_at = shipment.updated_at = at
        facts = {"shipment_id": shipment.id, "order_id": shipment.order.id, "is_delivery": True}
        self.witness.record(at, "shipment_scan", facts)
        self._order_status(shipment.order, "delivered", at)

    def refund(self, order: Order, amount: str, at: datetime) -> None:
        order.refunded_amount = amount
        self._order_status(order, "refunded", at)

    def _order_status(self, order: Order, status: str, at: datetime) -> None:
        order.status, order.updated_at = status, at
        facts = {"order_id": order.id, "customer": order.customer.shop_id, "status": status, "total": order.total}
        self.witness.record(at, "order", facts)

    def listed(self, stream: str, since: datetime | None, after: tuple[str, str] | None, limit: int) -> dict[str, Any]:
        """One page of a stream: `{"items": [...], "next_cursor": text or None}`, ascending by (updated_at, id)."""
        rows = {
            "customers": lambda: [_customer(c) for c in self.customers.values()],
            "orders": lambda: [_order(o) for o in self.orders.values()],
            "shipments": lambda: [_shipment(s) for s in self.shipments.values()],
        }[stream]()
        floor = (rfc3339(since), "") if since else ("", "")
        start = after or floor
        later = sorted((row for row in rows if (row["updated_at"], row["id"]) > start), key=_place)
        page = later[:limit]
        cursor = "|".join(_place(page[-1])) if len(later) > limit else None
        return {"items": page, "next_cursor": cursor}


def _place(row: dict[str, Any]) -> tuple[str, str]:
    return row["updated_at"], row["id"]


def _customer(customer: Customer) -> dict[str, Any]:
    return {
        "id": customer.shop_id,
        "email": customer.email,
        "phone": customer.phone,
        "name": customer.name,
        "timezone": customer.timezone,
        "email_marketing_consent": customer.email_consent,
        "sms_marketing_consent": customer.sms_consent,
        "created_at": rfc3339(customer.created_at),
        "updated_at": rfc3339(customer.updated_at),
    }


def _order(order: Order) -> dict[str, Any]:
    return {
        "id": str(order.id),
        "customer_id": order.customer.shop_id,
        "placed_at": rfc3339(order.placed_at),
        "total": order.total,
        "currency": order.currency,
        "status": order.status,
        "refunded_amount": order.refunded_amount,
        "items": order.items,
        "is_gift": order.is_gift,
        "gift_note": order.gift_note,
        "updated_at": rfc3339(order.updated_at),
    }


def _shipment(shipment: Shipment) -> dict[str, Any]:
    def text(instant: datetime | None) -> str | None:
        return rfc3339(instant) if instant else None

    return {
        "id": str(shipment.id),
        "order_id": str(shipment.order.id),
        "tracking_number": shipment.tracking_number,
        "shipped_at": rfc3339(shipment.shipped_at),
        "promised_at": rfc3339(shipment.promised_at),
        "last_scan_at": text(shipment.last_scan_at),
        "delivered_at": text(shipment.delivered_at),
        "updated_at": rfc3339(shipment.updated_at),
    }
