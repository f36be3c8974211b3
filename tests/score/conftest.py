import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from roomtone.score.model import Model
from roomtone.settings import PROJECT_ROOT

SHIPPED = PROJECT_ROOT / "include" / "models" / "mood"


@pytest.fixture(scope="session")
def shipped() -> Path:
    return SHIPPED


@pytest.fixture(scope="session")
def model() -> Model:
    return Model.load(SHIPPED)


@pytest.fixture
def scored(model: Model) -> Callable[..., list[dict[str, Any]]]:
    """Answers of the shipped model to some texts."""

    def score(*texts: str) -> list[dict[str, Any]]:
        table = pa.table({"id": [str(row) for row in range(len(texts))], "text": list(texts)})
        rows: list[dict[str, Any]] = model.score(table).to_pylist()
        return rows

    return score


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the shipped model that a test may damage."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "mood"))
