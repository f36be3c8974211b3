"""What Airflow calls when a deadline is missed, and a keeper when it starts a component again:
`python -m roomtone.airflow.alerts SUBJECT`. The triggerer imports it, so it lives in the installed package.
"""

import asyncio
import logging
import sys
from datetime import UTC, datetime
from typing import Any

log = logging.getLogger(__name__)

LATE = "late"
RESTARTED = "restarted"


async def raise_late(dag_id: str, **context: Any) -> None:
    """Keep an alert that a run of `dag_id` is late, for `roomtone status` and whoever reads the log."""
    run = context.get("context", {}).get("dag_run", {})
    subject = f"{dag_id} {run.get('run_id') or run.get('dag_run_id') or datetime.now(UTC).isoformat()}"
    log.error("alert: %s is late", subject)
    await asyncio.to_thread(_keep, LATE, subject)


def _keep(kind: str, subject: str) -> None:
    from roomtone.settings import load_settings
    from roomtone.stores.heartbeats import raise_alert
    from roomtone.stores.operational import OperationalStore

    store = OperationalStore(load_settings())
    try:
        raise_alert(store, kind, subject, datetime.now(UTC))
    finally:
        store.close()


if __name__ == "__main__":
    _keep(RESTARTED, sys.argv[1])
