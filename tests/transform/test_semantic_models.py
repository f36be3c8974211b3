"""The semantic models parse with the project, and the passes never see them."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from roomtone.settings import PROJECT_ROOT

PROJECT = PROJECT_ROOT / "dbt_project"
FOLDER = "semantic_models"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from dbt.cli.main import dbtRunner

    folder = tmp_path_factory.mktemp("semantic")
    project = Path(shutil.copytree(PROJECT, folder / "project"))
    settings = yaml.safe_load((project / "dbt_project.yml").read_text())
    settings["model-paths"].append(FOLDER)
    (project / "dbt_project.yml").write_text(yaml.safe_dump(settings))
    output = {"type": "duckdb", "path": str(folder / "empty.duckdb"), "schema": "main"}
    (folder / "profiles.yml").write_text(
        yaml.safe_dump({"roomtone": {"target": "duckdb", "outputs": {"duckdb": output}}})
    )
    words = ["parse", "--project-dir", str(project), "--profiles-dir", str(folder)]
    words += ["--target-path", str(folder / "target"), "--log-path", str(folder / "logs"), "--log-level", "none"]
    answer = dbtRunner().invoke([*words, "--quiet"])
    assert answer.success, answer.exception
    return answer.result


def test_every_measure_has_a_metric_and_every_metric_a_description(manifest: Any) -> None:
    assert {model.name for model in manifest.semantic_models.values()} == {
        "tickets",
        "suppression_causes",
        "recovery_cases",
    }
    assert len(manifest.metrics) >= 7
    assert all(metric.description and metric.label for metric in manifest.metrics.values())


def test_every_expression_is_a_column_of_its_mart(manifest: Any) -> None:
    models = {node.name: node for node in manifest.nodes.values() if node.resource_type == "model"}
    for semantic in manifest.semantic_models.values():
        columns = set(models[semantic.node_relation.alias].columns)
        named = [*semantic.entities, *semantic.dimensions, *semantic.measures]
        plain = {part.expr or part.name for part in named if " " not in str(part.expr or part.name)}
        assert plain <= columns, f"{semantic.name}: {plain - columns}"


def test_the_passes_do_not_parse_them() -> None:
    assert FOLDER not in yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["model-paths"]
