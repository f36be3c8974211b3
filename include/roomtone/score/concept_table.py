"""Keeps `raw.message_concepts`: what every text of a customer's says, by meaning.

A row follows from its text alone, so that no order of arrival and no batch changes it, and a rebuild makes it again.
"""

import pyarrow as pa

from roomtone.score import concepts
from roomtone.stores import warehouse
from roomtone.stores.loading import CONCEPT_SCHEMA, mark_loaded, transaction
from roomtone.stores.warehouse import Session

_BATCH_ROWS = 20_000

_UNREAD_LOADS = """
create temporary table unread_loads as
select source, load_id from raw.loads as loads
where not exists (
    select 1 from raw.scored_loads as seen
    where seen.model_version = ? and seen.source = loads.source and seen.load_id = loads.load_id
)
"""
# Tables rather than one query: of a large inbox DuckDB never came to the end of one that names its texts twice and
# takes a part of them.
_UNREAD_TEXTS = """
create temporary table unread_texts as
select id, body_hash, body, row_number() over () as place
from (
    select distinct id, md5(body) as body_hash, body
    from raw.messages
    where author = 'customer' and body is not null and load_id in (select load_id from unread_loads)
) as texts
"""
_KNOWN_TEXTS = """
create temporary table known_texts as
select message_id, body_hash from raw.message_concepts where message_id in (select id from unread_texts)
"""
_PART = """
select id, body_hash, body from unread_texts
where place > ? and place <= ?
    and not exists (
        select 1 from known_texts as known
        where known.message_id = unread_texts.id and known.body_hash = unread_texts.body_hash
    )
"""


def refresh(connection: Session, load_id: str) -> int:
    """Add the concepts of every text that has none; returns how many came in, under a load of the source `concepts`.

    Texts that another version of the list has read are read again, so that all can be compared.
    """
    version = concepts.version()
    with transaction(connection):
        connection.execute("delete from raw.message_concepts where concepts_version <> ?", [version])
        for table in ("unread_loads", "unread_texts", "known_texts"):
            connection.execute(f"drop table if exists {table}")
        connection.execute(_UNREAD_LOADS, [version])
        connection.execute(_UNREAD_TEXTS)
        connection.execute(_KNOWN_TEXTS)
        [end] = connection.execute("select count(*) from unread_texts").fetchone()
        count = 0
        for start in range(0, end, _BATCH_ROWS):
            rows = connection.execute(_PART, [start, start + _BATCH_ROWS]).fetchall()
            if not rows:
                continue
            ids, hashes, texts = (list(column) for column in zip(*rows, strict=True))
            size = len(rows)
            values = [ids, hashes, concepts.pack(texts), [version] * size, [load_id] * size]
            table = pa.table([pa.array(column, pa.string()) for column in values], schema=CONCEPT_SCHEMA)
            warehouse.insert(connection, "raw.message_concepts", table)
            count += size
        if count:
            connection.execute("delete from raw.loads where source = 'concepts' and load_id = ?", [load_id])
            mark_loaded(connection, "concepts", load_id)
        connection.execute("delete from raw.scored_loads where model_version like 'concepts-%'")
        connection.execute("insert into raw.scored_loads select ?, source, load_id from raw.loads", [version])
    return count
