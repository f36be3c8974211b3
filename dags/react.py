"""
### What it does
Makes one pass from raw records to effects: scores new messages, builds the warehouse as of one instant, validates it,
and brings each destination to the state that it should have: who is left alone, whose ticket goes first, who is owed
amends.

### Reads and writes
Reads the raw store and the operational store. Writes scores, the warehouse, validation results, sync runs, and the
destinations of `ROOMTONE_DESTINATIONS`. Tasks hand on the number of the pass. The asset `validated` wakes `publish`.

### When it fails
The next pass starts from what has landed and sends what is still owed: nothing needs repair by hand. A pass that is not
valid is not synced: destinations keep what they have, and pauses carry their own end. See docs/runbooks/react.md.
"""

from typing import Any

from airflow.sdk import dag, task

from roomtone.airflow import assets, stages
from roomtone.airflow.defaults import DAG_DEFAULTS, DESTINATIONS, WAREHOUSE_POOL

TAGS = ["path/score", "path/transform", "path/validate", "path/sync", "impact/tier-1"]


@dag(schedule=[assets.RAW], doc_md=__doc__, tags=TAGS, **DAG_DEFAULTS)
def react() -> None:
    # What a pass sends goes before its publishing, and its publishing before the next pass replaces the marts.
    hot = {"pool": WAREHOUSE_POOL, "weight_rule": "absolute"}

    @task(**hot)
    def score() -> int:
        return stages.begin_and_score()

    @task(**hot)
    def transform(pass_sequence: int) -> int:
        return stages.transform_pass(pass_sequence)

    @task(outlets=[assets.VALIDATED], **hot)
    def validate(pass_sequence: int, outlet_events: Any = None) -> int:
        stages.validate_pass(pass_sequence)
        outlet_events[assets.VALIDATED].extra = {"pass_sequence": pass_sequence}
        return pass_sequence

    @task(**hot)
    def sync(pass_sequence: int, destination: str) -> dict[str, int]:
        return stages.sync_pass(pass_sequence, destination)

    validated = validate(transform(score()))
    for rank, destination in enumerate(DESTINATIONS):
        # They take turns in the pool: the one named first goes first.
        sync.override(task_id=f"sync_{destination}", priority_weight=100 - rank)(validated, destination)


react()
