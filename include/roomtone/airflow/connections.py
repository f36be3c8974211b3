"""Settings inside a task: the environment's, completed by the Airflow connections `roomtone_<name>`."""

from dataclasses import replace
from typing import Any

from airflow.sdk import Connection as AirflowConnection
from airflow.sdk.exceptions import AirflowNotFoundException

from roomtone.settings import Connection, Settings, load_settings

# Those that read and write a folder, or are written to themselves, and so need no address.
_WITHOUT_ADDRESS = frozenset({"files", "webhook"})
_WEBHOOK = "webhook"


def settings_from_airflow() -> Settings:
    """The effective settings of a task. A connection that the environment names wins over Airflow's."""
    settings = load_settings()
    found = dict(settings.connections)
    for name in sorted({*settings.sources, *settings.destinations} - _WITHOUT_ADDRESS - found.keys()):
        try:
            stored = AirflowConnection.get(f"roomtone_{name}")
        except AirflowNotFoundException:
            # `Settings.connection` says what is missing to whoever asks for it; the other names still work.
            continue
        found[name] = as_connection(name, stored)
    return replace(settings, connections=found)


def webhook_secrets(sender: str) -> tuple[str, ...]:
    """The secrets in force for a sender's webhooks, none when they are not read here. For the API server's process.

    Those of the environment win over the option `webhook_secret` of the Airflow connection `roomtone_<sender>`.
    """
    from airflow.exceptions import AirflowNotFoundException as NotFoundError
    from airflow.models.connection import Connection as StoredConnection

    settings = load_settings()
    if _WEBHOOK not in settings.sources:
        return ()
    if found := settings.webhook_secrets.get(sender):
        return found
    try:
        stored = StoredConnection.get_connection_from_secrets(f"roomtone_{sender}")
    except NotFoundError:
        return ()
    return tuple(str(stored.extra_dejson.get("webhook_secret", "")).replace(",", " ").split())


def as_connection(name: str, stored: Any) -> Connection:
    """An Airflow connection as one of roomtone's: password is the token, extra holds the options.

    `host` may carry the scheme (`https://brand.zendesk.com`), else it is https; `schema` is the path below the host.
    """
    host = stored.host or ""
    address = host if "://" in host else f"https://{host}"
    if stored.port:
        address = f"{address}:{stored.port}"
    path = (stored.schema or "").strip("/")
    url = f"{address.rstrip('/')}/{path}" if path else address.rstrip("/")
    options = {str(key).lower(): str(value) for key, value in stored.extra_dejson.items()}
    return Connection(name, url, stored.password or "", options)
