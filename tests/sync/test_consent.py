"""No call of any client can touch consent, a suppression or a list, or bring a profile into being."""

import ast
import re
from pathlib import Path

import pytest

from roomtone.settings import PROJECT_ROOT
from roomtone.sync.destinations import NAMES, destination_class

SYNC = PROJECT_ROOT / "include" / "roomtone" / "sync"
FORBIDDEN = re.compile(
    r"subscri|suppress|consent|unsub|opt[_-]?(in|out)|data-privacy|/lists|profile-import\b|profile-merge|"
    r"event-bulk|/forget|/users/delete|/users/merge|/users/external_ids|/customers/\{\}/(un)?suppress",
    re.IGNORECASE,
)
PATH = re.compile(r"^/[\w{}.-]+(/[\w{}.-]*)*$")


def called_paths(file: Path) -> set[str]:
    """Every literal in a module, also in its f-strings, that looks like a path of an API."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and PATH.match(node.value):
            found.add(node.value)
        if isinstance(node, ast.JoinedStr):
            text = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
            if PATH.match(text):
                found.add(text)
    return found


@pytest.mark.parametrize("file", sorted(SYNC.rglob("*.py")), ids=lambda file: file.stem)
def test_no_module_of_the_sync_names_such_a_call(file: Path) -> None:
    assert {path for path in called_paths(file) if FORBIDDEN.search(path)} == set()


def test_the_search_finds_such_calls(tmp_path: Path) -> None:
    module = tmp_path / "client.py"
    module.write_text('A = "/api/profile-subscription-bulk-create-jobs"\nB = f"/api/v1/customers/{x}/suppress"\n')
    found = {path for path in called_paths(module) if FORBIDDEN.search(path)}
    assert {"/api/profile-subscription-bulk-create-jobs", "/api/v1/customers/{}/suppress"} <= found


@pytest.mark.parametrize("name", NAMES)
def test_no_destination_allows_such_a_call_or_creates_profiles(name: str) -> None:
    declared = destination_class(name)
    assert declared.can_create_profiles is False
    assert [e.path for e in declared.rate_limits if e.method != "GET" and FORBIDDEN.search(e.path)] == []


def test_the_clients_together_have_the_calls_that_are_looked_through() -> None:
    """An empty search would find nothing too."""
    paths = {path for file in SYNC.rglob("*.py") for path in called_paths(file)}
    assert {"/api/profiles/{}", "/api/events", "/api/v2/tickets/{}"} <= paths
