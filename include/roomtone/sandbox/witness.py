"""The witness: what reached the brand and what happened in it, in order, apart from what roomtone says of itself."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from roomtone.sandbox.clock import rfc3339

KINDS = (
    "request",
    "profile_updated",
    "profile_merged",
    "hand_edit",
    "event_received",
    "delivery_received",
    "ticket_updated",
    "ticket_status",
    "message_written",
    "campaign_send",
    "order",
    "shipment_scan",
    "violation",
)


class Witness:
    """An append-only log; sequence numbers start at 1. Closed while the past is being made up."""

    def __init__(self) -> None:
        self._entries: list[dict[str, Any]] = []
        self.is_open = False

    def record(self, at: datetime, kind: str, facts: Mapping[str, Any]) -> None:
        if self.is_open:
            self._entries.append({"seq": len(self._entries) + 1, "at": rfc3339(at), "kind": kind, **facts})

    def after(self, seq: int, kinds: frozenset[str] | None = None) -> dict[str, Any]:
        """`{"entries": [...], "last": n}`: the entries later than `seq`, of the kinds asked for."""
        later = self._entries[max(seq, 0) :]
        chosen = later if kinds is None else [entry for entry in later if entry["kind"] in kinds]
        return {"entries": chosen, "last": len(self._entries)}
