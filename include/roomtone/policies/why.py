"""Answers why a customer is quiet, or is not, from the published marts and the published policies."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from roomtone.contract import TIERS
from roomtone.errors import RoomtoneError
from roomtone.policies.execute import execute
from roomtone.policies.rules import Rule
from roomtone.policies.suppression import MessageStart, SuppressionRule
from roomtone.policies.versions import applied_versions, stored_versions
from roomtone.settings import Settings
from roomtone.stores import published
from roomtone.stores.ledger import holds
from roomtone.stores.operational import OperationalStore, acknowledged, intents

Row = dict[str, Any]

_CAUSES = """
select causes.cause_id, causes.policy_id, causes.policy_version, causes.ticket_id, causes.shipment_id,
    causes.subject_kind, causes.subject_id, causes.tier, causes.scopes, causes.started_at, causes.ended_at,
    causes.planned_end_at, causes.planned_end_reason, causes.end_reason, causes.evidence_message_id,
    scores.sentiment, scores.confidence, scores.top_reasons, scores.model_version, scores.repeat_count_30d,
    decisions.decision_id, decisions.reason_codes, decisions.inputs, decisions.inputs_hash
from fct_suppression_causes as causes
left join fct_message_scores as scores
    on scores.message_id = causes.evidence_message_id and scores.is_in_force
left join fct_decisions as decisions on decisions.cause_id = causes.cause_id and decisions.trigger_id is null
where causes.customer_id = ? and causes.started_at <= ? and coalesce(causes.ended_at, causes.planned_end_at) > ?
order by causes.tier desc, causes.started_at, causes.cause_id
"""
_ENDED = """
select policy_id, policy_version, subject_kind, subject_id, tier, started_at, planned_end_at, planned_end_reason
from fct_suppression_causes
where customer_id = ? and planned_end_at <= ?
order by planned_end_at desc, cause_id
limit 1
"""
_MESSAGES = """
select message_id, ticket_id, created_at, sentiment, confidence, is_abstained, is_ticket_live, model_version
from fct_message_scores
where customer_id = ? and is_in_force and created_at <= ?
order by created_at desc, message_id desc
limit 3
"""
_BY_HAND = """
select action, decided_at, evidence, inputs, inputs_hash, decision_id
from fct_decisions
where customer_id = ? and override_id is not null and decided_at <= ?
order by decided_at desc, decision_id
"""

_PROFILES = "profile_properties"

_ENDINGS = {
    "resolved": "since the matter is settled and the cool-off is over then",
    "relieved": "since the customer has sounded relieved",
    "expired": "if nothing more is heard",
    "deleted": "since the ticket was deleted",
    "released": "since a person has released the customer",
}


@dataclass(frozen=True)
class Answer:
    """The state of one customer at one instant with everything that explains it.

    `why_not` tells of the latest messages what they lack to start a pause; it is filled while nothing is paused. `risk`
    is that of the last published pass, whatever `at` is. `held_by` says of each destination which of the paused scopes
    it was seen to hold; it is empty for the past.
    """

    customer_id: str
    at: datetime
    state: Row
    suppressions: list[Row]
    causes: list[Row]
    triggers: list[Row]
    by_hand: list[Row] = field(default_factory=list)
    why_not: list[str] = field(default_factory=list)
    risk: Row | None = None
    held_by: list[Row] = field(default_factory=list)

    def as_dict(self) -> Row:
        return {
            "customer_id": self.customer_id,
            "at": self.at,
            "state": self.state,
            "suppressions": self.suppressions,
            "causes": self.causes,
            "by_hand": self.by_hand,
            "why_not": self.why_not,
            "risk": self.risk,
            "held_by": self.held_by,
            "recovery_triggers": self.triggers,
        }

    def as_text(self) -> str:
        tier = int(self.state.get("tier") or 0)
        since = self.state.get("since_at")
        lines = [
            f"{self.customer_id} at {_shown(self.at)}: {self.state.get('state', 'calm')} (tier {tier}, {TIERS[tier]})"
            + (f" since {_shown(since)}" if since else "")
        ]
        if self.risk:
            lines.append(_risk_line(self.risk))
        for cause in self.causes:
            lines += _cause_lines(cause)
        lines += [_by_hand_line(decision) for decision in self.by_hand]
        lines += [_held_line(row) for row in self.held_by]
        if not self.suppressions:
            lines.append("nothing is paused")
            lines += [f"  {line}" for line in self.why_not]
        for trigger in self.triggers:
            reason = trigger["status_reason"] or ""
            lines.append(
                f"recovery: {trigger['kind']} {trigger['status']} (due {_shown(trigger['due_at'])}) {reason}".rstrip()
            )
        return "\n".join(lines)


def explain(settings: Settings, customer_id: str, at: datetime | None = None) -> Answer:
    """The answer for `customer_id`, or for the person whom that id of a vendor belongs to, at `at`.

    `at` defaults to the instant of the last published pass.

    Every decision in it is taken again from its stored inputs: `action` is what they give. Raises RoomtoneError for a
    customer whom no record mentions.
    """
    customer_id = person_of(settings, customer_id)
    latest = published.query(settings, "select as_of from roomtone_publication")[0]["as_of"].replace(tzinfo=UTC)
    at = at or latest
    is_present = at >= latest
    instant = at.astimezone(UTC).replace(tzinfo=None)
    states = published.query(
        settings,
        "select state, tier, valid_from as since_at from fct_customer_state_changes"
        " where customer_id = ? and valid_from <= ? and (valid_to is null or valid_to > ?)",
        [customer_id, instant, instant],
    )
    suppressions = published.query(
        settings,
        "select scope, valid_from, valid_to, planned_end_at, tier, cause_ids from fct_suppressions"
        " where customer_id = ? and valid_from <= ? and planned_end_at > ? order by scope",
        [customer_id, instant, instant],
    )
    rules = _rules_at(settings, at)
    causes = published.query(settings, _CAUSES, [customer_id, instant, instant])
    for cause in causes:
        cause["action"] = execute(cause["inputs"]).action
        cause["ends"] = _ending(cause, rules.get((cause["policy_id"], cause["policy_version"])))
    return Answer(
        customer_id,
        at,
        states[0] if states else {"state": "calm", "tier": 0, "since_at": None},
        suppressions,
        causes,
        published.query(
            settings,
            "select triggers.trigger_id, kind, message_class, due_at, expires_at, status, status_reason,"
            " decisions.decision_id, decisions.inputs_hash"
            " from fct_recovery_triggers as triggers"
            " left join fct_decisions as decisions on decisions.trigger_id = triggers.trigger_id"
            " where triggers.customer_id = ? order by due_at, triggers.trigger_id",
            [customer_id],
        ),
        _by_hand(settings, customer_id, instant),
        [] if suppressions else _why_not(settings, customer_id, instant, list(rules.values())),
        published.query(
            settings,
            "select churn_risk, risk_version, risk_weighed_at, value_at_risk from dim_customers where customer_id = ?",
            [customer_id],
        )[0],
        _held_by(settings, customer_id, [row["scope"] for row in suppressions]) if suppressions and is_present else [],
    )


def person_of(settings: Settings, customer_id: str) -> str:
    """The customer whom an id belongs to, be it the person's own or that of a linked record; raises RoomtoneError."""
    found = published.query(
        settings, "select customer_id from dim_customer_links where source_customer_id = ?", [customer_id]
    )
    if not found:
        raise RoomtoneError(
            "customer", f"{customer_id} is not in dim_customers", "check the id in published/marts.duckdb"
        )
    return str(found[0]["customer_id"])


def shortfall(message: Row, rules: Sequence[SuppressionRule]) -> str:
    """What a scored message lacks to start a pause under the message rules among `rules`."""
    if message["is_abstained"]:
        return "the model was not sure enough to say anything"
    read = f"read as {message['sentiment']} at {message['confidence']:.2f}"
    if not message["is_ticket_live"]:
        return f"{read}, on a ticket that was not live"
    asking = sorted(
        (rule.start.min_confidence, rule.id)
        for rule in rules
        if isinstance(rule.start, MessageStart) and rule.start.sentiment == message["sentiment"]
    )
    if not asking:
        return f"{read}, which starts no pause"
    least, policy_id = asking[0]
    if message["confidence"] >= least:
        return f"{read}, which started {policy_id}; it is over, or a person lifted it"
    return f"{read}; {policy_id} asks for {least:.2f}"


def _rules_at(settings: Settings, at: datetime) -> dict[tuple[str, int], SuppressionRule]:
    """The published suppression rules that apply at `at`, and the earlier versions that running causes keep."""
    store = OperationalStore(settings)
    try:
        with store.begin() as connection:
            applied = applied_versions(stored_versions(connection), at)
    finally:
        store.close()
    rules: list[Rule] = [version.rule for version in applied]
    return {(rule.id, rule.version): rule for rule in rules if isinstance(rule, SuppressionRule)}


def _why_not(settings: Settings, customer_id: str, instant: datetime, rules: list[SuppressionRule]) -> list[str]:
    lines = [
        f"message {message['message_id']} of {_shown(message['created_at'])}: {shortfall(message, rules)}"
        for message in published.query(settings, _MESSAGES, [customer_id, instant])
    ]
    lines += [
        f"the last pause, by {cause['policy_id']} version {cause['policy_version']} ({_subject(cause)}), ended on"
        f" {_shown(cause['planned_end_at'])}: {cause['planned_end_reason']}"
        for cause in published.query(settings, _ENDED, [customer_id, instant])
    ]
    return lines or ["no message and no other fact ever asked for a pause"]


def _by_hand(settings: Settings, customer_id: str, instant: datetime) -> list[Row]:
    """People's decisions that hold at `instant`, taken again from their stored inputs."""
    decisions = []
    for row in published.query(settings, _BY_HAND, [customer_id, instant]):
        evidence = json.loads(row["evidence"])
        if datetime.fromisoformat(evidence["ends_at"]).replace(tzinfo=None) > instant:
            row |= {"action": execute(row["inputs"]).action, "evidence": evidence}
            decisions.append(row)
    return decisions


def _held_by(settings: Settings, customer_id: str, scopes: Sequence[str]) -> list[Row]:
    """What each destination of profiles acknowledged of a customer's paused `scopes`, and what holds the rest up."""
    store = OperationalStore(settings)
    try:
        of_profiles = sa.select(acknowledged).where(acknowledged.c.kind == _PROFILES)
        with store.begin() as connection:
            # Where any profile has arrived, or this one is on its way.
            every = of_profiles.with_only_columns(acknowledged.c.destination).union(
                sa.select(intents.c.destination).where(intents.c.kind == _PROFILES, intents.c.subject_id == customer_id)
            )
            names = sorted(str(row[0]) for row in connection.execute(every))
            found = {
                row.destination: row
                for row in connection.execute(of_profiles.where(acknowledged.c.subject_id == customer_id))
            }
            held_up = {
                row.destination: f"held there with all {row.count_held} since {_shown(row.held_at)}: {row.reason};"
                " see `roomtone sync status`"
                for row in connection.execute(sa.select(holds).where(holds.c.ended_at.is_(None)))
                if row.kind == _PROFILES
            }
    finally:
        store.close()
    rows = []
    for name in names:
        payload = json.loads(found[name].payload) if name in found else {}
        missing = [scope for scope in scopes if payload.get(f"roomtone_pause_{scope}") is not True]
        rows.append(
            {
                "destination": name,
                "acknowledged_at": found[name].acknowledged_at if name in found else None,
                "missing": missing,
                "held_up": held_up.get(name) if missing else None,
            }
        )
    return rows


def _held_line(row: Row) -> str:
    if not row["missing"]:
        return f"in effect at {row['destination']}, as of {_shown(row['acknowledged_at'])}"
    why = row["held_up"] or "the next sync brings it there, where the customer is known"
    return f"not in effect at {row['destination']} ({', '.join(row['missing'])}): {why}"


def _ending(cause: Row, rule: SuppressionRule | None) -> str:
    """What ends a cause, and when, as things stand."""
    text = f"on {_shown(cause['planned_end_at'])}, {_ENDINGS[cause['planned_end_reason']]}"
    if rule is None or cause["planned_end_reason"] != "expired":
        return text
    ways = []
    if cause["ticket_id"]:
        ways.append(f"{rule.end.cool_off_hours:g} hours after its ticket is solved")
    elif cause["shipment_id"]:
        ways.append(f"{rule.end.cool_off_hours:g} hours after the parcel moves or arrives")
    if rule.relief is not None:
        ways.append(
            f"{rule.relief.after_hours:g} hours after a {rule.relief.sentiment} message"
            f" (at {rule.relief.min_confidence:.2f} or more)"
        )
    return f"{text}; sooner: {', or '.join(ways)}" if ways else text


def _risk_line(risk: Row) -> str:
    weighed_at = risk["risk_weighed_at"]
    when = f"weighed on {_shown(weighed_at)}" if weighed_at else "on mood alone until it is weighed"
    return (
        f"churn risk now: {risk['churn_risk']:.3f} by {risk['risk_version']}, {when}; value at risk"
        f" {risk['value_at_risk']:.2f}"
    )


def _cause_lines(cause: Row) -> list[str]:
    lines = [
        (
            f"paused by {cause['policy_id']} version {cause['policy_version']} ({_subject(cause)}) "
            f"since {_shown(cause['started_at'])}"
        ),
        f"  quiet: {cause['scopes'].replace(',', ', ')}",
        f"  ends {cause['ends']}",
        f"  decided: {cause['reason_codes'].replace(',', ', ')} (decision {cause['decision_id'][:12]})",
    ]
    if cause["evidence_message_id"] and cause["sentiment"]:
        lines.append(
            f"  evidence: message {cause['evidence_message_id']} read as {cause['sentiment']}, "
            f"confidence {cause['confidence']:.2f}, by {cause['model_version']}"
        )
        if cause["repeat_count_30d"]:
            lines.append(f"    says again what {cause['repeat_count_30d']} earlier messages of 30 days said")
        lines += [_contribution(reason) for reason in json.loads(cause["top_reasons"] or "[]")]
    return lines


def _contribution(reason: Row) -> str:
    span = reason.get("span")
    place = f", characters {span[0]} to {span[1]}" if span else ""
    return f"    {reason['reason']} ({reason['weight']:+.2f}{place})"


def _by_hand_line(decision: Row) -> str:
    evidence = decision["evidence"]
    return (
        f"{decision['action']} by {evidence['actor']} since {_shown(decision['decided_at'])} until"
        f" {evidence['ends_at']}: {evidence['scopes'].replace(',', ', ')}"
    )


def _subject(cause: Row) -> str:
    return f"{cause['subject_kind']} {cause['subject_id']}"


def _shown(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"
