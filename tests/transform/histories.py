"""Histories written into the warehouse's `raw` schema, in hours after START: a test says in a line what happened."""

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from roomtone.contract import SCOPES, STREAMS
from roomtone.score import concept_table
from roomtone.settings import Settings
from roomtone.stores import loading, warehouse
from roomtone.stores.operational import Pass
from roomtone.transform import touched
from roomtone.transform.build import run_dbt
from roomtone.transform.mirror import MIRRORED

SCORED = {"message_scores": loading.SCORE_SCHEMA, "customer_risks": loading.RISK_SCHEMA}
START = datetime(2026, 3, 2)  # noqa: DTZ001 -- the warehouse holds UTC without zone
Row = dict[str, Any]


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def hours(instant: datetime) -> float:
    return (instant - START) / timedelta(hours=1)


class History:
    """Rows of the raw tables. Every method adds versions or rows; nothing is ever replaced, as in the raw store."""

    def __init__(self) -> None:
        self.tables: dict[str, list[Row]] = defaultdict(list)

    def _version(self, stream: str, version_at: datetime, **values: Any) -> None:
        spec = STREAMS[stream]
        row = (
            dict.fromkeys(spec.landed_schema.names)
            | values
            | {spec.version_field: version_at, "version_at": version_at}
        )
        digest = hashlib.md5(json.dumps(row, sort_keys=True, default=str).encode()).hexdigest()
        row |= {
            "source": values.get("source", "files"),
            "record_hash": digest,
            "received_at": version_at,
            "load_id": "by-hand",
        }
        self.tables[stream].append(row)

    def customer(self, customer_id: str, email: str | None = None, hour: float = 0, **values: Any) -> None:
        given = {"email_marketing_consent": True, "sms_marketing_consent": True} | values
        self._version("customers", at(hour), id=customer_id, email=email, created_at=at(hour), **given)

    def ticket(
        self,
        ticket_id: str,
        customer_id: str,
        *statuses: tuple[float, str],
        created: float | None = None,
        **values: Any,
    ) -> None:
        """`statuses` are (hour, status), or (hour, "merged:OTHER") for a ticket closed by merging."""
        for hour, status in statuses:
            word, _, other = status.partition(":")
            self._version(
                "tickets",
                at(hour),
                id=ticket_id,
                customer_id=customer_id,
                channel="email",
                status="closed" if other else word,
                merged_into=other or None,
                created_at=at(statuses[0][0] if created is None else created),
                **values,
            )

    def message(
        self,
        ticket_id: str,
        hour: float,
        sentiment: str = "negative",
        confidence: float = 0.9,
        edited: float | None = None,
        **score: Any,
    ) -> str:
        """A customer's message with its score; `edited` writes a later version with this text under the same id."""
        message_id = score.pop("message_id", f"{ticket_id}-m{hour:g}")
        body = f"{message_id} {sentiment} {confidence} {sorted(score.items())}"
        self._version(
            "messages",
            at(hour if edited is None else edited),
            id=message_id,
            ticket_id=ticket_id,
            author="customer",
            body=body,
            is_public=True,
            created_at=at(hour),
        )
        rest = (1 - confidence) / 2
        self.tables["message_scores"].append(
            {f"p_{name}": confidence if name == sentiment else rest for name in ("negative", "neutral", "positive")}
            | {
                "message_id": message_id,
                "body_hash": hashlib.md5(body.encode()).hexdigest(),
                "sentiment": sentiment,
                "confidence": confidence,
                "is_abstained": False,
                "urgency": "normal",
                "urgency_score": 0.5,
                "intent": "delivery",
                "intent_confidence": 0.9,
                "cues": '{"threat": 0.01}',
                "language": "en",
                "model_version": "model-1",
                "top_reasons": "[]",
                "scored_at": at(hour),
            }
            | score
        )
        return str(message_id)

    def say(self, text: str) -> None:
        """Give the last message, and its score, other words."""
        self.tables["messages"][-1]["body"] = text
        self.tables["message_scores"][-1]["body_hash"] = hashlib.md5(text.encode()).hexdigest()

    def reply(self, ticket_id: str, hour: float) -> None:
        self._version(
            "messages",
            at(hour),
            id=f"{ticket_id}-r{hour:g}",
            ticket_id=ticket_id,
            author="agent",
            body="reply",
            is_public=True,
            created_at=at(hour),
        )

    def shipment(self, shipment_id: str, customer_id: str, shipped: float, *scans: float, **dates: float) -> None:
        """An order and its shipment; each scan is a version. `dates` are promised and delivered hours."""
        order_id = f"order-of-{shipment_id}"
        self.order(order_id, customer_id, shipped)
        given: Row = {f"{name}_at": at(hour) for name, hour in dates.items() if name != "delivered"}
        for hour, scan in [(shipped, None), *((scan, at(scan)) for scan in scans)]:
            self._version(
                "shipments",
                at(hour),
                id=shipment_id,
                order_id=order_id,
                shipped_at=at(shipped),
                last_scan_at=scan,
                **given,
            )
        if "delivered" in dates:
            done = at(dates["delivered"])
            self._version(
                "shipments",
                done,
                id=shipment_id,
                order_id=order_id,
                shipped_at=at(shipped),
                last_scan_at=done,
                delivered_at=done,
                **given,
            )

    def order(
        self, order_id: str, customer_id: str, hour: float, total: float = 50, refunded: float | None = None
    ) -> None:
        self._version(
            "orders",
            at(hour),
            id=order_id,
            customer_id=customer_id,
            placed_at=at(hour),
            total=total,
            currency="EUR",
            status="paid",
            refunded_amount=refunded,
        )

    def marketing_event(self, customer_id: str, hour: float, kind: str) -> None:
        self._version(
            "marketing_events",
            at(hour),
            id=f"{customer_id}-e{hour:g}",
            customer_id=customer_id,
            campaign_id="campaign",
            type=kind,
        )

    def risk(self, customer_id: str, hour: float, chance: float, version: str = "risk-rule-1") -> None:
        self.tables["customer_risks"].append(
            {"customer_id": customer_id, "as_of": at(hour), "risk": chance, "risk_version": version}
        )

    def override(
        self, customer_id: str, action: str, start: float, end: float, scopes: tuple[str, ...] = SCOPES
    ) -> None:
        number = len(self.tables["overrides"])
        for scope in scopes:
            self.tables["overrides"].append(
                {
                    "override_id": f"{action}-{customer_id}-{number:05d}",
                    "customer_id": customer_id,
                    "action": action,
                    "scope": scope,
                    "reason": "by hand",
                    "actor": "lead",
                    "starts_at": at(start),
                    "ends_at": at(end),
                }
            )

    def policy(
        self, policy_id: str, start: Mapping[str, Any], pause: tuple[str, ...], version: int = 1, **values: Any
    ) -> None:
        """A version of a suppression rule; `applies_from` and `applies_to` are hours."""
        window = {
            name: None if values.get(name) is None else at(values.pop(name)) for name in ("applies_from", "applies_to")
        }
        kind = "sentiment" if "sentiment" in start else "fact"
        self.tables["suppression_policies"].append(
            {
                "policy_id": policy_id,
                "policy_version": version,
                "owner": "lead",
                "why": "test",
                "start_kind": kind,
                "tier": 2,
            }
            | {"cool_off_hours": 24.0, "max_days": 14.0}
            | {f"start_{name}": value for name, value in start.items()}
            | values
            | window
        )
        self.tables["suppression_policy_scopes"] += [
            {"policy_id": policy_id, "policy_version": version, "scope": scope} for scope in pause
        ]

    def recovery(self, policy_id: str, kind: str, trigger: str, **values: Any) -> None:
        self.tables["recovery_policies"].append(
            {
                "policy_id": policy_id,
                "policy_version": 1,
                "kind": kind,
                "message_class": "service",
                "trigger": trigger,
                "min_tier": 0,
                "requires_fact": False,
                "wait_hours": 0.0,
                "expires_after_hours": 1e6,
                "consent": "none",
                "cooldown_days": 7.0,
                "max_per_customer": 1,
                "budget_per_day": 1000,
                "budget_per_month": 1000,
            }
            | values
        )


def write(settings: Settings, history: History, as_of: float, shuffled: int | None = None, sequence: int = 1) -> None:
    """Replace the `raw` schema by `history`, as of an hour; `shuffled` is the seed of another order of arrival."""
    tables = dict(history.tables)
    tables["current_pass"] = [{"pass_sequence": sequence, "as_of": at(as_of)}]
    schemas = {name: stream.landed_schema.append(pa.field("load_id", pa.string())) for name, stream in STREAMS.items()}
    schemas |= {name: schema.append(pa.field("load_id", pa.string())) for name, schema in SCORED.items()}
    schemas |= dict(MIRRORED)
    with warehouse.connect(settings) as connection:
        connection.execute("drop schema if exists raw cascade")
        loading.ensure_raw_tables(connection)
        for name, schema in schemas.items():
            rows = tables.get(name, [])
            if shuffled is not None:
                rows = random.Random(shuffled).sample(rows, len(rows))
            filled = [dict.fromkeys(schema.names) | row for row in rows]
            connection.execute(f"drop table if exists raw.{name}")
            connection.from_arrow(pa.Table.from_pylist(filled, schema)).create(f"raw.{name}")
        connection.execute("insert into raw.loads values ('files', 'by-hand', ?)", [at(as_of)])
        concept_table.refresh(connection, "by-hand-concepts")


def take_in(
    settings: Settings, arrived: Mapping[str, list[Row]], mirrored: Mapping[str, list[Row]], as_of: float, sequence: int
) -> touched.Scope:
    """One pass over what `arrived` (stream or scores, by name) since the last one, as the product does it:
    the customers whom it touches are computed, everybody in the first."""
    load = f"load-{sequence}"
    mirrored = {**mirrored, "current_pass": [{"pass_sequence": sequence, "as_of": at(as_of)}]}
    with warehouse.connect(settings) as connection:
        loading.ensure_raw_tables(connection)
        for name, rows in arrived.items():
            schema = STREAMS[name].landed_schema if name in STREAMS else SCORED[name]
            schema = schema.append(pa.field("load_id", pa.string()))
            filled = [dict.fromkeys(schema.names) | row | {"load_id": load} for row in rows]
            connection.from_arrow(pa.Table.from_pylist(filled, schema)).insert_into(f"raw.{name}")
        connection.execute("insert into raw.loads values ('files', ?, ?)", [load, at(as_of)])
        concept_table.refresh(connection, f"{load}-concepts")

        def mirror(_since: datetime | None) -> str:
            for name, schema in MIRRORED.items():
                filled = [dict.fromkeys(schema.names) | row for row in mirrored.get(name, [])]
                connection.execute(f"drop table if exists raw.{name}")
                connection.from_arrow(pa.Table.from_pylist(filled, schema)).create(f"raw.{name}")
            return "policies"

        scope = touched.open_scope(connection, current_pass(as_of, sequence), "project", mirror)
    with warehouse.held(settings) as path:
        selected = () if scope.is_whole else ("--exclude", "config.materialized:view")
        run_dbt(settings, path, ["run", *selected], is_whole=scope.is_whole)
    with warehouse.connect(settings) as connection:
        touched.close_scope(connection, current_pass(as_of, sequence), "project", scope)
    return scope


def build(settings: Settings, *arguments: str) -> int:
    """Build the models, all of them unless told otherwise."""
    with warehouse.held(settings) as path:
        return run_dbt(settings, path, arguments or ["run"])


def query(settings: Settings, sql: str) -> list[Row]:
    with warehouse.connect(settings) as connection:
        cursor: duckdb.DuckDBPyConnection = connection.execute(sql)
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def fingerprints(settings: Settings) -> dict[str, str]:
    """A hash of every public table's rows, in whatever order they lie.

    Braze's table is not among them: it tells in which pass a row came to differ, so that it depends on the passes.
    """
    with warehouse.connect(settings) as connection:
        tables = connection.execute(
            "select schema_name, table_name from duckdb_tables()"
            " where schema_name in ('marts', 'activations') and table_name <> 'sync_braze_cdi' order by all"
        ).fetchall()
        found = {}
        for schema, table in tables:
            rows = sorted(map(repr, connection.execute(f'select * from "{schema}"."{table}"').fetchall()))
            found[table] = hashlib.sha256("\n".join(rows).encode()).hexdigest()
        return found


def current_pass(as_of: float, sequence: int = 1) -> Pass:
    return Pass(sequence, at(as_of).replace(tzinfo=UTC))
