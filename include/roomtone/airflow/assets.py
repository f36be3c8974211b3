"""The assets that wake DAGs: webhooks update INBOX, extract updates RAW, react updates VALIDATED."""

from airflow.sdk import Asset, AssetAlias

INBOX = Asset("inbox", uri="roomtone://inbox")
RAW = Asset("raw", uri="roomtone://raw")
VALIDATED = Asset("validated", uri="roomtone://validated")
# How react updates VALIDATED: an outlet would do so after every pass, an alias does where the marts are due.
MARTS_DUE = AssetAlias("marts_due")
# How react updates INBOX where a pass has taken a part of a backlog: so the next one follows at once.
BACKLOG_LEFT = AssetAlias("backlog_left")
