"""A simulated year of a brand, written straight into the raw schema: history for measurements to stand on.

Each customer has an order with its shipment. Four messages make a ticket, two of them the customer's; the sends are of
fifty campaigns, one in a thousand of them marked as spam.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa

from roomtone.stores.loading import ensure_raw_tables

LOAD = "year"

# Columns that landing adds; a later column may speak of an earlier one.
_LANDED = (
    "'files' as source, md5(id || '{load}') as record_hash, version_at as received_at, '{{}}' as payload,"
    " '{load}' as load_id"
)

# Of scores one message in six is negative and one in six positive.
_SCORED = """
    chance(i, 5) as mood_, md5(body_) as body_hash,
    case when mood_ < 0.17 then 0.9 else 0.05 end as p_negative,
    case when mood_ >= 0.34 then 0.9 else 0.05 end as p_neutral,
    case when mood_ >= 0.17 and mood_ < 0.34 then 0.9 else 0.05 end as p_positive,
    case when mood_ < 0.17 then 'negative' when mood_ < 0.34 then 'positive' else 'neutral' end as sentiment,
    0.9 as confidence, false as is_abstained, 'normal' as urgency, 0.4 as urgency_score, 'delivery' as intent,
    0.8 as intent_confidence, '{{"threat": 0.01}}' as cues, 'en' as language, 'simulated' as model_version,
    '[]' as top_reasons, '{load}' as load_id
"""

_MACROS = """
create or replace temporary macro chance(i, salt) as hash(i * 1000003 + salt) / 18446744073709551616.0;
create or replace temporary macro instant(i, n) as
    timestamp '{ends}' - to_seconds(cast(31536000 * (1 - i / cast(n as double)) + 60 as bigint));
create or replace temporary macro somebody(i, salt) as 'c' || cast(floor(chance(i, salt) * {people}) as bigint);
"""

# In order of time, as loads would have brought it. Tickets are solved after two days, the youngest may be open.
_YEAR = """
insert into raw.customers by name
select 'c' || i as id, email, true as email_marketing_consent, true as sms_marketing_consent,
    instant(i, {people}) as created_at, created_at as updated_at, created_at as version_at, {landed}
from people;

insert into raw.orders by name
select 'o' || i as id, somebody(i, 1) as customer_id, instant(i, {people}) as placed_at, 50 as total, 'EUR' as currency,
    'paid' as status, case when chance(i, 7) < 0.03 then 5 end as refunded_amount, placed_at as updated_at,
    placed_at as version_at, {landed}
from range({people}) as numbers(i);

insert into raw.shipments by name
select 's' || i as id, 'o' || i as order_id, instant(i, {people}) as shipped_at,
    shipped_at + interval 4 days as promised_at, shipped_at + interval 2 days as last_scan_at,
    shipped_at + to_hours(cast(50 + chance(i, 8) * 60 as bigint)) as delivered_at, shipped_at as updated_at,
    shipped_at as version_at, {landed}
from range({people}) as numbers(i);

insert into raw.tickets by name
select 't' || i as id, somebody(i, 2) as customer_id, 'email' as channel, 'Where is it?' as subject, status,
    instant(i, {tickets}) as created_at, created_at + age as updated_at, updated_at as version_at, {landed}
from range({tickets}) as numbers(i)
cross join (values ('new', interval 0 days), ('solved', interval 2 days)) as versions(status, age)
where status = 'new' or created_at < timestamp '{ends}' - interval {open_days} days;

insert into raw.messages by name
select 'm' || i as id, 't' || i // 4 as ticket_id, case when i % 2 = 0 then 'customer' else 'agent' end as author,
    {body} as body, true as is_public,
    instant(i // 4, {tickets}) + to_minutes(i % 4 * 300) as created_at, created_at as updated_at,
    created_at as version_at, {landed}
from range({messages}) as numbers(i){spoken};

insert into raw.campaigns by name
select 'n' || i as id, 'Number ' || i as name, 'campaign' as kind, 'email' as channel, scope,
    timestamp '{ends}' - interval 366 days as updated_at, updated_at as version_at, {landed}
from (select i, (['sales', 'recommendation', 'discount', 'transactional', null])[i % 5 + 1] as scope
    from range(50) as numbers(i));

insert into raw.marketing_events by name
select 'e' || i as id, somebody(i, 3) as customer_id, 'n' || i % 50 as campaign_id,
    case when chance(i, 4) < 0.001 then 'marked_spam' else 'sent' end as type, instant(i, {sends}) as occurred_at,
    occurred_at as version_at, {landed}
from range({sends}) as numbers(i);

insert into raw.loads values ('files', '{load}', timestamp '{ends}');
"""

_SCORES = """
insert into raw.message_scores by name
select * exclude (mood_, body_) from (
    select 'm' || i as message_id, {body} as body_, {scored},
        instant(i // 4, {tickets}) + to_minutes(i % 4 * 300) as scored_at
    from range(0, {messages}, 2) as numbers(i)
);
"""


@dataclass(frozen=True)
class Year:
    """How much the year before `ends_at` holds. Tickets of its last `open_days` days are still open."""

    ends_at: datetime
    customers: int
    messages: int
    sends: int
    open_days: int = 3

    @property
    def tickets(self) -> int:
        return self.messages // 4


def write_year(
    connection: duckdb.DuckDBPyConnection,
    year: Year,
    addresses: Sequence[str] | None = None,
    texts: Sequence[str] | None = None,
) -> None:
    """Write `year` as one load.

    `addresses` are the customers' e-mail addresses, made up by default. With `texts` each message says one of them and
    is left to the score stage; without, all say much the same and are scored by chance.
    """
    ensure_raw_tables(connection)
    found = addresses or [f"c{number}@example.com" for number in range(year.customers)]
    connection.register("people", pa.table({"i": pa.array(range(year.customers)), "email": pa.array(found)}))
    if texts is None:
        said = {"body": "'I wrote before about this order, number ' || i", "spoken": ""}
        write(connection, _YEAR + _SCORES, year, LOAD, year.ends_at, **said)
    else:
        connection.register("texts", pa.table({"position": pa.array(range(len(texts))), "text": pa.array(texts)}))
        which = f"cast(hash(i * 1000003 + 6) % {len(texts)} as bigint)"
        said = {"body": "text", "spoken": f"\ninner join texts on texts.position = {which}"}
        write(connection, _YEAR, year, LOAD, year.ends_at, **said)
        connection.unregister("texts")
    connection.unregister("people")


def write(
    connection: duckdb.DuckDBPyConnection,
    statements: str,
    year: Year,
    load: str,
    ends: datetime,
    **parts: str | int,
) -> None:
    """Run statements that speak of `year` by its numbers, by `ends`, and by the macros and columns of this module."""
    counts = {"sends": year.sends, "people": year.customers, "messages": year.messages, "tickets": year.tickets}
    named = {"load": load, "ends": ends.replace(tzinfo=None), "open_days": year.open_days}
    columns = {"landed": _LANDED.format(load=load), "scored": _SCORED.format(load=load)}
    for statement in (_MACROS + statements).format(**counts, **named, **columns, **parts).split(";"):
        if statement.strip():
            connection.execute(statement)
