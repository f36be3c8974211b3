"""
### What it does
Asks every configured source for what is new, each minute, and lands it as immutable raw records. One task a source;
when all have answered or given up, the asset `raw` wakes `react`: a source that is down never holds up the rest.

### Reads and writes
Reads the sources of `ROOMTONE_SOURCES` from their cursors on.
Writes the raw store, the quarantine, and counts in the operational store.

### When it fails
Nothing is lost: cursors move with the data, and the next run asks again from the same place. A run is red when a source
failed; `react` still works on what the others landed. See docs/runbooks/extract.md.
"""

from airflow.sdk import dag, task

from roomtone.airflow import assets, stages
from roomtone.airflow.defaults import DAG_DEFAULTS, EXTRACT_SCHEDULE, SOURCES, late_alert

TAGS = ["path/extract", "impact/tier-1"]


@dag(schedule=EXTRACT_SCHEDULE, doc_md=__doc__, tags=TAGS, deadline=late_alert("extract"), **DAG_DEFAULTS)
def extract() -> None:
    @task(multiple_outputs=False)
    def extract_source(source: str) -> dict[str, int]:
        stages.step_back()
        return stages.extract_source(source)

    @task(outlets=[assets.RAW])
    def landed() -> None:
        """Tells `react` once for all sources: a pass over a part of them would decide on half the facts."""

    # As a teardown it runs after failures too, and leaves it to the sources whether the run was a success.
    end = landed().as_teardown()
    for source in SOURCES:
        extract_source.override(task_id=f"extract_{source}")(source) >> end


extract()
