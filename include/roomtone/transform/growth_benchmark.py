"""`make bench-growth`: what a pass that touches 500 customers costs when history is 1, 10 and 100 times as long.

A simulated year is written straight into the raw schema: customers and messages are a fifth of the marketing sends,
tickets a twentieth. Then one pass computes everybody, and some passes, a minute apart, each bring 500 customers a
message with its score and a send. Each length runs in a process of its own, so that its peak memory counts.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from roomtone.policies.publish import publish
from roomtone.settings import Settings, load_settings, process_environment
from roomtone.stores import warehouse
from roomtone.stores.operational import OperationalStore
from roomtone.transform import transform
from roomtone.transform.simulated_year import Year, write, write_year

SENDS = (100_000, 1_000_000, 10_000_000)
TOUCHED = 500
PASSES = 5
# A busy minute: seven million messages a year.
A_MINUTES_MESSAGES = 14
YEAR_ENDS_AT = datetime(2026, 3, 1, tzinfo=UTC)

# What each figure must not exceed.
MOST_GROWTH = 3.0
MOST_SHARE_OF_WHOLE = 1 / 20
MOST_MEMORY_MIB = 4096
MOST_SECONDS_OF_A_MINUTE = 4.0


# Each of `touched` customers opens a ticket and is sent something.
_MINUTE = """
create or replace temporary table writers as
select row_number() over () as i, customer_id, timestamp '{ends}' + to_seconds(i % 60) as written_at
from (
    select distinct customer_id from raw.tickets
    where load_id = 'year' and hash(customer_id || '{load}') % greatest(1, {tickets} // (2 * {touched})) = 0
    limit {touched}
);

insert into raw.tickets by name
select '{load}-t' || i as id, customer_id, 'email' as channel, 'new' as status, written_at as created_at,
    written_at as updated_at, written_at as version_at, {landed}
from writers;

insert into raw.messages by name
select '{load}-m' || i as id, '{load}-t' || i as ticket_id, 'customer' as author, 'Still nothing, ' || id as body,
    true as is_public, written_at as created_at, written_at as updated_at, written_at as version_at, {landed}
from writers;

insert into raw.message_scores by name
select * exclude (mood_, body_) from (
    select '{load}-m' || i as message_id, 'Still nothing, ' || message_id as body_, {scored}, written_at as scored_at
    from writers
);

insert into raw.marketing_events by name
select '{load}-e' || i as id, customer_id, 'n1' as campaign_id, 'sent' as type, written_at as occurred_at,
    written_at as version_at, {landed}
from writers;

insert into raw.loads values ('files', '{load}', timestamp '{ends}');
"""


def measure(sends: int, home: Path) -> dict[str, object]:
    """The figures of a history of `sends`: seconds are wall time, CPU seconds this process's own."""
    settings = load_settings({"ROOMTONE_HOME": str(home)})
    year = Year(YEAR_ENDS_AT, customers=sends // 5, messages=sends // 5, sends=sends)
    with warehouse.connect(settings) as connection:
        write_year(connection, year)
    whole = _timed(settings, YEAR_ENDS_AT)
    # The first pass over the touched is not counted: the process warms up on it.
    passes = [_minute(settings, year, number, TOUCHED) for number in range(PASSES + 1)][1:]
    minutes = [_minute(settings, year, PASSES + 1 + number, A_MINUTES_MESSAGES) for number in range(PASSES)]
    return {
        "sends": sends,
        "whole_seconds": whole["seconds"],
        "whole_cpu_seconds": whole["cpu_seconds"],
        "pass_seconds": statistics.median(one["seconds"] for one in passes),
        "pass_cpu_seconds": statistics.median(one["cpu_seconds"] for one in passes),
        "customers_touched": statistics.median(one["customers_touched"] for one in passes),
        "minute_seconds": statistics.median(one["seconds"] for one in minutes),
        "minute_cpu_seconds": statistics.median(one["cpu_seconds"] for one in minutes),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "warehouse_mb": settings.warehouse_path.stat().st_size // 1_000_000,
    }


def _minute(settings: Settings, year: Year, number: int, touched: int) -> dict[str, float]:
    began_at = YEAR_ENDS_AT + timedelta(minutes=number)
    with warehouse.connect(settings) as connection:
        write(connection, _MINUTE, year, f"minute-{number}", began_at, touched=touched)
    return _timed(settings, began_at + timedelta(minutes=1))


def _timed(settings: Settings, as_of: datetime) -> dict[str, float]:
    store = OperationalStore(settings)
    try:
        publish(settings, store, as_of)
        current = store.begin_pass(as_of)
    finally:
        store.close()
    wall, cpu = time.perf_counter(), time.process_time()
    report = transform(settings, current)
    if bool(report.whole_because) != (as_of == YEAR_ENDS_AT):
        raise RuntimeError(f"the pass as of {as_of} was computed for the wrong customers: {report.whole_because}")
    return {
        "seconds": round(time.perf_counter() - wall, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "customers_touched": report.count_touched,
    }


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
                "CPU seconds of a pass, longest over shortest history",
                longest["pass_cpu_seconds"] / shortest["pass_cpu_seconds"],
                MOST_GROWTH,
            ),
            _claim(
                "seconds of a pass over those of everybody, longest history",
                longest["pass_seconds"] / longest["whole_seconds"],
                MOST_SHARE_OF_WHOLE,
            ),
            _claim(
                "seconds of a pass over a minute's messages, in a warm process, shortest history",
                shortest["minute_seconds"],
                MOST_SECONDS_OF_A_MINUTE,
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
