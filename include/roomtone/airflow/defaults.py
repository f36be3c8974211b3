"""What every DAG of roomtone has in common."""

from datetime import timedelta
from typing import Any

from roomtone.settings import load_settings

# One slot: DuckDB lets one process in at a time, so tasks that touch the warehouse take turns here, not at its lock.
WAREHOUSE_POOL = "warehouse"

DAG_DEFAULTS: dict[str, Any] = {
    "catchup": False,
    "max_active_runs": 1,
    "default_args": {
        "owner": "roomtone",
        # The first tasks after a cold start can meet an API server that does not answer yet.
        "retries": 2,
        "retry_delay": timedelta(seconds=2),
        # A pass takes seconds, the one that drains a large backlog minutes; what takes longer hangs.
        "execution_timeout": timedelta(minutes=30),
    },
}

_settings = load_settings()

SOURCES = _settings.sources
DESTINATIONS = _settings.destinations
# None: the DAG runs only when it is triggered by hand.
EXTRACT_SCHEDULE = _settings.extract_schedule or None
