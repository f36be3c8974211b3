"""The difference in columns says the same as the payloads one by one, and the copy it reads follows the store."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roomtone.errors import RoomtoneError
from roomtone.sandbox.activations import PROFILES
from roomtone.settings import Settings, load_settings
from roomtone.stores.operational import OperationalStore, acknowledged
from roomtone.sync.acknowledged import _SCHEMA, _table, acknowledged_profiles
from roomtone.sync.desired import PAUSES, PROFILE_PROPERTIES, calm_profile, canonical, fingerprint, profile_row
from roomtone.sync.difference import profile_difference
from roomtone.sync.outbox import Outbox
from roomtone.sync.plan import Intent

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)

customers = st.sampled_from("abcdef")
flags = st.sampled_from([None, False, True])
tiers = st.sampled_from([None, 0, 1, 2])
reasons = st.sampled_from([None, "", "a", "b"])
ends = st.sampled_from(["2026-03-05 09:00:00", "2026-03-05 09:00:00.7", "2026-03-06 00:00:00"])


@st.composite
def wanted_rows(draw: st.DrawFn) -> dict[str, Any]:
    row: dict[str, Any] = {pause: draw(flags) for pause in PAUSES}
    row |= {"roomtone_tier": draw(tiers), "roomtone_reason": draw(reasons)}
    # A pause always has an end; without one the end may be missing.
    end = datetime.fromisoformat(draw(ends))
    row["roomtone_pause_until"] = end if any(row[p] for p in PAUSES) or draw(st.booleans()) else None
    return row


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcdef"), wanted_rows()), st.dictionaries(st.sampled_from("abcdef"), wanted_rows())
)
def test_columns_and_payloads_agree(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> None:
    def payload(customer_id: str, row: dict[str, Any]) -> dict[str, Any]:
        return dict(profile_row({"customer_id": customer_id, "email": None, **row}).payload)

    held = {customer_id: payload(customer_id, row) for customer_id, row in before.items()}
    wanted = {customer_id: payload(customer_id, row) for customer_id, row in after.items()}
    difference = compare(held, [{"customer_id": c, "email": None, "phone": None, **row} for c, row in after.items()])
    assert [row.subject_id for row in difference.changed] == sorted(c for c in wanted if held.get(c) != wanted[c])
    assert difference.vanished == sorted(c for c in held if c not in wanted and held[c] != calm_profile())
    assert difference.count_desired == len(wanted)
    assert all(row.fingerprint == fingerprint(wanted[row.subject_id]) for row in difference.changed)


def compare(held: dict[str, dict[str, Any]], rows: list[dict[str, Any]], open_subjects: tuple[str, ...] = ()) -> Any:
    with duckdb.connect() as connection:
        connection.execute("create schema activations")
        connection.register("given", pa.Table.from_pylist(rows, PROFILES))
        connection.execute("create table activations.sync_profile_properties as select * from given")
        copy = _table((c, canonical(p), 1) for c, p in held.items())
        return profile_difference(connection, copy, open_subjects)


def test_a_customer_with_an_open_intent_is_looked_at_though_nothing_differs() -> None:
    row = {"customer_id": "a", **dict.fromkeys(PAUSES, False), "roomtone_tier": 0, "roomtone_reason": ""}
    assert compare({"a": calm_profile()}, [row]).changed == []
    assert [r.subject_id for r in compare({"a": calm_profile()}, [row], ("a",)).changed] == ["a"]


def test_what_was_cleared_differs_from_calm_and_from_every_row() -> None:
    row = {"customer_id": "a", **dict.fromkeys(PAUSES, False), "roomtone_tier": 0, "roomtone_reason": ""}
    cleared = dict.fromkeys(calm_profile())
    assert [r.subject_id for r in compare({"a": cleared}, [row]).changed] == ["a"]
    assert compare({"a": cleared}, []).vanished == ["a"]


def test_two_rows_about_one_customer_are_refused() -> None:
    row = {"customer_id": "a", **dict.fromkeys(PAUSES, False)}
    with pytest.raises(RoomtoneError, match="two rows about a"):
        compare({}, [row, row])


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return load_settings({"ROOMTONE_HOME": str(tmp_path / "home")})


@pytest.fixture
def store(home: Settings) -> Iterator[OperationalStore]:
    store = OperationalStore(home)
    yield store
    store.close()


def intent(subject_id: str, payload: dict[str, Any]) -> Intent:
    return Intent(f"i-{subject_id}", "klaviyo", PROFILE_PROPERTIES, subject_id, "P", "f", payload, 1, NOW)


def tiers_of(table: pa.Table) -> dict[str, int]:
    return dict(zip(table["subject_id"].to_pylist(), table["roomtone_tier"].to_pylist(), strict=True))


def test_the_copy_follows_the_store(home: Settings, store: OperationalStore) -> None:
    outbox = Outbox(store, "klaviyo")
    assert acknowledged_profiles(home, store, "klaviyo").schema == _SCHEMA
    outbox.finish([intent(c, calm_profile()) for c in "abc"], NOW)
    assert tiers_of(acknowledged_profiles(home, store, "klaviyo")) == {"a": 0, "b": 0, "c": 0}
    outbox.finish([intent("b", calm_profile() | {"roomtone_tier": 2})], NOW)
    assert tiers_of(acknowledged_profiles(home, store, "klaviyo")) == {"a": 0, "b": 2, "c": 0}
    with store.begin() as connection:
        connection.execute(acknowledged.delete().where(acknowledged.c.subject_id == "a"))
    assert tiers_of(acknowledged_profiles(home, store, "klaviyo")) == {"b": 2, "c": 0}
    assert tiers_of(acknowledged_profiles(home, store, "files")) == {}


def test_a_damaged_copy_is_made_again(home: Settings, store: OperationalStore) -> None:
    outbox = Outbox(store, "klaviyo")
    outbox.finish([intent("a", calm_profile())], NOW)
    acknowledged_profiles(home, store, "klaviyo")
    (home.home / "cache" / "acknowledged-klaviyo.arrow").write_bytes(b"nothing of the kind")
    assert tiers_of(acknowledged_profiles(home, store, "klaviyo")) == {"a": 0}
