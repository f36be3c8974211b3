"""The rules of dbt-project-evaluator, read from the parsed project: what depends on what, tests, pages, access.

Each test is one rule of it, under the rule's own name where it has one.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from roomtone.settings import PROJECT_ROOT, load_settings

PROJECT = PROJECT_ROOT / "dbt_project"
LAYERS = {"staging": "stg_", "intermediate": "int_", "marts": ("dim_", "fct_", "rpt_"), "activations": "sync_"}
# The instant of the pass belongs to no stream: every layer may read it, through its one view.
INSTANT = "stg_current_pass"
# Nor does whom the pass touches: what is kept from pass to pass is narrowed by it (`of_touched`).
SCOPE_OF_THE_PASS = {"current_pass", "customer_ids", "ticket_ids"}
MOST_JOINS = 9
# It gathers every instant that any model compares with the time.
GATHERS_ALL = {"int_customer_edges"}
MOST_LEAVES = 3


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from dbt.cli.main import dbtRunner

    folder = tmp_path_factory.mktemp("parsed")
    settings = load_settings({"ROOMTONE_HOME": str(folder)})
    (folder / "profiles.yml").write_text(
        '{"roomtone": {"target": "duckdb", "outputs": {"duckdb":'
        f' {{"type": "duckdb", "path": "{settings.warehouse_path}", "schema": "main"}}}}}}}}'
    )
    arguments = {
        "--project-dir": PROJECT,
        "--profiles-dir": folder,
        "--target-path": folder / "target",
        "--log-path": folder / "logs",
        "--log-level": "none",
    }
    words = [word for pair in arguments.items() for word in map(str, pair)]
    answer = dbtRunner().invoke(["parse", *words, "--quiet", "--no-partial-parse"])
    assert answer.success, answer.exception
    return answer.result


@pytest.fixture(scope="module")
def models(manifest: Any) -> dict[str, Any]:
    return {node.name: node for node in manifest.nodes.values() if node.resource_type == "model"}


def layer(node: Any) -> str:
    return Path(node.original_file_path).parts[1]


def parents(node: Any, models: dict[str, Any]) -> list[Any]:
    return [models[key.rsplit(".", 1)[1]] for key in set(node.depends_on.nodes) if key.startswith("model.")]


def sources(node: Any) -> set[str]:
    return {key.rsplit(".", 1)[1] for key in node.depends_on.nodes if key.startswith("source.")}


def test_model_naming_conventions_and_directories(models: dict[str, Any]) -> None:
    wrong = [name for name, node in models.items() if not name.startswith(LAYERS[layer(node)])]
    assert wrong == []


def test_direct_join_to_source_and_marts_on_sources(models: dict[str, Any]) -> None:
    """A source is read by staging alone, so a mart or an intermediate model never reads one."""
    assert [
        name for name, node in models.items() if sources(node) - SCOPE_OF_THE_PASS and layer(node) != "staging"
    ] == []


def test_multiple_sources_joined_and_source_fanout(models: dict[str, Any]) -> None:
    """A staging model reads one source (and the pass), and a source is read by one staging model."""
    readers = defaultdict(set)
    for name, node in models.items():
        own = sources(node) - SCOPE_OF_THE_PASS
        assert len(own) <= 1, f"{name} joins {sorted(own)}"
        for source in own:
            readers[source].add(name)
    counts = {name: len(parents(node, models)) for name, node in models.items() if name not in GATHERS_ALL}
    assert {name: count for name, count in counts.items() if count > MOST_JOINS} == {}


def test_missing_primary_key_tests(manifest: Any, models: dict[str, Any]) -> None:
    tested = set()
    for node in manifest.nodes.values():
        metadata = getattr(node, "test_metadata", None)
        if metadata is not None and (metadata.name in {"unique", "grain"} or metadata.name.startswith("unique")):
            tested |= {key.rsplit(".", 1)[1] for key in node.depends_on.nodes}
    assert sorted(models.keys() - tested) == []


def test_undocumented_models_columns_and_sources(manifest: Any, models: dict[str, Any]) -> None:
    assert [name for name, node in models.items() if not node.description] == []
    undescribed = [
        f"{name}.{column.name}"
        for name, node in models.items()
        for column in node.columns.values()
        if not column.description
    ]
    assert undescribed == []
    assert [source.name for source in manifest.sources.values() if not source.description] == []


def test_every_model_is_described_beside_itself(models: dict[str, Any]) -> None:
    for name, node in models.items():
        written = str(node.patch_path).partition("://")[2]
        assert Path(written).parent == Path(node.original_file_path).parent, name
        assert Path(written).stem == name


def test_chained_view_dependencies(models: dict[str, Any]) -> None:
    """Two views on top of each other at most: a chain of them is computed again by each of its readers."""

    def depth(node: Any) -> int:
        if node.config.materialized != "view":
            return 0
        return 1 + max((depth(parent) for parent in parents(node, models)), default=0)

    assert {name: depth(node) for name, node in models.items() if depth(node) > 2} == {}


def test_exposures_depend_on_public_tables_only(manifest: Any, models: dict[str, Any]) -> None:
    assert manifest.exposures
    for exposure in manifest.exposures.values():
        assert exposure.description
        assert exposure.owner.email
        for key in exposure.depends_on.nodes:
            node = models[key.rsplit(".", 1)[1]]
            assert node.config.materialized != "view", f"{exposure.name} reads the view {node.name}"
            assert str(node.access) in {"public", "AccessType.Public"}, f"{exposure.name} reads {node.name}"


def test_public_models_without_contract(models: dict[str, Any]) -> None:
    for name, node in models.items():
        if layer(node) in {"marts", "activations"}:
            assert node.config.contract.enforced, name
            assert all(column.data_type for column in node.columns.values()), name
        else:
            assert str(node.access) not in {"public", "AccessType.Public"}, name


def test_unit_tests_stand_where_logic_is(manifest: Any, models: dict[str, Any]) -> None:
    """A mart that decides something (a case, a rank, a join of more than two) has a unit test of its own."""
    tested = {key.rsplit(".", 1)[1] for test in manifest.unit_tests.values() for key in test.depends_on.nodes}
    bare = [
        name
        for name, node in models.items()
        if layer(node) in {"marts", "activations"}
        and (" case" in node.raw_code or "row_number()" in node.raw_code or len(parents(node, models)) > 2)
        and name not in tested
    ]
    assert bare == []
