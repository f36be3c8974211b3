"""Registers roomtone's pages with Airflow; what they do is in `roomtone.airflow.pages`."""

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from roomtone.airflow import pages


class RoomtonePlugin(AirflowPlugin):
    """Mounts the pages and puts the first of them into the navigation."""

    name = "roomtone"
    fastapi_apps: ClassVar[list[dict[str, Any]]] = [
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
