"""Answers why a customer is quiet, or is not, from the published marts."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from roomtone.contract import TIERS
from roomtone.errors import RoomtoneError
from roomtone.settings import Settings
from roomtone.stores import published

_CAUSES = """
select causes.cause_id, causes.policy_id, causes.policy_version, causes.ticket_id, causes.shipment_id,
    causes.tier, causes.scopes, causes.started_at, causes.ended_at, causes.planned_end_at, causes.end_reason,
    causes.evidence_message_id, scores.sentiment, scores.confidence, scores.top_reasons, scores.model_version
from fct_suppression_causes as causes
left join fct_message_scores as scores on scores.message_id = causes.evidence_message_id
where causes.customer_id = ? and causes.started_at <= ? and coalesce(causes.ended_at, causes.planned_end_at) > ?
order by causes.tier desc, causes.started_at, causes.cause_id, scores.model_version desc
"""


@dataclass(frozen=True)
class Answer:
    """The state of one customer at one instant with everything that explains it."""

    customer_id: str
    at: datetime
    state: dict[str, Any]
    suppressions: list[dict[str, Any]]
    causes: list[dict[str, Any]]
    triggers: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        return {
            "customer_id": self.customer_id,
            "at": self.at,
            "state": self.state,
            "suppressions": self.suppressions,
            "causes": self.causes,
            "recovery_triggers": self.triggers,
        }

    def as_text(self) -> str:
        tier = int(self.state.get("tier") or 0)
        lines = [
            f"{self.customer_id} at {_shown(self.at)}: {self.state.get('state', 'calm')} (tier {tier}, {TIERS[tier]})"
        ]
        if not self.causes:
            lines.append("nothing is paused: no rule and no person asks for it")
        for cause in self.causes:
            about = f"ticket {cause['ticket_id']}" if cause["ticket_id"] else f"shipment {cause['shipment_id']}"
            lines.append(
                f"paused by {cause['policy_id']} version {cause['policy_version']} ({about}) "
                f"since {_shown(cause['started_at'])}"
            )
            lines.append(f"  quiet: {cause['scopes'].replace(',', ', ')}")
            lines.append(f"  ends at the latest {_shown(cause['planned_end_at'])}")
            if cause["evidence_message_id"] and cause["sentiment"]:
                lines.append(
                    f"  evidence: message {cause['evidence_message_id']} read as {cause['sentiment']}, "
                    f"confidence {cause['confidence']:.2f}, by {cause['model_version']}"
                )
                lines += [
                    f"    {reason['reason']} ({reason['weight']:+.2f})" for reason in json.loads(cause["top_reasons"])
                ]
        for trigger in self.triggers:
            reason = trigger["status_reason"] or ""
            lines.append(
                f"recovery: {trigger['kind']} {trigger['status']} (due {_shown(trigger['due_at'])}) {reason}".rstrip()
            )
        return "\n".join(lines)


def explain(settings: Settings, customer_id: str, at: datetime | None = None) -> Answer:
    """The answer for `customer_id` at `at` (default: the instant of the last published pass)."""
    if not published.query(settings, "select 1 from dim_customers where customer_id = ?", [customer_id]):
        raise RoomtoneError(
            "customer", f"{customer_id} is not in dim_customers", "check the id in published/marts.duckdb"
        )
    if at is None:
        at = published.query(settings, "select as_of from roomtone_publication")[0]["as_of"].replace(tzinfo=UTC)
    instant = at.astimezone(UTC).replace(tzinfo=None)
    states = published.query(
        settings,
        "select state, tier, valid_from as since_at from fct_customer_state_changes"
        " where customer_id = ? and valid_from <= ? and (valid_to is null or valid_to > ?)",
        [customer_id, instant, instant],
    )
    causes: dict[str, dict[str, Any]] = {}
    for row in published.query(settings, _CAUSES, [customer_id, instant, instant]):
        causes.setdefault(row["cause_id"], row)
    return Answer(
        customer_id,
        at,
        states[0] if states else {"state": "calm", "tier": 0, "since_at": None},
        published.query(
            settings,
            "select scope, valid_from, valid_to, planned_end_at, tier, cause_ids from fct_suppressions"
            " where customer_id = ? and valid_from <= ? and (valid_to is null or valid_to > ?) order by scope",
            [customer_id, instant, instant],
        ),
        list(causes.values()),
        published.query(
            settings,
            "select trigger_id, kind, message_class, due_at, expires_at, status, status_reason"
            " from fct_recovery_triggers"
            " where customer_id = ? order by due_at, trigger_id",
            [customer_id],
        ),
    )


def _shown(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"
