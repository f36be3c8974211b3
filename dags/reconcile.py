"""
### What it does
Reads each destination back once an hour and compares it with what it acknowledged: drift is repaired, what somebody
changed by hand is reported and left, and live campaigns and flows that leave no paused customer out are listed.

### Reads and writes
Reads the destinations of `ROOMTONE_DESTINATIONS` at their own pace, and the operational store. Writes repairs as
intents like any other, drift, and the list of sends. The warehouse is not touched.

### When it fails
Pauses and offers do not depend on it. A destination that is down is read an hour later. See docs/runbooks/reconcile.md.
"""

from airflow.sdk import dag, task

from roomtone.airflow import stages
from roomtone.airflow.defaults import DAG_DEFAULTS, DESTINATIONS


@dag(schedule="41 * * * *", doc_md=__doc__, tags=["path/sync", "impact/tier-2"], **DAG_DEFAULTS)
def reconcile() -> None:
    @task(multiple_outputs=False)
    def reconcile_destination(destination: str) -> dict[str, int]:
        return stages.reconcile_destination(destination)

    for destination in DESTINATIONS:
        reconcile_destination.override(task_id=f"reconcile_{destination}")(destination)


reconcile()
