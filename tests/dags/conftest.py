"""Airflow's facts about the DAG files, read in a process of its own: Airflow keeps state in its home and process."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from roomtone.settings import PROJECT_ROOT

# Airflow writes its configuration into its home on import: never into the home of whoever runs the tests.
_AIRFLOW_HOME = tempfile.TemporaryDirectory(prefix="roomtone-airflow-")
os.environ.setdefault("AIRFLOW_HOME", _AIRFLOW_HOME.name)


def _describe(folder: Path, **environ: str) -> dict[str, Any]:
    """What `describe_dags.py` prints under the given settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "ROOMTONE_"))}
    variables = {"AIRFLOW_HOME": str(folder), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "ROOMTONE_HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("describe_dags.py"), PROJECT_ROOT / "dags"],
        env=kept | variables | environ,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def describe(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Reads the DAG files under settings of the test's own."""
    return partial(_describe, tmp_path)


@pytest.fixture(scope="session")
def bag(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The DAGs of a brand with three sources and two destinations."""
    folder = tmp_path_factory.mktemp("airflow")
    return _describe(folder, ROOMTONE_SOURCES="zendesk,klaviyo,shop", ROOMTONE_DESTINATIONS="klaviyo,zendesk")
