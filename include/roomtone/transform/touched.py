"""Whom a pass touches: the customers whose rows may differ from the last pass, and their records alone for dbt to read.

A customer is touched by a record, score, override or outcome that came in since the last pass, whatever its own time;
by time itself, once an edge of theirs has passed (`int_customer_edges`); and by a tie to somebody who is: one address,
one ticket merged into another, one order. The set is closed under those ties, so that every row of a touched customer
can be computed from the records of touched customers, and nobody else's row can depend on them. What customers share
beyond that, the budgets of recovery rules, is placed anew where it changed (`int_trigger_budgets`).

Where that cannot be told (no last pass, or another project, policy or model, or time that went back) the pass is whole.
"""

# ruff: noqa: S608 - every name in a query comes from the contract or the catalogue; values are bound

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from roomtone.contract import STREAMS
from roomtone.stores.operational import Pass
from roomtone.stores.warehouse import Session
from roomtone.transform.keys import PHONE, records, refresh, versions

# Past both of these a pass over everything is cheaper than one over the touched.
MOST_TOUCHED = 5_000
MOST_TOUCHED_SHARE = 0.2

# Tables of the intermediate layer that hold everybody; the others hold what the last pass computed.
KEPT_BETWEEN_PASSES = (
    "int_customer_edges",
    "int_customer_identities",
    "int_customers",
    "int_ticket_activity",
    "int_ticket_tiers",
    "int_trigger_allowances",
)

_STATE = {
    "last_pass": "pass_sequence bigint, as_of timestamp, project_hash varchar, policies_hash varchar,"
    " model_version varchar, model_scored_at timestamp",
    "kept_tables": "name varchar, row_count bigint",
    "transformed_loads": "source varchar, load_id varchar",
    "records_ahead": "stream varchar, record_id varchar, dated_at timestamp",
}

# When a record begins to exist; a message not before it was written, even by its own account.
_DATED_AT = {"messages": "greatest(version_at, created_at)", "customer_risks": "as_of"}

# What the score stage writes: table, the column that names the message or the customer.
_SCORED = (("message_scores", "message_id"), ("message_concepts", "message_id"), ("customer_risks", "customer_id"))

# What is compared with the mirror of the last pass: table, the column that leads to a customer.
_MIRRORED_FACTS = {
    "overrides": "customer_id",
    "trigger_outcomes": "trigger_id",
    "routing_outcomes": "ticket_id",
    "pause_effects": "customer_id",
}


@dataclass(frozen=True)
class Scope:
    """What one pass computes. `whole_because` is empty where that is the touched customers alone."""

    whole_because: str
    count_customers: int
    policies_hash: str
    model_version: str | None = None
    model_scored_at: datetime | None = None

    @property
    def is_whole(self) -> bool:
        return bool(self.whole_because)


@dataclass(frozen=True)
class _LastPass:
    sequence: int
    as_of: datetime
    project_hash: str
    policies_hash: str
    model_version: str | None
    model_scored_at: datetime | None


def open_scope(
    connection: Session, current: Pass, project_hash: str, mirror: Callable[[datetime | None], str]
) -> Scope:
    """Find out whom `current` touches and write their records to the schema `touched`.

    `mirror` brings the operational store's tables up to date, given the instant of the last pass where that one left
    them in order, and returns the hash of the policies among them. Until
    `close_scope` the warehouse counts as half-computed: a pass that finds it so is whole.
    """
    for table, columns in _STATE.items():
        connection.execute(f"create table if not exists raw.{table} ({columns})")
    last = _take_last_pass(connection)
    damage = _damage(connection) if last else ""
    for table in _MIRRORED_FACTS if last else ():
        connection.execute(f"drop table if exists before_{table}")
        connection.execute(f"create temporary table before_{table} as select * from raw.{table}")
    as_of = current.as_of.astimezone(UTC).replace(tzinfo=None)
    goes_on = last is not None and not damage and last.as_of <= as_of
    policies_hash = mirror(last.as_of.replace(tzinfo=UTC) if last is not None and goes_on else None)
    _find_fresh_loads(connection)

    reason = damage or _whole_because(last, as_of, project_hash, policies_hash)
    if last is None or reason:
        return Scope(reason, 0, policies_hash)
    model_version, model_scored_at = _model_in_force(connection, last)
    if model_version != last.model_version:
        return Scope(f"model {model_version} came into force", 0, policies_hash)
    refresh(connection)
    count = _touch(connection, last, as_of)
    everybody = _count(connection, _KEPT_IDENTITIES)
    if count > max(MOST_TOUCHED, MOST_TOUCHED_SHARE * everybody):
        return Scope(f"{count} of {everybody} customers are touched", count, policies_hash)
    _write_records(connection, as_of, model_version)
    return Scope("", count, policies_hash, model_version, model_scored_at)


def close_scope(connection: Session, current: Pass, project_hash: str, scope: Scope) -> None:
    """Remember what the finished pass has seen and left, for the next one to go on from."""
    as_of = current.as_of.astimezone(UTC).replace(tzinfo=None)
    if scope.is_whole:
        refresh(connection, anew=True)
    connection.begin()
    try:
        _remember_ahead(connection, as_of, scope)
        connection.execute("insert into raw.transformed_loads select source, load_id from raw.fresh_loads")
        connection.execute("delete from raw.fresh_loads")
        connection.execute("delete from raw.kept_tables")
        connection.executemany("insert into raw.kept_tables values (?, ?)", list(kept_counts(connection).items()))
        model = (scope.model_version, scope.model_scored_at) if not scope.is_whole else _latest_model(connection)
        connection.execute("delete from raw.last_pass")
        connection.execute(
            "insert into raw.last_pass values (?, ?, ?, ?, ?, ?)",
            [current.sequence, as_of, project_hash, scope.policies_hash, *model],
        )
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _whole_because(last: _LastPass | None, as_of: datetime, project_hash: str, policies_hash: str) -> str:
    if last is None:
        return "no finished pass to go on from"
    if last.project_hash != project_hash:
        return "the dbt project changed"
    if last.as_of > as_of:
        return f"the last pass was as of {last.as_of:%Y-%m-%dT%H:%M:%SZ}, later than this one"
    if last.policies_hash != policies_hash:
        return "the policies changed"
    return ""


def _take_last_pass(connection: Session) -> _LastPass | None:
    row = connection.execute(
        "select pass_sequence, as_of, project_hash, policies_hash, model_version, model_scored_at from raw.last_pass"
    ).fetchone()
    connection.execute("delete from raw.last_pass")
    return None if row is None else _LastPass(*row)


def kept_names(connection: Session) -> list[str]:
    """The tables that hold everybody's rows, as `schema.name`: all public ones, and some of the intermediate layer."""
    rows = connection.execute(
        "select table_schema, table_name from information_schema.tables where table_type = 'BASE TABLE'"
        " and table_schema in ('intermediate', 'marts', 'activations') order by table_schema, table_name"
    ).fetchall()
    return [f"{schema}.{name}" for schema, name in rows if schema != "intermediate" or name in KEPT_BETWEEN_PASSES]


def kept_counts(connection: Session) -> dict[str, int]:
    """Rows of each of those tables."""
    return {name: _count(connection, name) for name in kept_names(connection)}


def _damage(connection: Session) -> str:
    """How what the last pass left differs from what is there; empty where it does not."""
    found = kept_counts(connection)
    for name, count in connection.execute("select name, row_count from raw.kept_tables order by name").fetchall():
        if found.get(name) != count:
            return f"{name} holds {found.get(name, 'no')} rows, not the {count} that the last pass left"
    return ""


def _find_fresh_loads(connection: Session) -> None:
    connection.execute("drop table if exists raw.fresh_loads")
    connection.execute(
        "create table raw.fresh_loads as select distinct source, load_id from raw.loads as loads"
        " where not exists (select 1 from raw.transformed_loads as seen"
        " where seen.source = loads.source and seen.load_id = loads.load_id)"
    )


_FRESH = "load_id in (select load_id from raw.fresh_loads)"


def _model_in_force(connection: Session, last: _LastPass) -> tuple[str | None, datetime | None]:
    """The model that scored last, of the one that had and those that have since."""
    found = connection.execute(
        f"select max(scored_at) as scored_at, model_version from raw.message_scores where {_FRESH}"
        " group by model_version"
    ).fetchall()
    known = [(scored_at, version) for scored_at, version in found if version is not None]
    if last.model_version is not None and last.model_scored_at is not None:
        known.append((last.model_scored_at, last.model_version))
    scored_at, version = max(known, default=(None, None))
    return version, scored_at


def _latest_model(connection: Session) -> tuple[str | None, datetime | None]:
    row = connection.execute(
        "select model_version, max(scored_at) from raw.message_scores group by model_version order by 2 desc, 1 desc"
    ).fetchone()
    return (None, None) if row is None else (row[0], row[1])


def _touch(connection: Session, last: _LastPass, as_of: datetime) -> int:
    """Write the ids of all that is touched since `last`; returns how many customer ids they are."""
    connection.execute("drop schema if exists touched cascade")
    connection.execute("create schema touched")
    connection.execute("create table touched.since_pass (pass_sequence bigint)")
    connection.execute("insert into touched.since_pass values (?)", [last.sequence])
    for kind in _KINDS:
        connection.execute(f"create table touched.{kind}_ids ({kind}_id varchar, step integer)")
    _find_changed_records(connection, last.as_of, as_of)
    for table, key in _MIRRORED_FACTS.items():
        connection.execute("drop table if exists changed_" + table)
        connection.execute(
            f"create temporary table changed_{table} as select distinct {key} from ("
            f"(select * from raw.{table} except select * from before_{table}) union all"
            f" (select * from before_{table} except select * from raw.{table})) as differing"
        )
    # What is found in one step leads to what is found in the next, until nothing new is.
    step = 0
    _add(connection, _touched_by(connection), step, as_of)
    while found := [kind for kind in _KINDS if _count(connection, f"touched.{kind}_ids where step = {step}")]:
        step += 1
        ties = [(kind, query) for kind, led_by, query in _ties(connection, step - 1) if led_by in found]
        _add(connection, ties, step, as_of)
    return _count(connection, "touched.customer_ids")


def _add(connection: Session, queries: Sequence[tuple[str, str]], step: int, as_of: datetime) -> None:
    """Add what the queries find, those of a kind in one statement: the engine answers them side by side."""
    for kind in _KINDS:
        asked = [query for queried, query in queries if queried == kind]
        if not asked:
            continue
        united = " union all ".join(f"select * from ({query}) as found" for query in asked)
        connection.execute(
            f"insert into touched.{kind}_ids select distinct found.id, {step} from ({united}) as found(id)"
            f" where found.id is not null and found.id not in (select {kind}_id from touched.{kind}_ids)",
            [as_of] * united.count("?"),
        )


def _find_changed_records(connection: Session, since: datetime, as_of: datetime) -> None:
    """Records that came in since the last pass, and those that had come earlier than their time, which is now."""
    connection.execute("drop table if exists changed_records")
    connection.execute(
        "create temporary table changed_records as select distinct stream, record_id from raw.records_ahead"
        " where dated_at > ? and dated_at <= ?",
        [since, as_of],
    )
    for stream, key in [*((stream, "id") for stream in STREAMS), *_SCORED]:
        connection.execute(
            f"insert into changed_records select distinct '{stream}', {key} from raw.{stream} where {_FRESH}"
        )


def _changed(*streams: str) -> str:
    names = ", ".join(f"'{stream}'" for stream in streams)
    return f"select record_id from changed_records where stream in ({names})"


_KINDS = ("customer", "ticket", "order")
_C = "select customer_id from touched.customer_ids"
_T = "select ticket_id from touched.ticket_ids"
_O = "select order_id from touched.order_ids"
_KEPT_IDENTITIES = "intermediate.int_customer_identities"


def _touched_by(connection: Session) -> list[tuple[str, str]]:
    """Kinds of ids, and a query for those that something new or now due touches.

    Of a record that changed all versions count: whom it left is touched like whom it came to.
    """

    def changed(table: str, wanted: str, *streams: str) -> str:
        columns = ", ".join(sorted({wanted, "id"}))
        query = records(connection, table, "id", _changed(*streams or (table,)), columns)
        return f"select {wanted} from ({query}) as found"

    return [
        ("customer", changed("customers", "id")),
        ("customer", changed("orders", "customer_id")),
        ("customer", changed("marketing_events", "customer_id")),
        ("customer", "select customer_id from intermediate.int_customer_edges where next_edge_at <= ?"),
        ("customer", _changed("customer_risks")),
        ("customer", "select customer_id from changed_overrides"),
        ("customer", "select customer_id from changed_pause_effects"),
        (
            "customer",
            """select customer_id from intermediate.int_trigger_allowances
            where trigger_id in (select trigger_id from changed_trigger_outcomes)""",
        ),
        ("ticket", changed("tickets", "id")),
        ("ticket", changed("messages", "ticket_id", "messages", "message_scores", "message_concepts")),
        ("ticket", changed("satisfaction_ratings", "ticket_id")),
        ("ticket", "select ticket_id from changed_routing_outcomes"),
        ("order", changed("shipments", "order_id")),
    ]


def _ties(connection: Session, step: int) -> list[tuple[str, str, str]]:
    """Kinds of ids, the kind that leads to them, and the query for those that the ids found in `step` lead to."""
    customers, tickets, orders = (f"{ids} where step = {step}" for ids in (_C, _T, _O))

    def led(table: str, wanted: str, key: str, ids: str) -> str:
        columns = ", ".join(sorted({wanted, key}))
        return f"select {wanted} from ({records(connection, table, key, ids, columns)}) as found"

    addressed = records(connection, "customers", "id", customers, "id, email, phone")
    emails = f"""select lower(trim(email)) from ({addressed}) as found
        except select email_address from {_KEPT_IDENTITIES} where link_rule = 'role_address'"""
    phones = f"""select {PHONE} from ({addressed}) as found
        where length({PHONE}) >= 7"""
    return [
        ("customer", "ticket", led("tickets", "customer_id", "id", tickets)),
        ("customer", "order", led("orders", "customer_id", "id", orders)),
        # Records are one person by an address or a phone, past ones among them: nothing else ties them.
        ("customer", "customer", led("customers", "id", "email", emails)),
        ("customer", "customer", led("customers", "id", "phone", phones)),
        ("ticket", "customer", led("tickets", "id", "customer_id", customers)),
        ("ticket", "ticket", led("tickets", "id", "merged_into", tickets)),
        ("ticket", "ticket", led("tickets", "merged_into", "id", tickets)),
        ("ticket", "order", led("tickets", "id", "order_id", orders)),
        ("order", "customer", led("orders", "id", "customer_id", customers)),
        ("order", "ticket", led("tickets", "order_id", "id", tickets)),
    ]


# What no model reads of a record; when it was received is asked of messages only. The hash is read where it decides.
_UNREAD = frozenset({"payload", "load_id", "received_at", "record_hash"})


def _records(connection: Session) -> dict[str, str]:
    """The query for what each table of the schema `touched` holds, in the order in which they are written."""

    def landed(stream: str, key: str, ids: str, *, others: bool = False) -> str:
        unread = _UNREAD - {"received_at"} if stream == "messages" else _UNREAD
        columns = [name for name in STREAMS[stream].landed_schema.names if name not in unread]
        return versions(connection, stream, key, ids, columns, others=others)

    return {
        "customers": landed("customers", "id", _C),
        "tickets": landed("tickets", "id", _T),
        "messages": landed("messages", "ticket_id", _T, others=True),
        "satisfaction_ratings": landed("satisfaction_ratings", "ticket_id", _T),
        "orders": landed("orders", "id", _O),
        "shipments": landed("shipments", "order_id", _O, others=True),
        "campaigns": "select * from raw.campaigns",
        "marketing_events": landed("marketing_events", "customer_id", _C, others=True),
        "message_scores": records(connection, "message_scores", "message_id", "select id from touched.messages"),
        "message_concepts": records(connection, "message_concepts", "message_id", "select id from touched.messages"),
        "customer_risks": records(connection, "customer_risks", "customer_id", _C),
        "overrides": f"select * from raw.overrides where customer_id in ({_C})",
    }


def _write_records(connection: Session, as_of: datetime, model_version: str | None) -> None:
    for table, query in _records(connection).items():
        connection.execute(f"create table touched.{table} as {query}")
    # A message that has gone to a ticket of somebody who is not touched is theirs.
    connection.execute(
        "delete from touched.messages where id in (select id from (select id, ticket_id, row_number() over"
        " (partition by id order by version_at desc, record_hash desc) as recency from touched.messages"
        f" where version_at <= ?) as versions where recency = 1 and ticket_id not in ({_T}))",
        [as_of],
    )
    connection.execute(
        "create view touched.placed_triggers as select trigger_id, customer_id, policy_id, due_at, status,"
        " place_in_day, place_in_month from marts.fct_recovery_triggers"
    )
    connection.execute("create table touched.model_in_force (model_version varchar)")
    if model_version is not None:
        connection.execute("insert into touched.model_in_force values (?)", [model_version])


def _remember_ahead(connection: Session, as_of: datetime, scope: Scope) -> None:
    if scope.is_whole:
        connection.execute("delete from raw.records_ahead")
    else:
        connection.execute("delete from raw.records_ahead where dated_at <= ?", [as_of])
    for stream, key in [*((stream, "id") for stream in STREAMS), ("customer_risks", "customer_id")]:
        dated_at = _DATED_AT.get(stream, "version_at")
        fresh = "" if scope.is_whole else f" and {_FRESH}"
        connection.execute(
            f"insert into raw.records_ahead select '{stream}', {key}, {dated_at} from raw.{stream}"
            f" where {dated_at} > ?{fresh}",
            [as_of],
        )


def _count(connection: Session, table: str) -> int:
    row = connection.execute(f"select count(*) from {table}").fetchone()
    return int(row[0]) if row else 0
