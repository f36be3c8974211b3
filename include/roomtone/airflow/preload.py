"""Heavy imports made once in the scheduler: tasks are forked from it and find them loaded, seconds sooner."""

import gc
import importlib
import logging
import sys
from collections.abc import Sequence

log = logging.getLogger(__name__)

MODULES = (
    "duckdb",
    "pandas",
    "pyarrow.parquet",
    "dlt",
    "lightgbm",
    "dbt.cli.main",
    "dbt.adapters.duckdb",
    "great_expectations",
    "alembic.command",
    "httpx",
    "roomtone.airflow.stages",
    "roomtone.pipeline",
    "roomtone.policies.publish",
    "roomtone.extract",
    "roomtone.stores.heartbeats",
    "roomtone.score.scoring",
    "roomtone.transform",
    "roomtone.validate",
    "roomtone.sync",
    "roomtone.sync.publish",
)


def preload_scheduler(arguments: Sequence[str] | None = None) -> int:
    """Import MODULES where `arguments` (default: the process's) start a scheduler. Returns how many were imported.

    Imports only: no connection is opened and nothing is computed before the fork. A module that cannot be imported is
    told in the log; the task that needs it then fails with the full reason, so that the scheduler itself stays up.
    """
    if "scheduler" not in (sys.argv if arguments is None else arguments):
        return 0
    # Great Expectations tells of each class it registers.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    count = 0
    for name in MODULES:
        try:
            importlib.import_module(name)
        except Exception:
            log.exception("preload: %s cannot be imported; the tasks that need it fail", name)
        else:
            count += 1
    # What was loaded lives as long as the process. Left to the collector, each task walks through all of it, most of a
    # second, and copies the pages that it shares with the scheduler.
    gc.collect()
    gc.freeze()
    return count
