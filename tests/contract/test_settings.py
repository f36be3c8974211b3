"""Settings: defaults, names, connections, and that no credential is ever shown."""

from pathlib import Path

import pytest

from roomtone.errors import RoomtoneError
from roomtone.settings import load_settings


def test_the_defaults_are_the_contract_s() -> None:
    settings = load_settings({})
    assert settings.home == Path(".roomtone").absolute()
    assert settings.sources == settings.destinations == ("files",)
    assert settings.files_dir is None
    assert settings.policies_dir.name == "policies"
    assert settings.warehouse_path == settings.home / "warehouse.duckdb"
    assert settings.operational_url == f"sqlite:///{settings.home / 'operational.db'}"


def test_names_and_connections_are_read() -> None:
    settings = load_settings(
        {
            "ROOMTONE_SOURCES": "Zendesk, files",
            "ROOMTONE_ZENDESK_URL": "http://127.0.0.1:1/",
            "ROOMTONE_ZENDESK_TOKEN": "secret",
            "ROOMTONE_ZENDESK_ORDER_FIELD_ID": "9001",
            "ROOMTONE_WAREHOUSE_URL": "postgresql://me:secret@db/roomtone",
        }
    )
    connection = settings.connection("zendesk")
    assert settings.sources == ("zendesk", "files")
    assert (connection.url, connection.token) == ("http://127.0.0.1:1", "secret")
    assert connection.options == {"order_field_id": "9001"}
    assert list(settings.connections) == ["zendesk"]


def test_no_credential_is_shown() -> None:
    settings = load_settings(
        {
            "ROOMTONE_KLAVIYO_URL": "http://127.0.0.1:1",
            "ROOMTONE_KLAVIYO_TOKEN": "secret",
            "ROOMTONE_OPERATIONAL_URL": "postgresql://me:secret@db/roomtone",
        }
    )
    assert "secret" not in str(settings.described())
    assert "secret" not in repr(settings.connection("klaviyo"))
    assert settings.described()["ROOMTONE_OPERATIONAL_URL"] == "postgresql://me:***@db/roomtone"


def test_a_missing_connection_names_the_variables() -> None:
    with pytest.raises(
        RoomtoneError, match="connection klaviyo: has no address; set ROOMTONE_KLAVIYO_URL and ROOMTONE_KLAVIYO_TOKEN"
    ):
        load_settings({}).connection("klaviyo")


def test_another_warehouse_is_named_without_its_password() -> None:
    settings = load_settings({"ROOMTONE_WAREHOUSE_URL": "postgresql://me:secret@db/roomtone"})
    with pytest.raises(
        RoomtoneError, match=r"postgresql://me:\*\*\*@db/roomtone; the embedded warehouse needs duckdb:///PATH"
    ):
        _ = settings.warehouse_path
