"""The rules of dbt-project-evaluator, read from the parsed project: what depends on what, tests, pages, access.

Each test is one rule of it, under the rule's own name where it has one.
"""

import itertools
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from roomtone.settings import PROJECT_ROOT, load_settings

PROJECT = PROJECT_ROOT / "dbt_project"
LAYERS = {"staging": "stg_", "intermediate": "int_", "marts": ("dim_", "fct_", "rpt_"), "activations": "sync_"}
# The instant of the pass belongs to no stream: every layer may read it, through its one view.
INSTANT = "stg_current_pass"
MOST_JOINS = 8
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
    assert [name for name, node in models.items() if sources(node) and layer(node) != "staging"] == []


def test_multiple_sources_joined_and_source_fanout(models: dict[str, Any]) -> None:
    """A staging model reads one source (and the pass), and a source is read by one staging model."""
    readers = defaultdict(set)
    for name, node in models.items():
        own = sources(node) - {"current_pass"}
        assert len(own) <= 1, f"{name} joins {sorted(own)}"
        for source in own:
            readers[source].add(name)
    assert {source: sorted(names) for source, names in readers.items() if len(names) > 1} == {}


def test_unused_sources(manifest: Any, models: dict[str, Any]) -> None:
    # `loads` is what loading remembers of itself.
    declared = {source.name for source in manifest.sources.values()} - {"loads"}
    assert declared - {source for node in models.values() for source in sources(node)} == set()


def test_root_models_and_hard_coded_references(models: dict[str, Any]) -> None:
    """Every model has a parent that dbt knows of, and no table is named other than by ref or source."""
    assert [name for name, node in models.items() if not node.depends_on.nodes] == []
    schemas = ("raw.", "staging.", "intermediate.", "marts.", "activations.")
    for name, node in models.items():
        words = node.raw_code.replace("(", " ").split()
        named = [
            after
            for before, after in itertools.pairwise(words)
            if before in {"from", "join"} and after.startswith(schemas)
        ]
        assert named == [], name


def test_staging_depends_on_no_model_and_layers_point_one_way(models: dict[str, Any]) -> None:
    order = list(LAYERS)
    wrong = []
    for name, node in models.items():
        for parent in parents(node, models):
            if parent.name == INSTANT:
                continue
            is_back = order.index(layer(parent)) > order.index(layer(node))
            # A mart is a public table: an intermediate model may build on one, and the other way round.
            is_public = {layer(parent), layer(node)} == {"intermediate", "marts"}
            if (is_back and not is_public) or (layer(node) == "staging" and layer(parent) == "staging"):
                wrong.append(f"{name} reads {parent.name}")
    assert wrong == []


def test_model_fanout(models: dict[str, Any]) -> None:
    """No model feeds more than a few tables that nothing else reads, or its logic wants one more step between."""
    read = {parent.name for node in models.values() for parent in parents(node, models)}
    leaves = defaultdict(set)
    for name, node in models.items():
        if name not in read:
            for parent in parents(node, models):
                leaves[parent.name].add(name)
    assert {name: sorted(ends) for name, ends in leaves.items() if len(ends) > MOST_LEAVES and name != INSTANT} == {}


def test_too_many_joins(models: dict[str, Any]) -> None:
    assert {
        name: len(parents(node, models)) for name, node in models.items() if len(parents(node, models)) > MOST_JOINS
    } == {}


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
