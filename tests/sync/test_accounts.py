"""The account that a home is bound to, and keys that do not open it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from conftest import Sandbox
from roomtone.errors import RoomtoneError
from roomtone.settings import Connection, Settings, load_settings
from roomtone.stores.operational import OperationalStore
from roomtone.sync import accounts, sync

from .conftest import Mart, Person, Witness

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
OURS = Connection("klaviyo", "https://a.klaviyo.example", "pk_ours")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OperationalStore]:
    store = OperationalStore(load_settings({"ROOMTONE_HOME": str(tmp_path / "home")}))
    yield store
    store.close()


def test_the_first_account_is_kept_and_another_is_refused(store: OperationalStore) -> None:
    asked: list[str] = []

    def answer(account: str) -> str:
        asked.append(account)
        return account

    accounts.require_same_account(store, OURS, lambda: answer("ABC123"), NOW)
    accounts.require_same_account(store, OURS, lambda: answer("never asked"), NOW + timedelta(minutes=59))
    assert asked == ["ABC123"]
    accounts.require_same_account(store, OURS, lambda: answer("ABC123"), NOW + timedelta(hours=2))
    rotated = replace(OURS, token="pk_ours_rotated")
    accounts.require_same_account(store, rotated, lambda: answer("ABC123"), NOW + timedelta(hours=2))
    with pytest.raises(RoomtoneError) as refused:
        accounts.require_same_account(store, replace(OURS, token="pk_theirs"), lambda: answer("XYZ789"), NOW)
    assert str(refused.value) == (
        "klaviyo account: XYZ789 is not ABC123, to which this home was bound at its first sync; "
        "correct ROOMTONE_KLAVIYO_TOKEN, or use another ROOMTONE_HOME for the other account"
    )


def test_another_account_s_key_changes_nothing_there(
    brand: Sandbox, mart: Mart, person: Person, witness: Witness
) -> None:
    now = brand.now()
    mart.pause(person, now + timedelta(days=14))
    current = mart.commit(now)
    bound_elsewhere(mart.settings, now)
    brand.advance(2)
    with pytest.raises(RoomtoneError, match="klaviyo account: RtSbx1 is not OTHER1"):
        sync(mart.settings, current, "klaviyo")
    assert witness.writes() == []


def bound_elsewhere(settings: Settings, now: datetime) -> None:
    store = OperationalStore(settings)
    elsewhere = replace(settings.connection("klaviyo"), token="a key from before")
    accounts.keep(store, elsewhere, "OTHER1", now)
    store.close()
