"""The containers: the same environment as the launcher's, pinned images, and a build that finds every file it names."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from roomtone.airflow.defaults import WAREHOUSE_POOL
from roomtone.airflow.environment import FIXED, OF_AN_INSTANCE, settings_environment
from roomtone.airflow.instance import COMPONENTS
from roomtone.settings import PROJECT_ROOT, load_settings

COMPOSE = PROJECT_ROOT / "docker-compose.yml"
VENDOR_NAME = re.compile(r"ROOMTONE_(ZENDESK|KLAVIYO|SHOP|INTERCOM|GENERIC)_[A-Z_]+")
# Interpolation of compose: ${NAME}, ${NAME:-default}, ${NAME-default}, ${NAME:?message}.
VARIABLE = re.compile(r"\$\{([A-Z_0-9]+)(?::?[-?][^}]*)?\}")
PINNED = re.compile(r"[a-z0-9./-]+:\d+\.\d+(\.\d+)?(-[a-z0-9.]+)*")
DESTINATION_NAME = re.compile(r"ROOMTONE_(BRAZE|CUSTOMERIO|REQUEST_TRACKER|SFTP|WEBHOOK)_[A-Z_]+")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text())


@pytest.fixture(scope="module")
def environment(compose: dict[str, Any]) -> dict[str, str]:
    return compose["x-roomtone"]["environment"]


def example() -> dict[str, str]:
    lines = (PROJECT_ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_every_part_of_the_launcher_has_a_service(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {*COMPONENTS, "postgres", "init", "sandbox"}
    for name in COMPONENTS:
        keeper = ["python", "-m", "roomtone.airflow.keeper", "http://api-server:8080"]
        assert services[name]["command"][:5] == [*keeper, name]
        assert services[name]["environment"] == compose["x-roomtone"]["environment"]
    assert services["scheduler"]["depends_on"]["api-server"] == {"condition": "service_healthy"}
    assert f"airflow pools set {WAREHOUSE_POOL} 1 " in services["init"]["command"][-1]
    assert services["sandbox"]["profiles"] == ["sandbox"]


def test_the_environment_names_are_the_launcher_s(environment: dict[str, str]) -> None:
    ours = {name for name in environment if not name.startswith("ROOMTONE_")}
    assert ours == {*FIXED, *OF_AN_INSTANCE}
    known = set(settings_environment(load_settings({})))
    asked = {name for name in environment if name.startswith("ROOMTONE_") and not DESTINATION_NAME.fullmatch(name)}
    assert {name for name in asked if not VENDOR_NAME.fullmatch(name)} <= known


def test_the_measured_settings_are_the_launcher_s(environment: dict[str, str]) -> None:
    # Containers start after the API server is healthy, on a database that bears more workers.
    other = {"AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION", "AIRFLOW__CORE__PARALLELISM"}
    assert {name: environment[name] for name in FIXED if name not in other} == {
        name: value for name, value in FIXED.items() if name not in other
    }


def test_both_stores_are_on_postgresql(environment: dict[str, str]) -> None:
    assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].startswith("postgresql+psycopg2://")
    assert environment["ROOMTONE_OPERATIONAL_URL"].startswith("postgresql+psycopg://")


def test_what_compose_asks_for_is_in_the_example(compose: dict[str, Any]) -> None:
    asked = set(VARIABLE.findall(COMPOSE.read_text()))
    assert asked == set(example())
    # A secret has no default: an empty one is refused at the start, not discovered later.
    secrets = {name for name in asked if not name.startswith("ROOMTONE_")}
    assert all(f"${{{name}:?" in COMPOSE.read_text() for name in secrets)
    assert all(example()[name] == "" for name in secrets)


def test_images_are_pinned(compose: dict[str, Any]) -> None:
    images = {service["image"] for service in compose["services"].values()}
    dockerfile = (PROJECT_ROOT / "Dockerfile").read_text()
    images |= set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE))
    assert len(images) == 3
    assert [image for image in images if not PINNED.fullmatch(image)] == []
    assert re.search(r"pip install .*uv==\d+\.\d+\.\d+", dockerfile)
    assert "uv sync --frozen" in dockerfile


def test_only_loopback_is_published(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert ports == ["127.0.0.1:8080:8080"]


def test_names_within_the_file_resolve(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert set(service.get("depends_on", ())) <= set(compose["services"]), name
        for volume in service.get("volumes", ()):
            if isinstance(volume, str):
                assert volume.split(":")[0] in compose["volumes"], name
        for config in service.get("configs", ()):
            assert config["source"] in compose["configs"], name


def test_the_build_finds_what_it_copies() -> None:
    dockerfile = (PROJECT_ROOT / "Dockerfile").read_text()
    copied = {name for line in re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE) for name in line.split()}
    assert copied
    ignored = (PROJECT_ROOT / ".dockerignore").read_text().splitlines()
    for name in copied:
        assert (PROJECT_ROOT / name).exists(), name
        assert f"!{name}" in ignored, f".dockerignore keeps {name} out of the build"
    path = re.search(r"PYTHONPATH=/opt/roomtone/(\S+)", dockerfile)
    assert path is not None
    assert (PROJECT_ROOT / path[1] / "airflow_local_settings.py").is_file()


def test_the_schema_of_compose_accepts_it() -> None:
    if importlib.util.find_spec("check_jsonschema") is None:
        pytest.skip("SKIPPED: check-jsonschema is absent, so docker-compose.yml was not held against compose's schema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_docker_compose_accepts_it(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("SKIPPED: docker compose is absent, so it was not asked about docker-compose.yml")
    filled = [f"{name}={value or 'x'}" for name, value in example().items()]
    (tmp_path / ".env").write_text("\n".join(filled))
    command = [docker, "compose", "--file", COMPOSE, "--env-file", tmp_path / ".env", "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
