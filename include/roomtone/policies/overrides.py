"""A person's pause or release of one customer: wins over every rule in its interval, and always ends."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from roomtone.contract import SCOPES
from roomtone.errors import RoomtoneError
from roomtone.stores.operational import OperationalStore, overrides

# The hard cap of every pause (contract section 5, rule 10) binds people as well.
MAX_DURATION = timedelta(days=30)


@dataclass(frozen=True)
class Override:
    """One decision of a person: `action` is pause or release, in `[starts_at, ends_at)`, for the named scopes."""

    override_id: str
    customer_id: str
    action: str
    scopes: tuple[str, ...]
    reason: str
    actor: str
    starts_at: datetime
    ends_at: datetime

    @classmethod
    def decided(  # noqa: PLR0917 - a decision has these parts
        cls,
        action: str,
        customer_id: str,
        reason: str,
        actor: str,
        scopes: tuple[str, ...],
        starts_at: datetime,
        duration: timedelta,
    ) -> "Override":
        """A checked override; no scopes means all of them. Raises RoomtoneError for what cannot be decided."""
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown:
            raise RoomtoneError("--scope", unknown[0], f"choose from {', '.join(SCOPES)}")
        if not reason.strip():
            raise RoomtoneError("--reason", "is empty", "say why, so that others can follow the decision")
        if not timedelta() < duration <= MAX_DURATION:
            raise RoomtoneError(
                "--hours",
                f"{duration / timedelta(hours=1):g}",
                f"give more than 0 and at most {MAX_DURATION / timedelta(hours=1):g}",
            )
        chosen = tuple(scope for scope in SCOPES if not scopes or scope in scopes)
        parts = "|".join((action, customer_id, ",".join(chosen), reason, actor, starts_at.isoformat()))
        digest = hashlib.sha256(parts.encode()).hexdigest()[:32]
        return cls(digest, customer_id, action, chosen, reason, actor, starts_at, starts_at + duration)


def record(store: OperationalStore, override: Override) -> None:
    """Append an override to the operational store; the same one again changes nothing."""
    with store.begin() as connection:
        if connection.execute(overrides.select().where(overrides.c.override_id == override.override_id)).first():
            return
        connection.execute(
            overrides.insert().values(
                override_id=override.override_id,
                customer_id=override.customer_id,
                action=override.action,
                scopes=",".join(override.scopes),
                reason=override.reason,
                actor=override.actor,
                starts_at=override.starts_at,
                ends_at=override.ends_at,
                created_at=override.starts_at,
            )
        )
