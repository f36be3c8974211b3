"""The assets that wake DAGs: webhooks update INBOX, extract updates RAW, react updates VALIDATED."""

from airflow.sdk import Asset, AssetAlias

INBOX = Asset("inbox", uri="roomtone://inbox")
RAW = Asset("raw", uri="roomtone://raw")
VALIDATED = Asset("validated", uri="roomtone://validated")
# How react updates VALIDATED: an outlet would do so after every pass, an alias does where the marts are due.
MARTS_DUE = AssetAlias("marts_due")
