"""Registers roomtone's pages and webhooks with Airflow; what they do is in `roomtone.airflow`."""

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from roomtone.airflow import pages, webhooks


class RoomtonePlugin(AirflowPlugin):
    """Mounts the webhooks and the pages, and puts the first page into the navigation."""

    name = "roomtone"
    fastapi_apps: ClassVar[list[dict[str, Any]]] = [
        # Before the pages, whose prefix is the beginning of this one.
        {"name": "roomtone webhooks", "app": webhooks.app, "url_prefix": webhooks.PREFIX},
        {"name": "roomtone pages", "app": pages.app, "url_prefix": pages.PREFIX},
    ]
    external_views: ClassVar[list[dict[str, Any]]] = [
        {
            "name": "Why is this customer quiet?",
            "href": pages.PAGE,
            "destination": "nav",
            "category": "browse",
            "url_route": "why-quiet",
        },
    ]
