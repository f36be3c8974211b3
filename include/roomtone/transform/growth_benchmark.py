"""`make bench-growth`: what a pass that touches 500 customers costs when history is 1, 10 and 100 times as long.

A simulated year is written straight into the raw schema: orders and messages are a fifth of the marketing sends, tickets
a twentieth, customers a fifth. Then one pass computes everybody, and some passes, a minute apart, each bring 500
customers a message with its score and a send. Each length runs in a process of its own, so that its peak memory counts.
"""

# ruff: noqa: S608 - the queries are built from numbers and names of this module

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from roomtone import pipeline
from roomtone.settings import Settings, load_settings, process_environment
from roomtone.stores import loading, warehouse
from roomtone.transform import transform

SENDS = (100_000, 1_000_000, 10_000_000)
TOUCHED = 500
PASSES = 5
YEAR_ENDS_AT = datetime(2026, 3, 1, tzinfo=UTC)

# What each figure must not exceed: issue 4, "Must reach".
MOST_GROWTH = 3.0
MOST_SHARE_OF_WHOLE = 1 / 20
MOST_MEMORY_MIB = 4096


@dataclass(frozen=True)
class Length:
    """A history of `sends` marketing events; the counts of everything else follow from it."""

    sends: int

    @property
    def customers(self) -> int:
        return self.sends // 5

    @property
    def orders(self) -> int:
        return self.sends // 5

    @property
    def messages(self) -> int:
        return self.sends // 5

    @property
    def tickets(self) -> int:
        return self.sends // 20


def measure(sends: int, home: Path) -> dict[str, object]:
    """The figures of one length of history: seconds are wall time, `cpu_seconds` this process's own."""
    settings = load_settings({"ROOMTONE_HOME": str(home)})
    with warehouse.connect(settings) as connection:
        loading.ensure_raw_tables(connection)
        _write_year(connection, Length(sends))
    whole = _timed(settings, YEAR_ENDS_AT)
    passes = []
    # The first pass over the touched parses nothing new but is not counted: the process warms up on it.
    for number in range(PASSES + 1):
        with warehouse.connect(settings) as connection:
            _write_minute(connection, Length(sends), number)
        passes.append(_timed(settings, YEAR_ENDS_AT + timedelta(minutes=number + 1)))
    counted = passes[1:]
    return {
        "sends": sends,
        "whole_seconds": whole["seconds"],
        "whole_cpu_seconds": whole["cpu_seconds"],
        "pass_seconds": statistics.median(one["seconds"] for one in counted),
        "pass_cpu_seconds": statistics.median(one["cpu_seconds"] for one in counted),
        "customers_touched": statistics.median(one["customers_touched"] for one in counted),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "warehouse_mb": settings.warehouse_path.stat().st_size // 1_000_000,
    }


def _timed(settings: Settings, as_of: datetime) -> dict[str, float]:
    current = pipeline.begin(settings, as_of)
    wall, cpu = time.perf_counter(), time.process_time()
    report = transform(settings, current)
    if bool(report.whole_because) != (as_of == YEAR_ENDS_AT):
        raise RuntimeError(f"the pass as of {as_of} was computed for the wrong customers: {report.whole_because}")
    return {
        "seconds": round(time.perf_counter() - wall, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "customers_touched": report.count_touched,
    }


def _write_year(connection: duckdb.DuckDBPyConnection, length: Length) -> None:
    ends = YEAR_ENDS_AT.replace(tzinfo=None)
    connection.execute(
        "create or replace temporary macro spread(i, salt) as hash(i * 1000003 + salt) / 18446744073709551616.0"
    )
    connection.execute(
        f"create or replace temporary macro instant(i, n) as timestamp '{ends}'"
        " - to_seconds(cast(31536000 * (1 - i / cast(n as double)) + 60 as bigint))"
    )
    connection.execute(
        "create or replace temporary macro somebody(i, salt, n) as 'c' || cast(floor(spread(i, salt) * n) as bigint)"
    )
    landed = "'files' as source, md5(id || version_at) as record_hash, version_at as received_at, '{}' as payload, 'year' as load_id"
    for table, columns, source in _year(length):
        connection.execute(
            f"insert into raw.{table} by name select *, {landed} from (select {columns} from {source})"
            if table != "message_scores"
            else f"insert into raw.{table} by name select {columns}, 'year' as load_id from {source}"
        )
    connection.execute("insert into raw.loads values ('files', 'year', ?)", [ends])


def _year(length: Length) -> list[tuple[str, str, str]]:
    """(table, columns, rows) in order of time, as loads would have brought them."""
    people, orders, tickets, messages = length.customers, length.orders, length.tickets, length.messages
    ticket_of = f"cast(floor(i / {messages // tickets}) as bigint)"
    stale = f"instant(i, {tickets}) < timestamp '{YEAR_ENDS_AT.replace(tzinfo=None)}' - interval 3 days"
    ticket = (
        f"'t' || i as id, somebody(i, 2, {people}) as customer_id, 'email' as channel, 'Where is it?' as subject,"
        f" instant(i, {tickets}) as created_at"
    )
    message = f"'m' || i as id, 't' || {ticket_of} as ticket_id"
    at = f"instant({ticket_of}, {tickets}) + to_minutes(i % {messages // tickets} * 300)"
    return [
        (
            "customers",
            f"'c' || i as id, 'c' || i || '@example.com' as email, true as email_marketing_consent,"
            f" true as sms_marketing_consent, instant(i, {people}) as created_at, instant(i, {people}) as updated_at,"
            f" instant(i, {people}) as version_at",
            f"range({people}) as numbers(i)",
        ),
        (
            "orders",
            f"'o' || i as id, somebody(i, 1, {people}) as customer_id, instant(i, {orders}) as placed_at, 50 as total,"
            f" 'EUR' as currency, 'paid' as status, case when spread(i, 7) < 0.03 then 5 end as refunded_amount,"
            f" instant(i, {orders}) as updated_at, instant(i, {orders}) as version_at",
            f"range({orders}) as numbers(i)",
        ),
        (
            "shipments",
            f"'s' || i as id, 'o' || i as order_id, instant(i, {orders}) as shipped_at,"
            f" instant(i, {orders}) + interval 4 days as promised_at,"
            f" instant(i, {orders}) + interval 2 days as last_scan_at,"
            f" instant(i, {orders}) + to_hours(cast(50 + spread(i, 8) * 60 as bigint)) as delivered_at,"
            f" instant(i, {orders}) as updated_at, instant(i, {orders}) as version_at",
            f"range({orders}) as numbers(i)",
        ),
        (
            "tickets",
            f"{ticket}, 'new' as status, instant(i, {tickets}) as updated_at, instant(i, {tickets}) as version_at",
            f"range({tickets}) as numbers(i)",
        ),
        (
            "tickets",
            f"{ticket}, 'solved' as status, instant(i, {tickets}) + interval 2 days as updated_at,"
            f" instant(i, {tickets}) + interval 2 days as version_at",
            f"range({tickets}) as numbers(i) where {stale}",
        ),
        (
            "messages",
            f"{message}, case when i % 2 = 0 then 'customer' else 'agent' end as author,"
            f" 'I wrote before about this order, number ' || i as body, true as is_public, {at} as created_at,"
            f" {at} as updated_at, {at} as version_at",
            f"range({messages}) as numbers(i)",
        ),
        (
            "message_scores",
            _score("'m' || i", "'I wrote before about this order, number ' || i", at),
            f"range({messages}) as numbers(i) where i % 2 = 0",
        ),
        (
            "marketing_events",
            f"'e' || i as id, somebody(i, 3, {people}) as customer_id, 'n' || i % 50 as campaign_id,"
            f" case when spread(i, 4) < 0.001 then 'marked_spam' else 'sent' end as type,"
            f" instant(i, {length.sends}) as occurred_at, instant(i, {length.sends}) as version_at",
            f"range({length.sends}) as numbers(i)",
        ),
    ]


def _score(message_id: str, body: str, scored_at: str) -> str:
    """Columns of a score: one message in six is negative, one in six positive."""
    mood = "spread(i, 5)"
    return (
        f"{message_id} as message_id, md5({body}) as body_hash,"
        f" case when {mood} < 0.17 then 0.9 else 0.05 end as p_negative,"
        f" case when {mood} >= 0.34 then 0.9 else 0.05 end as p_neutral,"
        f" case when {mood} >= 0.17 and {mood} < 0.34 then 0.9 else 0.05 end as p_positive,"
        f" case when {mood} < 0.17 then 'negative' when {mood} < 0.34 then 'positive' else 'neutral' end as sentiment,"
        " 0.9 as confidence, false as is_abstained, 'normal' as urgency, 0.4 as urgency_score, 'delivery' as intent,"
        " 0.8 as intent_confidence, '{\"threat\": 0.01}' as cues, 'en' as language, 'simulated' as model_version,"
        f" '[]' as top_reasons, {scored_at} as scored_at"
    )


def _write_minute(connection: duckdb.DuckDBPyConnection, length: Length, number: int) -> None:
    """Records of one minute: each of 500 customers writes once and is sent something."""
    at = f"timestamp '{(YEAR_ENDS_AT + timedelta(minutes=number)).replace(tzinfo=None)}' + to_seconds(i % 60)"
    load = f"minute-{number}"
    landed = f"'files' as source, md5(id || '{load}') as record_hash, version_at as received_at, '{{}}' as payload, '{load}' as load_id"
    writers = (
        "(select row_number() over () as i, customer_id from (select distinct customer_id from raw.tickets"
        f" where hash(customer_id || '{load}') % {max(1, length.tickets // (2 * TOUCHED))} = 0 order by customer_id limit {TOUCHED}))"
    )
    ticket, message = f"'{load}-t' || i", f"'{load}-m' || i"
    body = f"'Still nothing, ' || '{load} ' || i"
    connection.execute(
        "create or replace temporary macro spread(i, salt) as hash(i * 1000003 + salt) / 18446744073709551616.0"
    )
    connection.execute(f"create or replace temporary table writers as select * from {writers}")
    for table, columns in (
        (
            "tickets",
            f"{ticket} as id, customer_id, 'email' as channel, 'new' as status, {at} as created_at, {at} as updated_at",
        ),
        (
            "messages",
            f"{message} as id, {ticket} as ticket_id, 'customer' as author, {body} as body, true as is_public, {at} as created_at, {at} as updated_at",
        ),
        (
            "marketing_events",
            f"'{load}-e' || i as id, customer_id, 'n1' as campaign_id, 'sent' as type, {at} as occurred_at",
        ),
    ):
        connection.execute(
            f"insert into raw.{table} by name select *, {landed} from (select {columns}, {at} as version_at from writers)"
        )
    connection.execute(
        f"insert into raw.message_scores by name select {_score(message, body, at)}, '{load}' as load_id from writers"
    )
    connection.execute("insert into raw.loads values ('files', ?, ?)", [load, YEAR_ENDS_AT.replace(tzinfo=None)])


def benchmark() -> dict[str, object]:
    """Every length in a process of its own, and the figures that the targets speak of."""
    lengths = []
    for sends in SENDS:
        with tempfile.TemporaryDirectory(prefix="roomtone-growth-") as home:
            command = [sys.executable, "-m", __spec__.name, str(sends), home]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=process_environment())
            lengths.append(json.loads(done.stdout.splitlines()[-1]))
    shortest, longest = lengths[0], lengths[-1]
    return {
        "lengths": lengths,
        "claims": [
            _claim(
                "seconds of a pass, longest over shortest history",
                longest["pass_seconds"] / shortest["pass_seconds"],
                MOST_GROWTH,
            ),
            _claim(
                "seconds of a pass over those of everybody, longest history",
                longest["pass_seconds"] / longest["whole_seconds"],
                MOST_SHARE_OF_WHOLE,
            ),
            _claim("peak memory, MiB", max(length["peak_memory_mib"] for length in lengths), MOST_MEMORY_MIB),
        ],
    }


def _claim(what: str, figure: float, at_most: float) -> dict[str, object]:
    return {"what": what, "figure": round(figure, 4), "at_most": round(at_most, 4), "is_reached": figure <= at_most}


def main(arguments: list[str]) -> None:
    if arguments:
        print(json.dumps(measure(int(arguments[0]), Path(arguments[1]))))
    else:
        print(json.dumps(benchmark(), indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
