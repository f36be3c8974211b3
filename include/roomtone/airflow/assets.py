"""The assets that wake one DAG after another: extract updates RAW, react updates VALIDATED."""

from airflow.sdk import Asset

RAW = Asset("raw", uri="roomtone://raw")
VALIDATED = Asset("validated", uri="roomtone://validated")
