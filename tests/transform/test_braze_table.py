"""The table that Braze reads by itself: a row moves when its content does, and at no other time."""

import json
from datetime import timedelta
from typing import Any

import pytest

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings, load_settings
from roomtone.stores import warehouse
from roomtone.transform import build as building
from transform.histories import SCOPES, History, at, query, write

TABLE = "activations.sync_braze_cdi"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A warehouse in which maya is paused, as of hour 20."""
    settings = load_settings({"ROOMTONE_HOME": str(tmp_path_factory.mktemp("braze") / "home")})
    history = History()
    history.policy("upset", {"sentiment": "negative", "min_confidence": 0.8}, SCOPES)
    history.customer("maya", "maya@example.com")
    history.ticket("ticket", "maya", (10, "new"))
    history.message("ticket", 10)
    write(settings, history, 20)
    with warehouse.held(settings) as path:
        building.run_dbt(settings, path, ["build", "--exclude-resource-type", "unit_test"])
    return settings


def again(settings: Settings, hour: float, change: str = "") -> dict[str, dict[str, Any]]:
    """The table's rows after the pass of an hour, with the profile properties changed by hand before it."""
    with warehouse.connect(settings) as connection:
        connection.execute("update raw.current_pass set as_of = ?", [at(hour)])
        if change:
            connection.execute(change)
    with warehouse.held(settings) as path:
        building.run_dbt(
            settings, path, ["build", "--select", "sync_braze_cdi", "--exclude-resource-type", "unit_test"]
        )
    return {row["external_id"]: row for row in query(settings, f"select * from {TABLE}")}


def test_a_row_moves_only_with_its_content(settings: Settings) -> None:
    [first] = query(settings, f"select * from {TABLE}")
    assert (first["external_id"], first["updated_at"]) == ("maya", at(20))
    payload = json.loads(first["payload"])
    assert (payload["_update_existing_only"], payload["roomtone_pause_sales"], payload["roomtone_tier"]) == (
        True,
        True,
        2,
    )
    assert payload["roomtone_pause_until"].endswith("Z")

    assert again(settings, 21)["maya"] == first, "nothing changed, so Braze has nothing to take"

    table = "activations.sync_profile_properties"
    changed = again(settings, 22, f"""update {table} set roomtone_reason = 'say "hm"'""")["maya"]
    assert (changed["updated_at"], json.loads(changed["payload"])["roomtone_reason"]) == (at(22), 'say "hm"')

    earlier = again(settings, 21, f"update {table} set roomtone_reason = 'other'")["maya"]
    assert earlier["updated_at"] == at(22) + timedelta(seconds=1), "a pass of an earlier instant still comes later"

    gone = again(settings, 23, f"delete from {table}")["maya"]
    calm = json.loads(gone["payload"])
    assert gone["updated_at"] == at(23)
    assert (calm["roomtone_pause_sales"], calm["roomtone_tier"], calm["roomtone_pause_until"]) == (False, 0, None)
    assert again(settings, 24)["maya"] == gone


def test_two_rows_about_one_user_stop_the_pass(settings: Settings) -> None:
    columns = "customer_id, roomtone_tier, roomtone_reason"
    rows = "('tom', 1, 'a'), ('tom', 2, 'b')"
    twice = f"insert into activations.sync_profile_properties ({columns}) values {rows}"
    with pytest.raises(RoomtoneError, match="dbt test grain_sync_braze_cdi_external_id: Got 1 result"):
        again(settings, 25, twice)
