"""A missed deadline is kept, once, for whoever asks for the status."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.sdk.definitions.deadline import DeadlineAlert

from roomtone.airflow import alerts
from roomtone.airflow.defaults import late_alert
from roomtone.settings import load_settings
from roomtone.stores.heartbeats import alerts_since
from roomtone.stores.operational import OperationalStore


def test_a_late_run_is_kept_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOMTONE_HOME", str(tmp_path))
    context = {"dag_run": {"dag_id": "react", "dag_run_id": "run-1"}}
    for _ in range(2):
        asyncio.run(alerts.raise_late("react", context=context))
    asyncio.run(alerts.raise_late("extract"))
    store = OperationalStore(load_settings())
    kept = alerts_since(store, datetime.now(UTC) - timedelta(minutes=1))
    assert sorted(alert.subject.split(" ")[0] for alert in kept) == ["extract", "react"]
    assert "react run-1" in {alert.subject for alert in kept}


def test_the_alert_names_what_the_triggerer_can_import() -> None:
    alert = late_alert("react")
    assert isinstance(alert, DeadlineAlert)
    assert alert.callback.path == f"{alerts.raise_late.__module__}.{alerts.raise_late.__name__}"
    assert alert.interval == timedelta(seconds=60)
