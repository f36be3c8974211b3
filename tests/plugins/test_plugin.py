"""The plugin registers what the library has, and costs Airflow's other processes nothing."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

from roomtone.settings import PROJECT_ROOT

PLUGIN = PROJECT_ROOT / "plugins" / "roomtone_plugin.py"

READ = """
import importlib.util, json, sys
import airflow.plugins_manager
before = set(sys.modules)
spec = importlib.util.spec_from_file_location("roomtone_plugin", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
plugin = module.RoomtonePlugin
loaded = {name.split(".")[0] for name in set(sys.modules) - before}
print(json.dumps({
    "name": plugin.name,
    "prefixes": [app["url_prefix"] for app in plugin.fastapi_apps],
    "views": [(view["destination"], view["href"], view["url_route"]) for view in plugin.external_views],
    "loaded": sorted(loaded),
}))
"""


def test_it_registers_the_page_and_loads_no_web_framework(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READ, PLUGIN],
        env={"AIRFLOW_HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    plugin = json.loads(done.stdout.splitlines()[-1])
    assert plugin["name"] == "roomtone"
    assert plugin["prefixes"] == ["/roomtone/webhooks", "/roomtone"]
    assert plugin["views"] == [["nav", "/roomtone/quiet", "why-quiet"]]
    assert not {"fastapi", "starlette", "duckdb", "jinja2", "pyarrow", "httpx"} & set(plugin["loaded"])


def test_it_is_registration_only() -> None:
    assert importlib.util.spec_from_file_location("roomtone_plugin", PLUGIN) is not None
    assert len(PLUGIN.read_text().splitlines()) <= 40
    assert "def " not in PLUGIN.read_text()
