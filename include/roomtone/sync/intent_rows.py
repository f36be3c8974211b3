"""Intents as rows of the operational store, and back."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from roomtone.sync.desired import canonical
from roomtone.sync.plan import Intent


def intent_row(intent: Intent, sync_run_id: int, prior: Mapping[str, Any] | None) -> dict[str, Any]:
    """A new intent as a row; `prior` is what its destination has acknowledged before."""
    return {
        "sync_run_id": sync_run_id,
        "prior_payload": None if prior is None else canonical(prior),
        "intent_id": intent.intent_id,
        "destination": intent.destination,
        "kind": intent.kind,
        "subject_id": intent.subject_id,
        "vendor_id": intent.vendor_id,
        "fingerprint": intent.fingerprint,
        "payload": canonical(intent.payload),
        "pass_sequence": intent.pass_sequence,
        "as_of": intent.as_of,
        "expires_at": intent.expires_at,
        "status": intent.status,
        "attempts": intent.attempts,
        "outcome": "",
    }


def acknowledged_row(intent: Intent, now: datetime) -> dict[str, Any]:
    """What a destination holds once an intent is done."""
    return {
        "destination": intent.destination,
        "kind": intent.kind,
        "subject_id": intent.subject_id,
        "fingerprint": intent.fingerprint,
        "payload": canonical(intent.payload),
        "acknowledged_at": now,
    }


def read_intent(row: sa.Row[Any]) -> Intent:
    """An intent from its row."""
    return Intent(
        intent_id=row.intent_id,
        destination=row.destination,
        kind=row.kind,
        subject_id=row.subject_id,
        vendor_id=row.vendor_id,
        fingerprint=row.fingerprint,
        payload=json.loads(row.payload),
        pass_sequence=row.pass_sequence,
        as_of=row.as_of,
        expires_at=row.expires_at,
        status=row.status,
        attempts=row.attempts,
        sent_at=row.sent_at,
        tried_at=row.tried_at,
        prior_payload=None if row.prior_payload is None else json.loads(row.prior_payload),
    )
