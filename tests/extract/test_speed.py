"""A backlog is read at a pace that a morning after an outage needs."""

import time

from extract.desk import Desk, message

RECORDS = 30_000
# The bar of the design is 10,000 a second on one core for a backlog of 250,000; figures of a full run are in the docs.
RECORDS_PER_CPU_SECOND = 10_000


def test_a_backlog_lands_at_ten_thousand_records_a_cpu_second(desk: Desk) -> None:
    desk.write("messages/warm.jsonl", [message(0)])
    desk.extract()
    body = "My order has not arrived and nobody answers. " * 5
    desk.write("messages/a.jsonl", [message(n, body=f"{body}{n}") for n in range(1, RECORDS + 1)])
    begun = time.process_time()
    report = desk.extract()
    spent = time.process_time() - begun
    assert report.total.landed == RECORDS
    print(f"\n{RECORDS / spent:,.0f} records landed a CPU second")
    assert RECORDS / spent >= RECORDS_PER_CPU_SECOND
