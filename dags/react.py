"""
### What it does
Makes one pass from raw records to effects: takes what webhooks brought, scores new messages, builds the warehouse as of
one instant, validates it, and brings each destination to the state that it should have: who is left alone, whose ticket
goes first, who is owed amends. A webhook wakes it at once, the poll each minute.

### Reads and writes
Reads the inbox, the raw store and the operational store. Writes raw records, scores, the warehouse, validation results,
sync runs, and the destinations of `ROOMTONE_DESTINATIONS`. Tasks hand on the number of the pass. The asset `validated`
wakes `publish`, after each pass but at most once a minute while people wait.

### When it fails
The next pass starts from what has landed and sends what is still owed: nothing needs repair by hand. A pass that is not
valid is not synced: destinations keep what they have, and pauses carry their own end. See docs/runbooks/react.md.
"""

from typing import Any

from airflow.sdk import dag, task

from roomtone.airflow import assets, stages
from roomtone.airflow.defaults import DAG_DEFAULTS, DESTINATIONS, WAREHOUSE_POOL, late_alert

TAGS = ["path/extract", "path/score", "path/transform", "path/validate", "path/sync", "impact/tier-1"]


@dag(schedule=assets.RAW | assets.INBOX, doc_md=__doc__, tags=TAGS, deadline=late_alert("react"), **DAG_DEFAULTS)
def react() -> None:
    @task(outlets=[assets.MARTS_DUE, assets.BACKLOG_LEFT], pool=WAREHOUSE_POOL, weight_rule="absolute")
    def decide(triggering_asset_events: Any = None, outlet_events: Any = None) -> int:
        """One process for four stages: a task each would add a second for a person to wait (docs/decisions.md)."""
        stages.extract_webhooks(stages.is_called_by_webhooks_alone(triggering_asset_events))
        with stages.one_warehouse():
            pass_sequence = stages.begin_and_score()
            stages.transform_pass(pass_sequence)
            stages.validate_pass(pass_sequence)
        if not stages.marts_may_wait():
            outlet_events[assets.MARTS_DUE].add(assets.VALIDATED, extra={"pass_sequence": pass_sequence})
        if stages.is_backlog_left():
            outlet_events[assets.BACKLOG_LEFT].add(assets.INBOX)
        return pass_sequence

    # All at once and outside the pool: each needs the warehouse for the moment of its plan and takes the file's own
    # lock for it, and the next pass waits for this run to end. The one named first is the first to be started. What one
    # has counted goes in one piece: each count by itself is a call of Airflow's API, a quarter of a second in all.
    @task(weight_rule="absolute", multiple_outputs=False)
    def sync(pass_sequence: int, destination: str) -> dict[str, int]:
        return stages.sync_pass(pass_sequence, destination)

    decided = decide()
    for rank, destination in enumerate(DESTINATIONS):
        sync.override(task_id=f"sync_{destination}", priority_weight=100 - rank)(decided, destination)


react()
