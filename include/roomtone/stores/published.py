"""Reads the published marts: a finished file that no pass writes to, safe to open from anywhere."""

from collections.abc import Sequence
from typing import Any

import duckdb

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings


def query(settings: Settings, sql: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
    """Rows of one query over `published/marts.duckdb` as dictionaries. Timestamps are naive UTC."""
    path = settings.published_dir / "marts.duckdb"
    if not path.is_file():
        raise RoomtoneError("published marts", f"{path} does not exist", "run `roomtone run` or `make up` first")
    with duckdb.connect(str(path), read_only=True) as connection:
        result = connection.execute(sql, list(parameters))
        names = [column[0] for column in result.description or []]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
