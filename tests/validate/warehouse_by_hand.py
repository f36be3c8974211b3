"""A small warehouse written by hand: one upset customer, one calm one, everything consistent."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from roomtone.contract import SCOPES, STREAMS, TIMESTAMP
from roomtone.policies.publish import publish
from roomtone.settings import Settings
from roomtone.stores import warehouse
from roomtone.stores.loading import ensure_raw_tables
from roomtone.stores.operational import OperationalStore, Pass, acknowledged, extract_runs, metadata
from roomtone.transform import keys
from roomtone.validate.raw_suites import literal_values

AS_OF = datetime.fromisoformat("2026-03-02T12:00:00+00:00")
NOW = AS_OF.replace(tzinfo=None)
CANARY = "my parcel never came, call me on 07700 900123"

_CONTROL = """
create table raw.current_pass (pass_sequence bigint, as_of timestamp);
create table raw.suppression_policies (policy_id varchar, policy_version integer, start_kind varchar, tier integer,
    applies_from timestamp, applies_to timestamp);
create table raw.suppression_policy_scopes (policy_id varchar, policy_version integer, scope varchar);
create table raw.recovery_policies (policy_id varchar, policy_version integer);
create table raw.routing_policies (policy_id varchar, policy_version integer, applies_from timestamp,
    applies_to timestamp);
create table raw.routing_queues (policy_id varchar, policy_version integer, queue varchar);
create table raw.overrides (override_id varchar, customer_id varchar, action varchar, scope varchar);
create table raw.trigger_outcomes (trigger_id varchar, destination varchar);
create table raw.routing_outcomes (ticket_id varchar, destination varchar);
"""

_MARTS = """
create schema marts; create schema activations;
create table marts.dim_customers (customer_id varchar, first_seen_at timestamp, orders_count bigint,
    lifetime_value double,
    has_email_consent boolean, has_sms_consent boolean, churn_risk double, risk_version varchar);
create table marts.dim_customer_states (customer_id varchar, state varchar, tier integer, since_at timestamp,
    reasons varchar,
    churn_risk double);
create table marts.fct_customer_state_changes (customer_id varchar, state varchar, tier integer, valid_from timestamp,
    valid_to timestamp);
create table marts.fct_message_scores (message_id varchar, ticket_id varchar, customer_id varchar, p_negative double,
    p_neutral double, p_positive double, sentiment varchar, confidence double, is_abstained boolean, urgency varchar,
    urgency_score double, model_version varchar, repeat_count_30d bigint);
create table marts.fct_tickets (ticket_id varchar, customer_id varchar, status varchar, tier integer,
    priority_score double,
    queue varchar, first_reply_time_minutes double, final_resolution_minutes double, is_live boolean);
create table marts.fct_suppression_causes (cause_id varchar, customer_id varchar, policy_id varchar,
    policy_version integer,
    tier integer, scopes varchar, started_at timestamp, ended_at timestamp, planned_end_at timestamp,
    latest_evidence_at timestamp, end_reason varchar, evidence_message_id varchar);
create table marts.fct_suppressions (customer_id varchar, scope varchar, valid_from timestamp, valid_to timestamp,
    planned_end_at timestamp, tier integer, cause_ids varchar, override_ids varchar);
create table marts.fct_recovery_triggers (trigger_id varchar, customer_id varchar, kind varchar, message_class varchar,
    cause_id varchar, due_at timestamp, expires_at timestamp, status varchar);
create table marts.fct_decisions (decision_id varchar, customer_id varchar, action varchar, reason_codes varchar,
    evidence varchar, policy_id varchar, policy_version integer, model_version varchar, inputs_hash varchar,
    decided_at timestamp, cause_id varchar, override_id varchar);
create table activations.sync_suppression_segment (customer_id varchar, scope varchar, since_at timestamp,
    until_at timestamp);
create table activations.sync_ticket_routing (ticket_id varchar, source varchar, priority varchar, queue varchar,
    tags varchar);
create table activations.sync_recovery_events (trigger_id varchar, customer_id varchar, email varchar, kind varchar,
    message_class varchar, due_at timestamp, expires_at timestamp, payload varchar);
"""


def build(settings: Settings, customers: int = 2, as_of: datetime = AS_OF) -> Pass:
    """A warehouse and operational store in which everything holds; the first customer is upset. Returns the pass."""
    store = OperationalStore(settings)
    try:
        publish(settings, store, as_of)
        current = store.begin_pass(as_of)
        with warehouse.connect(settings) as connection:
            ensure_raw_tables(connection)
            connection.execute(_CONTROL + _MARTS)
            pauses = ", ".join(f"roomtone_pause_{scope} boolean" for scope in SCOPES)
            connection.execute(
                "create table activations.sync_profile_properties (customer_id varchar, email varchar, phone varchar,"
                f" {pauses}, roomtone_tier integer, roomtone_reason varchar, roomtone_pause_until timestamp)"
            )
            _fill(connection, customers, current)
            keys.refresh(connection)
        count_extracted(store, "load-1", read=2 * customers + 2, landed=2 * customers + 2)
    finally:
        store.close()
    return current


def count_extracted(
    store: OperationalStore, load_id: str, *, read: int, landed: int, duplicate: int = 0, quarantined: int = 0
) -> None:
    """One extract run of the files source, all of it booked on the customers stream's share of the load."""
    with store.begin() as connection:
        connection.execute(
            extract_runs.insert().values(
                source="files",
                stream="customers",
                load_id=load_id,
                count_read=read,
                count_landed=min(landed, 2),
                count_duplicate=duplicate + landed - min(landed, 2),
                count_quarantined=quarantined,
                as_of=AS_OF,
                finished_at=AS_OF,
            )
        )


def next_pass(settings: Settings, minutes: int = 5) -> Pass:
    """Another pass over the same warehouse, as transform would begin it."""
    store = OperationalStore(settings)
    try:
        current = store.begin_pass(AS_OF + timedelta(minutes=minutes))
    finally:
        store.close()
    with warehouse.connect(settings) as connection:
        connection.execute(
            "update raw.current_pass set pass_sequence = ?, as_of = ?",
            [current.sequence, current.as_of.replace(tzinfo=None)],
        )
    return current


def touched_pass(settings: Settings, since: Pass, customer: str, minutes: int = 5) -> Pass:
    """Another pass, which has computed one customer's rows alone since a pass before."""
    current = next_pass(settings, minutes)
    with warehouse.connect(settings) as connection:
        connection.execute("drop schema if exists touched cascade")
        connection.execute("create schema touched")
        connection.execute("create table touched.since_pass as select ?::bigint as pass_sequence", [since.sequence])
        for schema, table in connection.execute(
            "select table_schema, table_name from information_schema.columns where column_name = 'customer_id'"
            " and table_schema in ('marts', 'activations')"
        ).fetchall():
            connection.execute(
                f"create table touched.{table} as select * from {schema}.{table} where customer_id = ?",
                [customer],
            )
    return current


def change(settings: Settings, *statements: str) -> None:
    """Break or mend something in the warehouse."""
    with warehouse.connect(settings) as connection:
        for statement in statements:
            connection.execute(statement)


def land_message(settings: Settings, load_id: str, **values: Any) -> None:
    """One more customer message in a load of its own, scored."""
    row = {
        "id": f"message-{load_id}",
        "ticket_id": "ticket-0",
        "author": "customer",
        "body": CANARY,
        "is_public": True,
        "created_at": NOW,
        "updated_at": NOW,
        "source": "files",
        "version_at": NOW,
        "record_hash": load_id,
        "received_at": NOW,
        "payload": json.dumps({"body": CANARY}),
        "load_id": load_id,
    } | values
    with warehouse.connect(settings) as connection:
        _insert(connection, "raw.messages", row)
        connection.execute("insert into raw.loads values ('files', ?, ?)", [load_id, NOW])
        _score(connection, row["id"], load_id)


def acknowledge(settings: Settings, destination: str, customer: str, scopes: Sequence[str], until: datetime) -> None:
    """A destination that holds a customer's pause."""
    payload = {f"roomtone_pause_{scope}": scope in scopes for scope in SCOPES} | {
        "roomtone_pause_until": until.isoformat()
    }
    store = OperationalStore(settings)
    with store.begin() as connection:
        connection.execute(
            acknowledged.insert().values(
                destination=destination,
                kind="profile_properties",
                subject_id=customer,
                fingerprint="0",
                payload=json.dumps(payload),
                acknowledged_at=AS_OF,
            )
        )
    store.close()


def kept_results(settings: Settings) -> list[dict[str, Any]]:
    """Every row of the operational store's validations, results read from JSON."""
    store = OperationalStore(settings)
    try:
        with store.begin() as connection:
            rows = connection.execute(sa.select(metadata.tables["validations"])).mappings().all()
            return [dict(row) | {"results": json.loads(row["results"])} for row in rows]
    finally:
        store.close()


def _fill(connection: duckdb.DuckDBPyConnection, customers: int, current: Pass) -> None:
    as_of = current.as_of.replace(tzinfo=None)
    begun, until = as_of - timedelta(hours=1), as_of + timedelta(days=13)
    connection.execute("insert into raw.current_pass values (?, ?)", [current.sequence, as_of])
    connection.execute(
        "insert into raw.suppression_policies values ('open_negative_ticket', 1, 'sentiment', 2, null, null)"
    )
    connection.execute("insert into raw.routing_policies values ('routing', 1, null, null)")
    connection.execute("insert into raw.loads values ('files', 'load-1', ?)", [as_of])
    landed = {
        "source": "files",
        "version_at": begun,
        "received_at": begun,
        "payload": json.dumps({"text": CANARY}),
        "load_id": "load-1",
    }
    for number in range(customers):
        customer, upset = f"customer-{number}", number == 0
        person = {"email": f"{number}@example.org", "phone": "07700 900123", "name": CANARY}
        consent = {"email_marketing_consent": True, "sms_marketing_consent": False}
        dates = {"created_at": begun, "updated_at": begun}
        _insert(
            connection,
            "raw.customers",
            {"id": customer, **person, **consent, **dates, **landed, "record_hash": customer},
        )
        _insert(
            connection,
            "marts.dim_customers",
            {
                "customer_id": customer,
                "first_seen_at": begun,
                "orders_count": 1,
                "lifetime_value": 12.5,
                "has_email_consent": True,
                "has_sms_consent": False,
                "churn_risk": 0.1,
                "risk_version": "risk-rule-1",
            },
        )
        state = {"customer_id": customer, "state": "negative" if upset else "calm", "tier": 2 if upset else 0}
        _insert(connection, "marts.dim_customer_states", state | {"since_at": begun, "reasons": "", "churn_risk": 0.1})
        _insert(connection, "marts.fct_customer_state_changes", state | {"valid_from": begun, "valid_to": None})
    ticket = {"id": "ticket-0", "customer_id": "customer-0", "channel": "email", "subject": CANARY, "status": "open"}
    dates = {"created_at": begun, "updated_at": begun}
    _insert(connection, "raw.tickets", {**ticket, **dates, **landed, "record_hash": "ticket-0"})
    message = {"id": "message-0", "ticket_id": "ticket-0", "author": "customer", "body": CANARY, "is_public": True}
    _insert(connection, "raw.messages", {**message, **dates, **landed, "record_hash": "message-0"})
    _score(connection, "message-0", "load-1")
    _insert(
        connection,
        "marts.fct_message_scores",
        {
            "message_id": "message-0",
            "ticket_id": "ticket-0",
            "customer_id": "customer-0",
            "p_negative": 0.9,
            "p_neutral": 0.08,
            "p_positive": 0.02,
            "sentiment": "negative",
            "confidence": 0.9,
            "is_abstained": False,
            "urgency": "high",
            "urgency_score": 0.8,
            "model_version": "mood-1",
            "repeat_count_30d": 0,
        },
    )
    _insert(
        connection,
        "marts.fct_tickets",
        {
            "ticket_id": "ticket-0",
            "customer_id": "customer-0",
            "status": "open",
            "tier": 2,
            "priority_score": 3.5,
            "queue": "escalations",
            "is_live": True,
        },
    )
    _insert(
        connection,
        "marts.fct_suppression_causes",
        {
            "cause_id": "cause-0",
            "customer_id": "customer-0",
            "policy_id": "open_negative_ticket",
            "policy_version": 1,
            "tier": 2,
            "scopes": ",".join(SCOPES),
            "started_at": begun,
            "planned_end_at": until,
            "latest_evidence_at": begun,
            "evidence_message_id": "message-0",
        },
    )
    for scope in SCOPES:
        _insert(
            connection,
            "marts.fct_suppressions",
            {
                "customer_id": "customer-0",
                "scope": scope,
                "valid_from": begun,
                "planned_end_at": until,
                "tier": 2,
                "cause_ids": "cause-0",
                "override_ids": "",
            },
        )
        _insert(
            connection,
            "activations.sync_suppression_segment",
            {"customer_id": "customer-0", "scope": scope, "since_at": begun, "until_at": until},
        )
    for name in ("satisfaction_ratings", "orders", "shipments", "campaigns", "marketing_events"):
        _insert(
            connection,
            f"raw.{name}",
            {column: _sample(name, column, begun) for column in STREAMS[name].record.model_fields}
            | landed
            | {"record_hash": name},
        )
    trigger = {
        "trigger_id": "trigger-0",
        "customer_id": "customer-0",
        "kind": "apology",
        "message_class": "service",
        "due_at": begun,
        "expires_at": as_of + timedelta(hours=1),
    }
    _insert(connection, "marts.fct_recovery_triggers", trigger | {"cause_id": "cause-0", "status": "due"})
    _insert(connection, "activations.sync_recovery_events", trigger | {"email": "0@example.org", "payload": "{}"})
    _insert(
        connection,
        "marts.fct_decisions",
        {
            "decision_id": "decision-0",
            "customer_id": "customer-0",
            "action": "pause",
            "reason_codes": "open_negative_ticket",
            "evidence": "{}",
            "policy_id": "open_negative_ticket",
            "policy_version": 1,
            "model_version": "mood-1",
            "inputs_hash": "0",
            "decided_at": begun,
            "cause_id": "cause-0",
        },
    )
    _insert(
        connection,
        "activations.sync_profile_properties",
        {
            "customer_id": "customer-0",
            "email": "0@example.org",
            "roomtone_tier": 2,
            "roomtone_reason": "open_negative_ticket",
            "roomtone_pause_until": until,
        }
        | {f"roomtone_pause_{scope}": True for scope in SCOPES},
    )
    _insert(
        connection,
        "activations.sync_ticket_routing",
        {"ticket_id": "ticket-0", "source": "files", "priority": "urgent", "queue": "escalations", "tags": "roomtone"},
    )


def _sample(stream: str, column: str, instant: datetime) -> Any:
    """A value that the contract admits for a field that no rule follows any further."""
    links = {"ticket_id": "ticket-0", "customer_id": "customer-0", "order_id": "orders-0", "campaign_id": "campaigns-0"}
    if column == "id":
        return f"{stream}-0"
    if column in links:
        return links[column]
    kind = STREAMS[stream].landed_schema.field(column).type
    words = literal_values(STREAMS[stream].record.model_fields[column].annotation)
    return instant if kind == TIMESTAMP else 1 if kind != pa.string() else words[0] if words else "EUR"


def _score(connection: duckdb.DuckDBPyConnection, message_id: str, load_id: str) -> None:
    concepts = {"message_id": message_id, "body_hash": "0", "concepts": "00ff00ff00ff:1000"}
    _insert(connection, "raw.message_concepts", concepts)
    _insert(
        connection,
        "raw.message_scores",
        {
            "message_id": message_id,
            "body_hash": "0",
            "p_negative": 0.9,
            "p_neutral": 0.08,
            "p_positive": 0.02,
            "sentiment": "negative",
            "confidence": 0.9,
            "is_abstained": False,
            "urgency": "high",
            "urgency_score": 0.8,
            "intent": "complaint",
            "intent_confidence": 0.9,
            "cues": "{}",
            "language": "en",
            "model_version": "mood-1",
            "top_reasons": "[]",
            "scored_at": NOW,
            "load_id": load_id,
        },
    )


def _insert(connection: duckdb.DuckDBPyConnection, table: str, values: Mapping[str, Any]) -> None:
    names = ", ".join(f'"{name}"' for name in values)
    connection.execute(f"insert into {table} ({names}) values ({', '.join('?' * len(values))})", list(values.values()))
