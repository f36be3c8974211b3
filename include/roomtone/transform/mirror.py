"""Copies of the operational store's tables in the warehouse's `raw` schema, replaced at the beginning of each pass.

dbt reads the pass, the policies, people's overrides and what the destinations acknowledged from here, and from nowhere
else: a model never sees a setting, a clock or the operational store.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from roomtone.contract import SCOPES, TIERS, TIMESTAMP
from roomtone.policies.recovery import RecoveryRule
from roomtone.policies.routing import RoutingRule
from roomtone.policies.suppression import MessageStart, SuppressionRule
from roomtone.policies.versions import AppliedVersion, applied_versions, stored_versions
from roomtone.settings import Settings
from roomtone.stores import warehouse
from roomtone.stores.loading import SQL_TYPES
from roomtone.stores.operational import OperationalStore, Pass, intents, overrides
from roomtone.stores.warehouse import Session

Row = dict[str, Any]
Tables = dict[str, list[Row]]

_TEXT, _COUNT, _REAL, _FLAG = pa.string(), pa.int32(), pa.float64(), pa.bool_()
_POLICY = [("policy_id", _TEXT), ("policy_version", _COUNT)]
_OWNED = [*_POLICY, ("owner", _TEXT), ("why", _TEXT)]
# applies_from null: all history; applies_to null: still in force; both half-open, in UTC.
_IN_FORCE = [("published_at", TIMESTAMP), ("applies_from", TIMESTAMP), ("applies_to", TIMESTAMP)]

_GROWING = "routing_outcomes"
_LATE = timedelta(days=1)

MIRRORED: Mapping[str, pa.Schema] = {
    name: pa.schema(columns)
    for name, columns in {
        "current_pass": [("pass_sequence", pa.int64()), ("as_of", TIMESTAMP)],
        "suppression_policies": [
            *_OWNED,
            ("start_kind", _TEXT),
            ("start_sentiment", _TEXT),
            ("start_min_confidence", _REAL),
            ("start_fact", _TEXT),
            ("start_days", _REAL),
            ("start_count", _COUNT),
            ("tier", _COUNT),
            ("relief_sentiment", _TEXT),
            ("relief_min_confidence", _REAL),
            ("relief_after_hours", _REAL),
            ("cool_off_hours", _REAL),
            ("max_days", _REAL),
            *_IN_FORCE,
        ],
        "suppression_policy_scopes": [*_POLICY, ("scope", _TEXT)],
        "recovery_policies": [
            *_OWNED,
            ("kind", _TEXT),
            ("message_class", _TEXT),
            ("trigger", _TEXT),
            ("min_tier", _COUNT),
            ("requires_fact", _FLAG),
            ("wait_hours", _REAL),
            ("expires_after_hours", _REAL),
            ("consent", _TEXT),
            ("cooldown_days", _REAL),
            ("max_per_customer", _COUNT),
            ("budget_per_day", _COUNT),
            ("budget_per_month", _COUNT),
            ("offer", _TEXT),
            *_IN_FORCE,
        ],
        "routing_policies": [
            *_OWNED,
            ("tier_weight", _REAL),
            ("urgency_weight", _REAL),
            ("value_weight", _REAL),
            ("waiting_weight", _REAL),
            ("value_cap", _REAL),
            ("risk_cap", _REAL),
            ("waiting_cap_hours", _REAL),
            ("calm_max_wait_hours", _REAL),
            *((f"sla_hours_tier_{tier}", _REAL) for tier in TIERS),
            *_IN_FORCE,
        ],
        "routing_queues": [
            *_POLICY,
            ("position", _COUNT),
            ("queue", _TEXT),
            ("min_tier", _COUNT),
            ("urgency", _TEXT),
            ("intents", _TEXT),
            ("priority", _TEXT),
        ],
        "overrides": [
            ("override_id", _TEXT),
            ("customer_id", _TEXT),
            ("action", _TEXT),
            ("scope", _TEXT),
            ("reason", _TEXT),
            ("actor", _TEXT),
            ("starts_at", TIMESTAMP),
            ("ends_at", TIMESTAMP),
        ],
        "trigger_outcomes": [
            ("trigger_id", _TEXT),
            ("destination", _TEXT),
            ("status", _TEXT),
            ("sent_at", TIMESTAMP),
            ("outcome", _TEXT),
        ],
        "routing_outcomes": [("ticket_id", _TEXT), ("destination", _TEXT), ("acknowledged_at", TIMESTAMP)],
        "pause_effects": [
            ("intent_id", _TEXT),
            ("customer_id", _TEXT),
            ("destination", _TEXT),
            ("scope", _TEXT),
            ("decided_at", TIMESTAMP),
            ("pushed_at", TIMESTAMP),
            ("effective_at", TIMESTAMP),
        ],
    }.items()
}


def mirror(
    settings: Settings,  # noqa: ARG001 -- every step of a pass takes the settings first
    connection: Session,
    store: OperationalStore,
    current: Pass,
    since: datetime | None = None,
) -> str:
    """Replace the mirrored tables of the `raw` schema for one pass, all of them in one transaction.

    Acknowledged routings only ever grow in number, with every ticket there was: where `since` is the instant of the
    pass whose mirror is still there, only later ones are fetched and added.
    Returns the hash of the policies, which is another one whenever any of them begins, ends or says something else.
    Raises RoomtoneError when a published policy cannot be read; the tables then stay as they were.
    """
    rows = mirrored_rows(store, current, since)
    connection.begin()
    try:
        connection.execute("create schema if not exists raw")
        for name, schema in MIRRORED.items():
            columns = ", ".join(f'"{column.name}" {SQL_TYPES[column.type]}' for column in schema)
            fetched = pa.Table.from_pylist(rows[name], schema)
            # Only the names above reach SQL; the rows come as Arrow.
            if name == _GROWING and since is not None:
                connection.execute("drop table if exists later_rows")
                connection.execute(f"create temporary table later_rows ({columns})")
                warehouse.insert(connection, "later_rows", fetched)
                connection.execute(
                    f"insert into raw.{name} select * from later_rows except select * from raw.{name}"  # noqa: S608
                )
            else:
                # On PostgreSQL the staging views go with it; dbt makes them again.
                connection.execute(f"drop table if exists raw.{name} cascade")
                connection.execute(f"create table raw.{name} ({columns})")
                warehouse.insert(connection, f"raw.{name}", fetched)
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
    return _policies_hash(rows)


def _policies_hash(tables: Tables) -> str:
    told = {name: rows for name, rows in tables.items() if "policy_id" in MIRRORED[name].names}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def mirrored_rows(store: OperationalStore, current: Pass, since: datetime | None = None) -> Tables:
    """The rows of every mirrored table as they are for one pass: what is dated after its `as_of` does not exist yet.

    Of the acknowledged routings, given `since`, those that a pass as of then may not have seen.
    """
    with store.begin() as connection:
        applied = applied_versions(stored_versions(connection), current.as_of)
        tables = _policy_rows(applied)
        tables["overrides"] = _override_rows(connection, current.as_of)
        tables["trigger_outcomes"] = _trigger_outcomes(connection, current.as_of)
        tables["routing_outcomes"] = _routing_outcomes(connection, current.as_of, since)
        tables["pause_effects"] = _pause_effects(connection, current.as_of)
    tables["current_pass"] = [{"pass_sequence": current.sequence, "as_of": _naive(current.as_of)}]
    return tables


def _policy_rows(applied: Iterable[AppliedVersion]) -> Tables:
    suppression: list[Row] = []
    scopes: list[Row] = []
    recovery: list[Row] = []
    routing: list[Row] = []
    queues: list[Row] = []
    for version in applied:
        rule = version.rule
        key = {"policy_id": rule.id, "policy_version": rule.version}
        owned = key | {"owner": rule.owner, "why": rule.why} | _in_force(version)
        if isinstance(rule, SuppressionRule):
            suppression.append(owned | _suppression_row(rule))
            scopes += [key | {"scope": scope} for scope in rule.pause]
        elif isinstance(rule, RecoveryRule):
            recovery.append(owned | _recovery_row(rule))
        elif isinstance(rule, RoutingRule):
            routing.append(owned | _routing_row(rule))
            queues += [key | row for row in _queue_rows(rule)]
    return {
        "suppression_policies": suppression,
        "suppression_policy_scopes": scopes,
        "recovery_policies": recovery,
        "routing_policies": routing,
        "routing_queues": queues,
    }


def _in_force(version: AppliedVersion) -> Row:
    return {
        "published_at": _naive(version.published_at),
        "applies_from": _naive(version.applies_from),
        "applies_to": _naive(version.applies_to),
    }


def _suppression_row(rule: SuppressionRule) -> Row:
    start, relief = rule.start, rule.relief
    row: Row = {"tier": rule.tier, "cool_off_hours": rule.end.cool_off_hours, "max_days": rule.end.max_days}
    if isinstance(start, MessageStart):
        row |= {
            "start_kind": "sentiment",
            "start_sentiment": start.sentiment,
            "start_min_confidence": start.min_confidence,
        }
    else:
        row |= {
            "start_kind": "fact",
            "start_fact": start.fact,
            "start_days": getattr(start, "days", None),
            "start_count": getattr(start, "count", None),
        }
    if relief is not None:
        row |= {
            "relief_sentiment": relief.sentiment,
            "relief_min_confidence": relief.min_confidence,
            "relief_after_hours": relief.after_hours,
        }
    return row


def _recovery_row(rule: RecoveryRule) -> Row:
    return {
        "kind": rule.kind,
        "message_class": rule.message_class,
        "trigger": rule.trigger.event,
        "min_tier": rule.trigger.min_tier,
        "requires_fact": rule.trigger.requires_fact,
        "wait_hours": rule.wait_hours,
        "expires_after_hours": rule.expires_after_hours,
        "consent": rule.consent,
        "cooldown_days": rule.cooldown_days,
        "max_per_customer": rule.budget.per_customer,
        "budget_per_day": rule.budget.per_day,
        "budget_per_month": rule.budget.per_month,
        "offer": rule.offer,
    }


def _routing_row(rule: RoutingRule) -> Row:
    return {
        "tier_weight": rule.weights.tier,
        "urgency_weight": rule.weights.urgency,
        "value_weight": rule.weights.value,
        "waiting_weight": rule.weights.waiting,
        "value_cap": rule.caps.value,
        "risk_cap": rule.caps.risk,
        "waiting_cap_hours": rule.caps.waiting_hours,
        "calm_max_wait_hours": rule.calm_max_wait_hours,
    } | {f"sla_hours_tier_{tier}": hours for tier, hours in enumerate(rule.sla_hours.by_tier)}


def _queue_rows(rule: RoutingRule) -> list[Row]:
    return [
        {
            "position": position,
            "queue": queue.queue,
            "min_tier": queue.min_tier,
            "urgency": queue.min_urgency,
            "intents": ",".join(queue.intents) if queue.intents else None,
            "priority": queue.priority,
        }
        for position, queue in enumerate(rule.queues, start=1)
    ]


def _override_rows(connection: sa.Connection, as_of: datetime) -> list[Row]:
    query = sa.select(overrides).where(overrides.c.starts_at <= as_of).order_by(overrides.c.override_id)
    return [
        {
            "override_id": row.override_id,
            "customer_id": row.customer_id,
            "action": row.action,
            "scope": scope,
            "reason": row.reason,
            "actor": row.actor,
            "starts_at": _naive(row.starts_at),
            "ends_at": _naive(row.ends_at),
        }
        for row in connection.execute(query)
        for scope in row.scopes.split(",")
    ]


def _trigger_outcomes(connection: sa.Connection, as_of: datetime) -> list[Row]:
    """What became of the events that earlier passes owed. A pass does not see its own, so that it can be repeated."""
    columns = intents.c
    query = (
        sa.select(columns.subject_id, columns.destination, columns.status, columns.sent_at, columns.outcome)
        .where(columns.kind == "recovery_event", columns.as_of < as_of)
        .order_by(columns.intent_id)
    )
    return [
        {
            "trigger_id": row.subject_id,
            "destination": row.destination,
            "status": row.status,
            "sent_at": _naive(row.sent_at),
            "outcome": row.outcome,
        }
        for row in connection.execute(query)
    ]


def _routing_outcomes(connection: sa.Connection, as_of: datetime, since: datetime | None) -> list[Row]:
    """Each routing that a helpdesk acknowledged, at its own time: a ticket may have been moved more than once."""
    columns = intents.c
    query = (
        sa.select(columns.subject_id, columns.destination, columns.done_at)
        .where(columns.kind == "ticket_routing", columns.status == "done", columns.as_of < as_of)
        .order_by(columns.intent_id)
    )
    if since is not None:
        # An old intent may be acknowledged late, by the clock of another machine.
        query = query.where(sa.or_(columns.as_of >= since, columns.done_at >= since - _LATE))
    return [
        {"ticket_id": row.subject_id, "destination": row.destination, "acknowledged_at": _naive(row.done_at)}
        for row in connection.execute(query)
    ]


def _pause_effects(connection: sa.Connection, as_of: datetime) -> list[Row]:
    """The scopes that an effect turned on, once the destination was seen to hold them. A pass does not see its own."""
    columns = intents.c
    query = (
        sa.select(intents)
        .where(
            columns.kind == "profile_properties",
            columns.status == "done",
            columns.as_of < as_of,
            columns.payload.like("%:true%"),
        )
        .order_by(columns.intent_id)
    )
    rows = []
    for row in connection.execute(query):
        before = json.loads(row.prior_payload) if row.prior_payload else {}
        wanted = json.loads(row.payload)
        for scope in SCOPES:
            pause = f"roomtone_pause_{scope}"
            if wanted.get(pause) is True and before.get(pause) is not True:
                rows.append(
                    {
                        "intent_id": row.intent_id,
                        "customer_id": row.subject_id,
                        "destination": row.destination,
                        "scope": scope,
                        "decided_at": _naive(row.as_of),
                        "pushed_at": _naive(row.sent_at),
                        "effective_at": _naive(row.done_at),
                    }
                )
    return rows


def _naive(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.astimezone(UTC).replace(tzinfo=None)
