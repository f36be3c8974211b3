"""The house rules that a machine can see: layers, who reads the environment, what is never imported or opened."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from roomtone.settings import PROJECT_ROOT

LIBRARY = PROJECT_ROOT / "include" / "roomtone"
MODULES = sorted(LIBRARY.rglob("*.py"))
MAXIMUM_LINES = 600

# What each part of the library may not import: layers point one way.
VERBS = ("extract", "score", "transform", "validate", "sync")
TOP = ("airflow", "cli", "sandbox", "pipeline", "rebuild", "replay", "doctor")
FORBIDDEN = {
    "stores": (*TOP, *VERBS, "policies"),
    "policies": (*TOP, *VERBS),
    "contract.py": (*TOP, *VERBS, "policies", "stores"),
    "settings.py": (*TOP, *VERBS, "policies", "stores"),
    "errors.py": (*TOP, *VERBS, "policies", "stores"),
    "clock.py": (*TOP, *VERBS, "policies", "stores"),
    **dict.fromkeys(VERBS, TOP),
    "airflow": ("sandbox", "cli"),
    "pipeline.py": ("sandbox", "cli", "airflow"),
    "replay": ("sandbox", "cli", "airflow"),
}


def imported(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
            if node.module == "roomtone":
                yield from ((node.lineno, f"roomtone.{alias.name}") for alias in node.names)


def test_there_is_a_library_to_check() -> None:
    assert len(MODULES) > 40


@pytest.mark.parametrize("part", sorted(FORBIDDEN))
def test_layers_point_one_way(part: str) -> None:
    banned = tuple(f"roomtone.{name}" for name in FORBIDDEN[part])
    files = [path for path in MODULES if path.relative_to(LIBRARY).parts[0] == part]
    assert files, part
    wrong = [
        f"{path.relative_to(LIBRARY)}:{line} imports {name}"
        for path in files
        for line, name in imported(path)
        if name in banned or name.startswith(tuple(f"{prefix}." for prefix in banned))
    ]
    assert wrong == []


def test_only_settings_reads_the_environment() -> None:
    wrong = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            is_read = (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}) and (
                isinstance(node.value, ast.Name) and node.value.id == "os"
            )
            if is_read and path.name != "settings.py":
                wrong.append(f"{path.relative_to(LIBRARY)}:{node.lineno}")
    assert wrong == []


def test_only_one_package_imports_airflow() -> None:
    wrong = [
        f"{path.relative_to(LIBRARY)}:{line}"
        for path in MODULES
        for line, name in imported(path)
        if name.split(".")[0] == "airflow" and path.relative_to(LIBRARY).parts[0] != "airflow"
    ]
    assert wrong == []


def test_nothing_is_pickled() -> None:
    banned = {"pickle", "joblib", "cloudpickle", "dill", "shelve", "marshal"}
    wrong = [f"{path}:{line}" for path in MODULES for line, name in imported(path) if name.split(".")[0] in banned]
    assert wrong == []


def test_no_file_is_too_long_or_vaguely_named() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "stuff"}
    long = [str(path) for path in MODULES if len(path.read_text().splitlines()) > MAXIMUM_LINES]
    assert long == []
    assert [str(path) for path in MODULES if vague & set(path.with_suffix("").parts)] == []


def test_the_consent_words_are_in_no_call_of_the_client() -> None:
    """No path of a vendor's consent, subscription or suppression call stands anywhere in `sync`."""
    words = (
        "subscription-bulk",
        "suppression-bulk",
        "unsubscribe",
        "unsuppress",
        "profile-subscription",
        "data-privacy",
    )
    wrong = []
    for path in (LIBRARY / "sync").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("/"):
                wrong += [f"{path.name}:{node.lineno} {node.value}" for word in words if word in node.value]
    assert wrong == []
