"""The ways out of the product over a network: a new one is noticed here and has to be named."""

import ast
from pathlib import Path

from roomtone.settings import PROJECT_ROOT

LIBRARY = PROJECT_ROOT / "include" / "roomtone"

# Every module of the product that can reach another machine, and what it does there.
WAYS_OUT = {
    "clock.py": "asks the run's clock",
    "doctor.py": "asks every connection whether it answers",
    "extract/http.py": "reads vendors",
    "sync/transport.py": "writes to vendors",
    "sync/destinations/sftp.py": "puts files on another machine",
}
NETWORK = frozenset({"httpx", "requests", "urllib3", "urllib.request", "http.client", "aiohttp", "paramiko", "socket"})
# These listen, look at what runs on this machine, or are no part of the product.
LISTENING = ("sandbox/", "airflow/")


def _reaches_out(path: Path) -> bool:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        if any(name in NETWORK or name.split(".")[0] in NETWORK for name in names):
            return True
    return False


def test_the_ways_out_are_known() -> None:
    found = {path.relative_to(LIBRARY).as_posix() for path in LIBRARY.rglob("*.py") if _reaches_out(path)}
    assert {name for name in found if not name.startswith(LISTENING)} == set(WAYS_OUT)
