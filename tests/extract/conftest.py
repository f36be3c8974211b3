"""A private home and input folder for each test."""

from pathlib import Path

import pytest

from extract.desk import Desk
from roomtone.settings import load_settings


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    folder = tmp_path / "input"
    folder.mkdir()
    home = tmp_path / "home"
    return Desk(load_settings({"ROOMTONE_HOME": str(home), "ROOMTONE_FILES_DIR": str(folder)}), folder)
