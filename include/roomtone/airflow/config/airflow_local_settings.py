"""Read by every Airflow process at its start, from AIRFLOW_HOME/config: loads the heavy libraries in the scheduler."""

from roomtone.airflow.preload import preload_scheduler

# Airflow takes the names listed here into its own settings; it needs none.
__all__: list[str] = []

preload_scheduler()
