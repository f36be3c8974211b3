"""BI reads while passes publish: three readers at once, none of which ever meets an error or half a state."""

import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from conftest import Sandbox
from roomtone import clock
from roomtone.pipeline import run_once
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
    while any(reader.poll() is None for reader in readers):
        publish_pass(mart)
        swaps += 1
        time.sleep(0.05)
    told = [json.loads(reader.communicate()[0]) for reader in readers]
    assert [error for reader in told for error in reader["errors"]] == []
    assert sum(reader["queries"] for reader in told) >= QUERIES
    assert swaps >= 3
    assert all(reader["passes"] >= 2 for reader in told), "nobody saw a swap"
    print(json.dumps({"queries": sum(reader["queries"] for reader in told), "errors": 0, "swaps": swaps}))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The marts of a small sandbox brand."""
    home = tmp_path_factory.mktemp("published")
    command = [sys.executable, "-m", "roomtone.sandbox", "serve", "--port", "0", "--customers", "60"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=home)
    try:
        assert process.stdout is not None
        brand = Sandbox(process.stdout.readline().split()[-1], process)
        settings = load_settings(brand.environ(home / "home"))
        assert run_once(settings, clock.now(settings)).failures == []
    finally:
        process.terminate()
        process.wait(timeout=20)
    return settings


@pytest.mark.parametrize("path", QUERY_FILES, ids=lambda path: path.stem)
def test_each_example_query_runs_on_the_database_and_on_parquet(path: Path, published: Settings) -> None:
    sql = path.read_text()
    assert sql.startswith("-- "), "each says what it answers"
    with duckdb.connect(str(published.published_dir / "marts.duckdb"), read_only=True) as connection:
        from_database = connection.execute(sql).fetchall()
    with duckdb.connect() as connection:
        for file in (published.published_dir / "parquet").resolve().glob("*.parquet"):
            connection.execute(f"create view \"{file.stem}\" as select * from read_parquet('{file}')")
        assert connection.execute(sql).fetchall() == from_database
    assert from_database, "an example that shows nothing explains nothing"


def test_the_examples_are_portable_and_told_of(published: Settings) -> None:
    page = (PROJECT_ROOT / "docs" / "queries" / "README.md").read_text()
    for path in QUERY_FILES:
        assert f"`{path.name}`" in page
        assert not re.search(r"qualify|filter *\(|unnest|::", path.read_text().lower()), path.name
