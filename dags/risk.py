"""
### What it does
Weighs each customer's churn risk anew once an hour: the chance that a promotion sent now ends in an unsubscribe or a
spam complaint. Once a day it learns from what became of the brand's own sends; until they teach more the declared rule
answers.

### Reads and writes
Reads the warehouse, for the moment that copying the facts takes, and weighs them outside it. Writes the chances that
changed to the raw store, from where the next pass takes them, and the learned head to `ROOMTONE_HOME/models/risk`.

### When it fails
Pauses and offers do not depend on it: customers keep the chance that they had, and it is weighed an hour later. See
docs/runbooks/risk.md.
"""

from airflow.sdk import dag, task

from roomtone.airflow import stages
from roomtone.airflow.defaults import DAG_DEFAULTS


@dag(schedule="11 * * * *", doc_md=__doc__, tags=["path/score", "impact/tier-3"], **DAG_DEFAULTS)
def risk() -> None:
    # Outside the warehouse's pool: learning takes minutes, and the file's own lock is held for a moment of it.
    @task(multiple_outputs=False)
    def weigh_risks() -> dict[str, int]:
        return stages.weigh_risks()

    weigh_risks()


risk()
