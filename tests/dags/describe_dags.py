"""Prints, as one line of JSON, what Airflow makes of a folder of DAG files."""

import json
import sys
import time
from typing import Any

from airflow.dag_processing.dagbag import DagBag

HEAVY = ("dbt", "dlt", "duckdb", "great_expectations", "lightgbm", "pandas", "pyarrow", "sklearn", "fastapi")


def woken_by(condition: Any) -> list[str]:
    return sorted(asset.name for asset in condition.objects) if condition else []


already = set(sys.modules)
started = time.perf_counter()
bag = DagBag(sys.argv[1])
seconds = time.perf_counter() - started

dags = {
    dag.dag_id: {
        "doc_md": dag.doc_md,
        "tags": sorted(dag.tags),
        "max_active_runs": dag.max_active_runs,
        "catchup": dag.catchup,
        "schedule": dag.schedule if isinstance(dag.schedule, str) else None,
        "late_after": dag.deadline[0].interval.total_seconds() if dag.deadline else None,
        "woken_by": woken_by(dag.timetable.asset_condition),
        "tasks": {
            task.task_id: {
                "retries": task.retries,
                "pool": task.pool,
                "priority_weight": task.priority_weight,
                "is_teardown": task.is_teardown,
                "downstream": sorted(task.downstream_task_ids),
                "outlets": sorted(asset.name for asset in task.outlets),
                "is_told_in_pieces": getattr(task, "multiple_outputs", False),
                "has_timeout": task.execution_timeout is not None,
            }
            for task in dag.tasks
        },
    }
    for dag in bag.dags.values()
}
loaded = sorted({name.split(".")[0] for name in set(sys.modules) - already} & set(HEAVY))
print(json.dumps({"dags": dags, "errors": bag.import_errors, "seconds": seconds, "heavy": loaded}))
