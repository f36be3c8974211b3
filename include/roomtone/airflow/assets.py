"""The assets that wake DAGs: webhooks update INBOX, extract updates RAW, react updates VALIDATED."""

from airflow.sdk import Asset

INBOX = Asset("inbox", uri="roomtone://inbox")
RAW = Asset("raw", uri="roomtone://raw")
VALIDATED = Asset("validated", uri="roomtone://validated")
