"""The surroundings in which dlt runs: the settings here, and nothing from the environment, `.dlt` folders or Airflow.

Left to itself dlt reports its use over the network, reads `DESTINATION__…` variables and `.dlt/config.toml`, and, where
Airflow can be imported, starts it and asks its metadata database for each of several hundred possible settings.
"""

from pathlib import Path
from typing import Any

from dlt.common.configuration.container import Container
from dlt.common.configuration.providers import ConfigProvider, CustomLoaderDocProvider
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.runtime.run_context import RunContext

_SETTINGS: dict[str, Any] = {
    "providers": {"enable_airflow_secrets": False},
    # A killed or interrupted load is continued by the next run, so nothing need be drained.
    "runtime": {"dlthub_telemetry": False, "intercept_signals": False, "log_level": "CRITICAL"},
    # Traces are pickles.
    "enable_runtime_trace": False,
}


class _Confined(RunContext):
    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self._global_dir = str(folder)

    @property
    def run_dir(self) -> str:
        return str(self._init_run_dir)

    @property
    def local_dir(self) -> str:
        return str(self._init_run_dir)

    @property
    def data_dir(self) -> str:
        return str(self._init_run_dir)

    def initial_providers(self) -> list[ConfigProvider]:
        return [CustomLoaderDocProvider("roomtone", lambda: _SETTINGS)]


def confine(folder: Path) -> None:
    """Let dlt, in this process, know only `folder` and the settings of this module."""
    container = Container()
    if PluggableRunContext in container:
        current = container[PluggableRunContext].context
        if isinstance(current, _Confined) and current.run_dir == str(folder):
            return
    container[PluggableRunContext] = PluggableRunContext(_Confined(folder))
