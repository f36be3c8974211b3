"""`make docs-dbt`: dbt's own pages of the models, their columns and their lineage, as one file that opens offline."""

import sys
from pathlib import Path

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings, load_settings
from roomtone.stores import warehouse
from roomtone.transform.build import run_dbt


def write_docs(settings: Settings) -> Path:
    """Write the pages and return where they are; the warehouse has to have been built."""
    if not settings.warehouse_path.is_file():
        raise RoomtoneError("warehouse", f"{settings.warehouse_path} does not exist", "run `roomtone run` first")
    with warehouse.held(settings) as path:
        run_dbt(settings, path, ["docs", "generate", "--static"])
    return settings.home / "dbt" / "target" / "static_index.html"


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{write_docs(load_settings())}\n")
    except RoomtoneError as error:
        sys.stderr.write(f"roomtone: {error}\n")
        sys.exit(1)
