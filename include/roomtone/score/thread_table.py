"""Keeps `raw.message_threads`: the thread features of every message, each computed once, when it is scored."""

import duckdb
import pyarrow as pa

from roomtone.score import threads

_COLUMNS = ", ".join(
    f"{field.name} {'double' if field.type == pa.float64() else 'bigint'}"
    for field in threads.THREADS
    if field.name != "message_id"
)
_CREATE = f"create table if not exists raw.message_threads (message_id varchar, body_hash varchar, {_COLUMNS})"

# The latest body of each message of each customer who wrote one that has no features yet, back to a window before it.
_MESSAGES = """
with bodies as (
    select
        id as message_id,
        arg_max(ticket_id, version_at) as ticket_id,
        arg_max(body, version_at) as text,
        md5(arg_max(body, version_at)) as body_hash,
        min(created_at) as at
    from raw.messages
    where author = 'customer'
    group by id
),

owners as (
    select id as ticket_id, arg_max(customer_id, version_at) as customer_id from raw.tickets group by id
),

owned as (
    select bodies.*, owners.customer_id
    from bodies
    inner join owners on bodies.ticket_id = owners.ticket_id
),

missing as (
    select owned.customer_id, min(owned.at) as first_at
    from owned
    where not exists (
        select 1 from raw.message_threads as known
        where known.message_id = owned.message_id and known.body_hash = owned.body_hash
    )
    group by owned.customer_id
),

tones as (
    select message_id, body_hash, arg_max(p_negative, scored_at) as p_negative
    from raw.message_scores
    group by message_id, body_hash
)

select owned.message_id, owned.customer_id, owned.ticket_id, owned.at, owned.text, tones.p_negative, owned.body_hash
from owned
inner join missing on owned.customer_id = missing.customer_id
left join tones on owned.message_id = tones.message_id and owned.body_hash = tones.body_hash
where owned.at >= missing.first_at - to_days($days)
order by owned.message_id
"""

_REPLIES = """
select ticket_id, min(created_at) as at
from raw.messages
where author = 'agent' and is_public
group by id, ticket_id
"""

_INSERT = """
insert into raw.message_threads by name
select found.*
from found
where not exists (
    select 1 from raw.message_threads as known
    where known.message_id = found.message_id and known.body_hash = found.body_hash
)
"""


def refresh(connection: duckdb.DuckDBPyConnection) -> int:
    """Add a row for every customer's message that has none; returns how many came in.

    A row says what was known when the message was first seen: a message that arrives late does not change the rows of
    those after it.
    """
    connection.execute(_CREATE)
    found = connection.sql(_MESSAGES, params={"days": threads.LONG_DAYS}).to_arrow_table()
    if not found.num_rows:
        return 0
    replies = connection.sql(_REPLIES).to_arrow_table()
    features = threads.features(
        found.select(threads.MESSAGES.names).cast(threads.MESSAGES), replies.cast(threads.REPLIES)
    )
    connection.register("found", features.append_column("body_hash", found["body_hash"]))
    try:
        inserted = connection.execute(_INSERT).fetchone()
    finally:
        connection.unregister("found")
    return int(inserted[0]) if inserted else 0
