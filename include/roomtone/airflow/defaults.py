"""What every DAG of roomtone has in common."""

from datetime import timedelta
from typing import Any

from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from roomtone.settings import load_settings

# One slot: DuckDB lets one process in at a time, so tasks that write or copy the warehouse take turns here. A sync
# reads its plan from it in a moment and waits for that at the file's own lock.
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

# A pass takes seconds, and a poll up to a minute of a vendor's patience. A run that takes longer than this may have a
# good reason, a backlog, and somebody should know of it all the same.
_LATE_AFTER = {"react": timedelta(seconds=60), "extract": timedelta(seconds=120)}


def late_alert(dag_id: str) -> DeadlineAlert:
    """The alert that a run of this DAG did not end in time after it was queued."""
    callback = AsyncCallback("roomtone.airflow.alerts.raise_late", kwargs={"dag_id": dag_id})
    return DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, _LATE_AFTER[dag_id], callback)


_settings = load_settings()

# Webhooks come by themselves; `react` takes them.
SOURCES = tuple(name for name in _settings.sources if name != "webhook")
DESTINATIONS = _settings.destinations
# None: the DAG runs only when it is triggered by hand.
EXTRACT_SCHEDULE = _settings.extract_schedule or None
