"""The risk head in the warehouse: what it learns from, and `raw.customer_risks`, each customer's chance at a pass."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from roomtone.score import risk
from roomtone.score.risk import Learned, RiskHead
from roomtone.score.risk_features import SCHEMAS, Facts, describe
from roomtone.settings import Settings
from roomtone.stores import warehouse
from roomtone.stores.loading import ensure_raw_tables

_CREATE = """
create table if not exists raw.customer_risks (
    customer_id varchar, as_of timestamp, risk double, risk_version varchar
)
"""

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
            where author = 'customer'
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
        where events.type in ('sent', 'opened', 'clicked') and coalesce(campaigns.scope, '') <> 'transactional'
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
order by promotions.customer_id, promotions.occurred_at
"""


def head_folder(settings: Settings) -> Path:
    """Where a learned head lies that the passes are to use."""
    return settings.home / "models" / "risk"


def refresh(settings: Settings, connection: duckdb.DuckDBPyConnection, as_of: datetime) -> int:
    """Replace `raw.customer_risks` by every customer's chance as of an instant; returns how many there are."""
    head = RiskHead.load(head_folder(settings))
    instant = as_of.astimezone(UTC).replace(tzinfo=None)
    connection.execute(_CREATE)
    _name_people(connection)
    people = connection.sql("select distinct customer_id from people where customer_id is not null order by 1")
    customers = people.to_arrow_table()["customer_id"]
    moments = pa.table(
        {"customer_id": customers, "occurred_at": pa.array([instant] * len(customers), pa.timestamp("us"))}
    )
    chances = head.apply(describe(moments, facts(connection)))
    risks = moments.rename_columns(["customer_id", "as_of"])
    risks = risks.append_column("risk", pa.array(chances))
    risks = risks.append_column("risk_version", pa.array([head.version] * len(customers), pa.string()))
    connection.execute("delete from raw.customer_risks")
    connection.register("risks", risks)
    try:
        connection.execute("insert into raw.customer_risks by name select * from risks")
    finally:
        connection.unregister("risks")
    return len(customers)


def learn(settings: Settings, as_of: datetime, seed: int = 7) -> Learned:
    """The head that the brand's own sends teach: those whose week of outcomes has passed at `as_of`."""
    instant = as_of.astimezone(UTC).replace(tzinfo=None)
    with warehouse.connect(settings) as connection:
        ensure_raw_tables(connection)
        _name_people(connection)
        seen_until = instant - timedelta(days=risk.OUTCOME_DAYS)
        sends = connection.sql(_SENDS, params={"days": risk.OUTCOME_DAYS, "seen_until": seen_until}).to_arrow_table()
        columns = describe(sends.select(SCHEMAS["moments"].names), facts(connection))
    outcome = np.array(sends["is_bad"].to_pylist(), np.bool_)
    return risk.learn(columns, outcome, sends["customer_id"].to_pylist(), seed)


def train(settings: Settings, output: Path, as_of: datetime, seed: int = 7) -> str:
    """Learns the head and writes it to `output` when it beats the rule; returns a line that says which and why.

    Passes use the head in `head_folder`.
    """
    learned = learn(settings, as_of, seed)
    if learned.head.trees is None:
        return learned.line
    learned.head.save(output)
    return f"{learned.line}; written to {output}, passes use {head_folder(settings)}"


def facts(connection: duckdb.DuckDBPyConnection) -> Facts:
    """The tables behind the features, from the landed records."""
    return Facts.of({name: connection.sql(query).to_arrow_table() for name, query in _FACTS.items()})


def _name_people(connection: duckdb.DuckDBPyConnection) -> None:
    known = connection.execute(
        "select table_schema from information_schema.tables where table_name = 'int_customer_identities'"
    ).fetchone()
    person, join = "ids.customer_id", ""
    if known is not None:
        person = "coalesce(known.customer_id, ids.customer_id)"
        join = f'left join "{known[0]}".int_customer_identities as known on ids.customer_id = known.source_customer_id'
    connection.execute(_PEOPLE.format(person=person, join=join))
