"""What Airflow calls when a deadline is missed. The triggerer imports it, so it lives in the installed package."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

log = logging.getLogger(__name__)

LATE = "late"


async def raise_late(dag_id: str, **context: Any) -> None:
    """Keep an alert that a run of `dag_id` is late, for `roomtone status` and whoever reads the log."""
    run = context.get("context", {}).get("dag_run", {})
    subject = f"{dag_id} {run.get('run_id') or run.get('dag_run_id') or datetime.now(UTC).isoformat()}"
    log.error("alert: %s is late", subject)
    await asyncio.to_thread(_keep, subject)


def _keep(subject: str) -> None:
    from roomtone.settings import load_settings
    from roomtone.stores.heartbeats import raise_alert
    from roomtone.stores.operational import OperationalStore

    store = OperationalStore(load_settings())
    try:
        raise_alert(store, LATE, subject, datetime.now(UTC))
    finally:
        store.close()
