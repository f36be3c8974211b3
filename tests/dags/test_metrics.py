"""Metrics by Airflow's own means: what a StatsD server on loopback hears of a pass."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from roomtone.airflow.environment import Secrets, airflow_environment
from roomtone.settings import load_settings

# As Airflow's task runner does before it runs a task.
TOLD = """
from airflow.sdk.configuration import conf
from airflow.sdk.observability.metrics import stats_utils
from airflow.sdk.observability.stats import initialize
initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=False)
from roomtone.airflow import metrics
from roomtone.settings import load_settings
settings = load_settings()
with metrics.stage(settings, "extract", "zendesk"):
    pass
metrics.tell(settings)
"""


def _heard(tmp_path: Path, **switches: str) -> dict[str, str]:
    """Name -> value|kind of each metric that one pass sends."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(2.0)
        environ = {
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(listener.getsockname()[1]),
            "AIRFLOW__METRICS__STATSD_PREFIX": "brand",
            "ROOMTONE_HOME": str(tmp_path / "home"),
        }
        command = [sys.executable, "-c", TOLD]
        subprocess.run(command, env={**os.environ, **environ, **switches}, check=True, capture_output=True)
        heard: dict[str, str] = {}
        listener.settimeout(0.2)
        while True:
            try:
                packet = listener.recv(4096).decode()
            except TimeoutError:
                return heard
            heard |= dict(line.split(":", 1) for line in packet.splitlines())


def test_a_statsd_server_hears_of_stages_and_of_freshness(tmp_path: Path) -> None:
    heard = _heard(tmp_path, AIRFLOW__METRICS__STATSD_ON="True")
    assert heard["brand.roomtone.fresh"] == "0|g"
    assert heard["brand.roomtone.degraded"] == "1|g", "no pass has been synced"
    assert heard["brand.roomtone.inbox.waiting"] == "0|g"
    assert re.fullmatch(r"\d+\.\d+\|ms", heard["brand.roomtone.stage.extract.zendesk"])


def test_nothing_is_sent_where_nobody_listens(tmp_path: Path) -> None:
    assert _heard(tmp_path, AIRFLOW__METRICS__STATSD_ON="False") == {}


def test_airflow_s_own_settings_for_metrics_are_kept(tmp_path: Path) -> None:
    settings = load_settings({"ROOMTONE_HOME": str(tmp_path)})
    inherited = {"AIRFLOW__METRICS__STATSD_ON": "True", "AIRFLOW__CORE__PARALLELISM": "99"}
    environ = airflow_environment(settings, 1, Secrets("a", "b", "c", "d"), inherited, {})
    assert environ["AIRFLOW__METRICS__STATSD_ON"] == "True"
    assert environ["AIRFLOW__CORE__PARALLELISM"] == "4"
