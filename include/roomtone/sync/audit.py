"""The invariants of a sync as questions that must have no answer: to stores, the warehouse and a vendor's log.

Each function returns one line per violation, beginning with the number of the invariant; no line is a clean bill.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import duckdb
import sqlalchemy as sa

from roomtone.policies.guardrails import Guardrails
from roomtone.stores.ledger import effects, holds, lease_epochs
from roomtone.stores.operational import OperationalStore, extract_runs, intents, passes, sync_runs
from roomtone.sync.desired import RECOVERY_EVENT
from roomtone.sync.guardrails import TOO_MANY_PAUSES

# Questions to the warehouse; each row that comes back is a violation. A table that is not there asks nothing.
WAREHOUSE_AUDITS: tuple[tuple[str, str, str], ...] = (
    (
        "I1 a customer's message of this pass has no score",
        "marts.fct_message_scores",
        (
            "select m.message_id from intermediate.int_messages_scored as m"
            " left join marts.fct_message_scores as s on s.message_id = m.message_id where s.message_id is null"
        ),
    ),
    (
        "I2 a message is scored twice by one model",
        "marts.fct_message_scores",
        "select message_id from marts.fct_message_scores group by message_id, model_version having count(*) > 1",
    ),
    (
        "I3 probabilities are not finite or do not add up to 1",
        "marts.fct_message_scores",
        (
            "select message_id from marts.fct_message_scores where model_version is null"
            " or not isfinite(p_negative + p_neutral + p_positive)"
            " or abs(p_negative + p_neutral + p_positive - 1) > 1e-6"
        ),
    ),
    (
        "I5 a cause has no rule, no end, or one beyond its cap",
        "marts.fct_suppression_causes",
        (
            "select cause_id from marts.fct_suppression_causes where policy_id is null or planned_end_at is null"
            " or started_at >= planned_end_at or planned_end_at > latest_evidence_at + interval 30 day"
        ),
    ),
    (
        "I5 a suppression has no cause and nobody asked for it",
        "marts.fct_suppressions",
        (
            "select customer_id || ' ' || scope from marts.fct_suppressions"
            " where (coalesce(cause_ids, '') = '' and coalesce(override_ids, '') = '') or valid_from >= valid_to"
        ),
    ),
    (
        "I11 a customer's present state is not the last of the history",
        "marts.fct_customer_state_changes",
        (
            "select s.customer_id from marts.dim_customer_states as s"
            " inner join marts.fct_customer_state_changes as c on c.customer_id = s.customer_id and c.valid_to is null"
            " where c.state <> s.state or c.tier <> s.tier"
        ),
    ),
    (
        "I12 the warehouse holds the tables of more than one pass",
        "raw.current_pass",
        "select count(*) from raw.current_pass having count(*) <> 1",
    ),
)


def audit_store(store: OperationalStore, rules: Guardrails) -> list[str]:
    """I1, I6, I7, I8, I9 and I10 as far as the operational store tells."""
    with store.begin() as connection:
        return [
            *_conservation(connection),
            *_blast_radius(connection),
            *_one_effect(connection),
            *_epochs(connection),
            *_offers(connection, rules),
            *_passes(connection),
        ]


def audit_warehouse(connection: duckdb.DuckDBPyConnection, store: OperationalStore) -> list[str]:
    """I1 to I3, I5, I10 to I12 as far as the warehouse tells."""
    found = []
    names = {
        f"{schema}.{table}"
        for schema, table in connection.execute("select schema_name, table_name from duckdb_tables()").fetchall()
    }
    for line, table, query in WAREHOUSE_AUDITS:
        if table in names:
            found += [f"{line}: {row[0]}" for row in connection.execute(query).fetchall()]
    if "raw.current_pass" in names:
        [row] = connection.execute("select max(pass_sequence) from raw.current_pass").fetchall()
        with store.begin() as reading:
            newest = int(reading.execute(sa.select(sa.func.max(passes.c.sequence))).scalar() or 0)
        if row[0] is not None and row[0] > newest:
            found.append(f"I10 the warehouse holds pass {row[0]} and the operational store ends at {newest}")
    return found


def audit_platform(
    wanted: Mapping[str, Mapping[str, Any]], shown: Mapping[str, Mapping[str, Any]], log: Iterable[Mapping[str, Any]]
) -> list[str]:
    """I4, I7 and I8 as a marketing platform itself tells.

    `wanted` and `shown`: properties per record, as the mart and as the platform has them. `log`: the platform's own
    entries in order, each with `kind` and, for requests, the method and the agent that names the epoch.
    """
    found = [
        f"I4 {vendor_id} shows {shown.get(vendor_id, {}).get(name)!r} as {name}, wanted is {value!r}"
        for vendor_id, properties in wanted.items()
        for name, value in properties.items()
        if shown.get(vendor_id, {}).get(name) != value
    ]
    counts: Counter[str] = Counter()
    newest = 0
    for entry in log:
        if entry["kind"] == "event_received" and not entry["is_duplicate"]:
            counts[entry["unique_id"]] += 1
        if entry["kind"] == "request":
            epoch = epoch_of(str(entry.get("agent", "")))
            if epoch < newest and entry["method"] != "GET":
                found.append(f"I8 {entry['method']} {entry['path']} was made under epoch {epoch} after {newest}")
            newest = max(newest, epoch)
    return found + [f"I7 {unique_id} arrived {count} times" for unique_id, count in counts.items() if count > 1]


def epoch_of(agent: str) -> int:
    """The epoch that a call tells of, 0 for a call of somebody else."""
    number = agent.partition("(epoch ")[2].removesuffix(")")
    return int(number) if number.isdigit() else 0


def _conservation(connection: sa.Connection) -> list[str]:
    runs = extract_runs.c
    told = runs.count_landed + runs.count_duplicate + runs.count_quarantined
    query = sa.select(runs.source, runs.stream, runs.load_id).where(runs.count_read != told)
    return [f"I1 {r.source} {r.stream} of load {r.load_id} does not add up" for r in connection.execute(query)]


def _blast_radius(connection: sa.Connection) -> list[str]:
    runs = sync_runs.c
    released = sa.select(holds.c.destination).where(
        holds.c.destination == runs.destination,
        holds.c.reason == TOO_MANY_PAUSES,
        holds.c.released_at.is_not(None),
        holds.c.ended_at >= runs.started_at,
    )
    query = sa.select(runs.sync_run_id, runs.newly_paused, runs.newly_paused_limit).where(
        runs.newly_paused > runs.newly_paused_limit, runs.is_released.is_not(True), ~released.exists()
    )
    return [
        f"I6 run {r.sync_run_id} newly paused {r.newly_paused} customers, allowed were {r.newly_paused_limit}"
        for r in connection.execute(query)
    ]


def _one_effect(connection: sa.Connection) -> list[str]:
    columns = intents.c
    query = (
        sa.select(columns.destination, columns.subject_id)
        .where(columns.kind == RECOVERY_EVENT)
        .group_by(columns.destination, columns.subject_id)
        .having(sa.func.count() > 1)
    )
    return [f"I7 {r.subject_id} has more than one intent for {r.destination}" for r in connection.execute(query)]


def _epochs(connection: sa.Connection) -> list[str]:
    found = []
    last: dict[str, int] = {}
    runs = sa.select(sync_runs).where(sync_runs.c.epoch.is_not(None)).order_by(sync_runs.c.sync_run_id)
    for run in connection.execute(runs):
        if run.epoch <= last.get(run.destination, 0):
            found.append(f"I8 run {run.sync_run_id} of {run.destination} has epoch {run.epoch} again")
        last[run.destination] = run.epoch
    mixed = (
        sa.select(effects.c.intent_id, effects.c.epoch)
        .join(sync_runs, sync_runs.c.sync_run_id == effects.c.sync_run_id)
        .where(effects.c.epoch != sync_runs.c.epoch)
    )
    found += [
        f"I8 {r.intent_id} was handed over under epoch {r.epoch} of another run" for r in connection.execute(mixed)
    ]
    unknown = (
        sa.select(effects.c.intent_id)
        .outerjoin(
            lease_epochs,
            sa.and_(lease_epochs.c.destination == effects.c.destination, lease_epochs.c.epoch == effects.c.epoch),
        )
        .where(lease_epochs.c.epoch.is_(None))
    )
    return found + [f"I8 {r.intent_id} was handed over without a lease" for r in connection.execute(unknown)]


def _offers(connection: sa.Connection, rules: Guardrails) -> list[str]:
    query = (
        sa.select(
            effects.c.intent_id,
            effects.c.claimed_at,
            effects.c.data_as_of,
            intents.c.payload,
            passes.c.is_valid,
            passes.c.is_degraded,
        )
        .join(intents, intents.c.intent_id == effects.c.intent_id)
        .join(sync_runs, sync_runs.c.sync_run_id == effects.c.sync_run_id)
        .join(passes, passes.c.sequence == sync_runs.c.pass_sequence)
        .where(intents.c.kind == RECOVERY_EVENT)
    )
    found = []
    for row in connection.execute(query):
        age_minutes = (row.claimed_at - row.data_as_of).total_seconds() / 60
        is_offer = json.loads(row.payload).get("message_class") == "marketing"
        if age_minutes > rules.freshness.max_age_minutes or not math.isfinite(age_minutes):
            found.append(f"I9 {row.intent_id} left on data that were {age_minutes:.0f} minutes old")
        if row.is_valid is not True:
            found.append(f"I9 {row.intent_id} left on a pass that validation had not confirmed")
        if is_offer and row.is_degraded:
            found.append(f"I9 {row.intent_id} is an offer on a pass without its model")
    return found


def _passes(connection: sa.Connection) -> list[str]:
    """Nothing of a sync belongs to a pass that does not exist."""
    query = (
        sa.select(sync_runs.c.sync_run_id)
        .outerjoin(passes, passes.c.sequence == sync_runs.c.pass_sequence)
        .where(passes.c.sequence.is_(None))
    )
    return [f"I10 run {r.sync_run_id} belongs to a pass that is not known" for r in connection.execute(query)]
