"""BI reads while passes publish: three readers at once, none of which ever meets an error or half a state."""

import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from roomtone.settings import PROJECT_ROOT, Settings, load_settings
from roomtone.stores import warehouse
from roomtone.sync.publish import publish

from .conftest import Mart

AS_OF = datetime(2026, 3, 2, 9, tzinfo=UTC)
# `make bench-readers` asks for ten thousand.
QUERIES = int(os.environ.get("READERS_QUERIES", "2000"))
QUERY_FILES = sorted((PROJECT_ROOT / "docs" / "queries").glob("*.sql"))

# Every open asks five queries of what it opened, as a page of a BI tool does; every answer must be of one pass.
READER = """
import json, pathlib, sys, time
import duckdb
folder, wanted = pathlib.Path(sys.argv[1]), int(sys.argv[2])
parquet, database = folder / "parquet", folder / "marts.duckdb"
COUNTS = ("select count(*) from {customers}", "select max(customer_id) from {customers}",
          "select count(*) from {customers} c join {about} p on true",
          "select count(distinct customer_id) from {customers}")
queries, errors, passes, slowest = 0, [], set(), 0.0
while queries < wanted:
    for is_file in (True, False):
        begun = time.perf_counter()
        try:
            with duckdb.connect(str(database), read_only=True) if is_file else duckdb.connect() as connection:
                if is_file:
                    names = {"customers": "dim_customers", "about": "roomtone_publication"}
                else:
                    # The link is resolved once: what is listed is read from one pass.
                    real = parquet.resolve()
                    names = {"customers": f"read_parquet('{real}/dim_customers.parquet')",
                             "about": f"read_parquet('{real}/roomtone_publication.parquet')"}
                sequence, = connection.execute(f"select pass_sequence from {names['about']}").fetchone()
                queries += 1
                for number, text in enumerate(COUNTS):
                    answer, = connection.execute(text.format(**names)).fetchone()
                    queries += 1
                    if number != 1 and answer != 1000 + sequence:
                        errors.append(f"{answer} rows in pass {sequence}")
                passes.add(sequence)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
        slowest = max(slowest, time.perf_counter() - begun)
print(json.dumps({"queries": queries, "errors": errors, "passes": len(passes), "slowest_seconds": round(slowest, 3)}))
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """No platform is asked here."""
    return load_settings({"ROOMTONE_HOME": str(tmp_path / "home")})


def publish_pass(mart: Mart) -> None:
    current = mart.commit(AS_OF)
    with warehouse.connect(mart.settings) as connection:
        connection.execute("delete from marts.dim_customers")
        connection.execute(
            "insert into marts.dim_customers select 'c' || range from range(?)", [1000 + current.sequence]
        )
    publish(mart.settings, current)


def test_three_readers_meet_no_error_while_marts_are_swapped(mart: Mart) -> None:
    publish_pass(mart)
    command = [sys.executable, "-c", READER, str(mart.settings.published_dir), str(QUERIES // 3 + 1)]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    swaps = 0
    try:
        while any(reader.poll() is None for reader in readers):
            publish_pass(mart)
            swaps += 1
            time.sleep(0.4)
        told = [json.loads(reader.communicate()[0]) for reader in readers]
    finally:
        for reader in readers:
            reader.kill()
    assert [error for reader in told for error in reader["errors"]] == []
    assert sum(reader["queries"] for reader in told) >= QUERIES
    assert swaps >= 3
    assert all(reader["passes"] >= 2 for reader in told), "nobody saw a swap"
    print(json.dumps({"queries": sum(reader["queries"] for reader in told), "errors": 0, "swaps": swaps}))


def test_the_example_queries_are_portable_and_told_of() -> None:
    page = (PROJECT_ROOT / "docs" / "queries" / "README.md").read_text()
    for path in QUERY_FILES:
        assert f"`{path.name}`" in page
        assert not re.search(r"qualify|filter *\(|unnest|::", path.read_text().lower()), path.name
