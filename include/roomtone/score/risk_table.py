"""The risk head in the warehouse: what it learns from, and `raw.customer_risks`, each customer's chance at an instant.

Chances go to the raw store, as scores do, and the next pass takes them in: a rebuilt warehouse has them too, and a pass
of the past sees those of its time. A chance that has not changed is not written again, so that an hour touches those
alone whose risk moved.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import structlog

from roomtone.errors import RoomtoneError
from roomtone.score import risk
from roomtone.score.risk import Learned, RiskHead, too_few
from roomtone.score.risk_features import SCHEMAS, Facts, describe
from roomtone.settings import Settings
from roomtone.stores import heartbeats, raw, warehouse
from roomtone.stores.heartbeats import watched
from roomtone.stores.loading import RISK_SCHEMA, ensure_raw_tables
from roomtone.stores.operational import OperationalStore

log = structlog.get_logger(__name__)

DECIMALS = 3
"""Of a chance, by which a promotion ends badly once in a thousand or not: finer than any head is calibrated."""

MOST_SENDS = 200_000
"""The latest sends that teach; more of them take memory and teach the past."""

MEMORY_DAYS = 90
"""Nothing older moves a feature, but orders, tickets and parcels, which are few."""

DECISION = "decision.json"
LEARN_EVERY = timedelta(hours=24)

# A person is who the last transform said; whoever is new stands under the source's own id until then.
_PEOPLE = """
create or replace temporary view people as
select ids.customer_id as source_customer_id, {person} as customer_id
from (
    select distinct id as customer_id from raw.customers
    union
    select distinct customer_id from raw.tickets
    union
    select distinct customer_id from raw.marketing_events
) as ids
{join}
"""

_FACTS = {
    "messages": """
        select people.customer_id, bodies.ticket_id, bodies.occurred_at, tones.p_negative, tones.threat
        from (
            select
                id,
                arg_max(ticket_id, version_at) as ticket_id,
                md5(arg_max(body, version_at)) as body_hash,
                min(created_at) as occurred_at
            from raw.messages
            where author = 'customer' and created_at >= $since
            group by id
        ) as bodies
        inner join (select id, arg_max(customer_id, version_at) as customer_id from raw.tickets group by id) as tickets
            on bodies.ticket_id = tickets.id
        inner join people on tickets.customer_id = people.source_customer_id
        inner join (
            select
                message_id,
                body_hash,
                arg_max(p_negative, scored_at) as p_negative,
                arg_max(coalesce(cast(json_extract(cues, '$.threat') as double), 0), scored_at) as threat
            from raw.message_scores
            group by message_id, body_hash
        ) as tones on bodies.id = tones.message_id and bodies.body_hash = tones.body_hash
    """,
    "replies": """
        select arg_max(ticket_id, version_at) as ticket_id, min(created_at) as occurred_at
        from raw.messages
        where author = 'agent' and is_public
        group by id
    """,
    "tickets": """
        select people.customer_id, versions.version_at as live_from, versions.next_at as live_to
        from (
            select
                customer_id,
                status,
                version_at,
                lead(version_at) over (partition by id order by version_at) as next_at
            from raw.tickets
        ) as versions
        inner join people on versions.customer_id = people.source_customer_id
        where versions.status in ('new', 'open', 'pending', 'hold')
    """,
    "orders": """
        select
            people.customer_id,
            min(orders.placed_at) as occurred_at,
            cast(arg_max(orders.total, version_at) as double) as total
        from raw.orders as orders
        inner join people on orders.customer_id = people.source_customer_id
        group by people.customer_id, orders.id
    """,
    "shipments": """
        select people.customer_id, shipments.promised_at, shipments.delivered_at
        from (
            select
                id,
                arg_max(order_id, version_at) as order_id,
                arg_max(promised_at, version_at) as promised_at,
                max(delivered_at) as delivered_at
            from raw.shipments
            group by id
        ) as shipments
        inner join (select id, arg_max(customer_id, version_at) as customer_id from raw.orders group by id) as orders
            on shipments.order_id = orders.id
        inner join people on orders.customer_id = people.source_customer_id
        where shipments.promised_at is not null
    """,
    "promotions": """
        select people.customer_id, min(events.occurred_at) as occurred_at, any_value(events.type) as type
        from raw.marketing_events as events
        inner join people on events.customer_id = people.source_customer_id
        left join (select id, arg_max(scope, version_at) as scope from raw.campaigns group by id) as campaigns
            on events.campaign_id = campaigns.id
        where events.type in ('sent', 'opened', 'clicked')
            and events.occurred_at >= $since
            and coalesce(campaigns.scope, '') <> 'transactional'
        group by people.customer_id, events.id
    """,
}

# A platform that tells no send tells the delivery. An unsubscribe belongs to the last promotion before it.
_SENDS = """
with promotions as (
    select distinct people.customer_id, events.campaign_id, min(events.occurred_at) as occurred_at
    from raw.marketing_events as events
    inner join people on events.customer_id = people.source_customer_id
    left join (select id, arg_max(scope, version_at) as scope from raw.campaigns group by id) as campaigns
        on events.campaign_id = campaigns.id
    where events.type in ('sent', 'delivered') and coalesce(campaigns.scope, '') <> 'transactional'
    group by people.customer_id, events.campaign_id
),

endings as (
    select people.customer_id, events.campaign_id, min(events.occurred_at) as occurred_at
    from raw.marketing_events as events
    inner join people on events.customer_id = people.source_customer_id
    where events.type in ('unsubscribed', 'marked_spam')
    group by people.customer_id, events.campaign_id
)

select
    promotions.customer_id,
    promotions.occurred_at,
    endings.occurred_at is not null as is_bad
from promotions
left join endings
    on promotions.customer_id = endings.customer_id
    and promotions.campaign_id = endings.campaign_id
    and endings.occurred_at >= promotions.occurred_at
    and endings.occurred_at < promotions.occurred_at + to_days($days)
where promotions.occurred_at <= $seen_until
order by promotions.occurred_at desc, promotions.customer_id
limit $most
"""

# Everybody, with the chance that the next pass would show of them: the latest, under whichever of a person's ids.
_KNOWN = """
select
    people.customer_id,
    arg_max(risks.risk, (risks.as_of, risks.risk)) as risk,
    arg_max(risks.risk_version, (risks.as_of, risks.risk)) as risk_version
from people
left join raw.customer_risks as risks on people.source_customer_id = risks.customer_id
where people.customer_id is not null
group by people.customer_id
order by people.customer_id
"""


@dataclass(frozen=True)
class RefreshReport:
    """How many customers were weighed, of how many the chance changed, and the head that weighed them."""

    count_weighed: int
    count_changed: int
    risk_version: str


def refresh(settings: Settings, as_of: datetime) -> RefreshReport:
    """Weigh every customer anew as of an instant and keep the chances that changed, for the next pass to take in.

    The warehouse is held while the facts are read, and not while they are weighed. A learned head that is damaged is
    reported in the log, and the declared rule answers.
    """
    head = head_in_use(settings)
    instant = _naive(as_of)
    with warehouse.connect(settings) as connection:
        ensure_raw_tables(connection)
        _name_people(connection)
        known = connection.sql(_KNOWN).to_arrow_table()
        behind = facts(connection, instant - timedelta(days=MEMORY_DAYS))
    moments = pa.table(
        {
            "customer_id": known["customer_id"],
            "occurred_at": pa.array([instant] * known.num_rows, pa.timestamp("us")),
        }
    )
    chances = np.round(head.apply(describe(moments, behind)), DECIMALS)
    before = known["risk"].to_numpy(zero_copy_only=False).astype(np.float64)
    versions = np.array(known["risk_version"].to_pylist(), dtype=object)
    # A chance that is not known yet differs from every number.
    is_new = (before != chances) | (versions != head.version)
    changed = pa.table(
        {
            "customer_id": known["customer_id"].filter(pa.array(is_new)),
            "as_of": pa.array([instant] * int(is_new.sum()), pa.timestamp("us")),
            "risk": pa.array(chances[is_new]),
            "risk_version": pa.array([head.version] * int(is_new.sum()), pa.string()),
        }
    )
    if changed.num_rows:
        raw.write_scores(settings, f"{instant:%Y%m%dT%H%M%S%f}-{head.version}", changed.cast(RISK_SCHEMA), raw.RISKS)
    return RefreshReport(known.num_rows, changed.num_rows, head.version)


def weigh(settings: Settings, as_of: datetime) -> RefreshReport:
    """What the hourly task does: learn where a day has gone by since the last time, then weigh everybody."""
    if _is_time_to_learn(settings):
        with watched(settings, "learn", "risk"):
            log.info("risk head", decision=learn_anew(settings, as_of))
    with watched(settings, "risk"):
        return refresh(settings, as_of)


def head_in_use(settings: Settings) -> RiskHead:
    """The learned head of this brand, or the declared rule where there is none that can be used."""
    try:
        return RiskHead.load(settings.risk_dir)
    except RoomtoneError as error:
        log.warning("the risk rule answers instead of the learned head", failure=str(error))
        return RiskHead(risk.RULE_VERSION)


def learn_anew(settings: Settings, as_of: datetime, seed: int = 7) -> str:
    """Learn from the brand's latest sends and let the winner answer from now on; returns the line that says why.

    Where the rule wins, a head that was learned before goes.
    """
    learned = learn(settings, as_of, seed)
    if learned.head.trees is None:
        (settings.risk_dir / risk.FILE).unlink(missing_ok=True)
    else:
        learned.head.save(settings.risk_dir)
    decision = {"risk_version": learned.head.version, "line": learned.line, "decided_at": as_of.isoformat()}
    settings.risk_dir.mkdir(parents=True, exist_ok=True)
    (settings.risk_dir / DECISION).write_text(json.dumps(decision, indent=1) + "\n", encoding="utf-8")
    return learned.line


def learn(settings: Settings, as_of: datetime, seed: int = 7) -> Learned:
    """The head that the brand's own sends teach: those whose week of outcomes has passed at `as_of`."""
    seen_until = _naive(as_of) - timedelta(days=risk.OUTCOME_DAYS)
    with warehouse.connect(settings) as connection:
        ensure_raw_tables(connection)
        _name_people(connection)
        sends = connection.sql(
            _SENDS, params={"days": risk.OUTCOME_DAYS, "seen_until": seen_until, "most": MOST_SENDS}
        ).to_arrow_table()
        outcome = np.array(sends["is_bad"].to_pylist(), np.bool_)
        # What lies behind the sends is read, at its price, where they can teach something.
        if too_few(outcome):
            behind = Facts.of({})
        else:
            behind = facts(connection, min(sends["occurred_at"].to_pylist()) - timedelta(days=MEMORY_DAYS))
    columns = describe(sends.select(SCHEMAS["moments"].names), behind)
    return risk.learn(columns, outcome, sends["customer_id"].to_pylist(), seed)


def train(settings: Settings, output: Path, as_of: datetime, seed: int = 7) -> str:
    """Learns the head and writes it to `output` when it beats the rule; returns a line that says which and why."""
    learned = learn(settings, as_of, seed)
    if learned.head.trees is None:
        return learned.line
    learned.head.save(output)
    return f"{learned.line}; written to {output}, chances are weighed by the head in {settings.risk_dir}"


def facts(connection: duckdb.DuckDBPyConnection, since: datetime) -> Facts:
    """The tables behind the features, from the landed records; messages and promotions from `since` on."""
    return Facts.of(
        {
            name: connection.sql(query, params={"since": since} if "$since" in query else None).to_arrow_table()
            for name, query in _FACTS.items()
        }
    )


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)


def _name_people(connection: duckdb.DuckDBPyConnection) -> None:
    known = connection.execute(
        "select table_schema from information_schema.tables where table_name = 'int_customer_identities'"
    ).fetchone()
    person, join = "ids.customer_id", ""
    if known is not None:
        person = "coalesce(known.customer_id, ids.customer_id)"
        join = f'left join "{known[0]}".int_customer_identities as known on ids.customer_id = known.source_customer_id'
    connection.execute(_PEOPLE.format(person=person, join=join))


def _is_time_to_learn(settings: Settings) -> bool:
    store = OperationalStore(settings)
    try:
        beats = {(beat.stage, beat.subject): beat.succeeded_at for beat in heartbeats.latest(store)}
    finally:
        store.close()
    learned_at = beats.get(("learn", "risk"))
    return learned_at is None or datetime.now(UTC) - learned_at >= LEARN_EVERY
