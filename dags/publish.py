"""
### What it does
Publishes the marts of the newest validated pass for BI: a DuckDB file and Parquet, each swapped in whole. The warehouse
is held for as long as copying its file takes; the next pass goes on while the rest is built from the copy.

### Reads and writes
Reads the warehouse. Writes `ROOMTONE_HOME/published/`; readers of the file that was there keep what they have open.

### When it fails
BI keeps the marts of the pass before, complete and consistent; pauses and offers do not depend on it. The next
validated pass publishes again. A skipped run is none: the marts were too young for what they cost to publish. See
docs/runbooks/publish.md.
"""

from typing import Any

from airflow.sdk import dag, task

from roomtone.airflow import assets, stages
from roomtone.airflow.defaults import DAG_DEFAULTS, WAREHOUSE_POOL


@dag(schedule=[assets.VALIDATED], doc_md=__doc__, tags=["path/sync", "impact/tier-2"], **DAG_DEFAULTS)
def publish() -> None:
    @task(pool=WAREHOUSE_POOL, weight_rule="absolute", priority_weight=50, inlets=[assets.VALIDATED])
    def copy(inlet_events: Any = None) -> int:
        newest_first = inlet_events[assets.VALIDATED].ascending(False).limit(1)
        return stages.copy_pass(stages.latest_sequence(newest_first))

    @task(task_id="publish")
    def publish_marts(pass_sequence: int) -> int:
        stages.step_back()
        return stages.publish_pass(pass_sequence)

    publish_marts(copy())


publish()
