"""The lease: one holder, epochs that only grow, and nothing from a holder that was overtaken."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from roomtone.errors import RoomtoneError
from roomtone.settings import Settings, load_settings
from roomtone.stores.ledger import lease_epochs, leases
from roomtone.stores.operational import OperationalStore
from roomtone.sync.lease import Lease, LeaseLostError, leased


@pytest.fixture
def settings(tmp_path) -> Settings:
    return load_settings({"ROOMTONE_HOME": str(tmp_path / "home")})


@pytest.fixture
def store(settings: Settings) -> Iterator[OperationalStore]:
    store = OperationalStore(settings)
    yield store
    store.close()


def run_out(store: OperationalStore) -> None:
    """Lets the lease that is held end, as if its holder had stopped renewing it."""
    with store.begin() as connection:
        connection.execute(leases.update().values(expires_at=datetime.now(UTC) - timedelta(minutes=1)))


def test_a_second_claim_waits_for_the_first_and_has_a_higher_epoch(store: OperationalStore) -> None:
    with leased(store, "klaviyo", 1) as first, pytest.raises(RoomtoneError, match=r"sync-klaviyo: .* held by another"):
        Lease(store, "klaviyo").claim(0.3)
    with leased(store, "klaviyo", 1) as second, leased(store, "zendesk", 1) as other:
        assert (first.epoch, second.epoch, other.epoch) == (1, 2, 1)


def test_an_overtaken_holder_neither_sends_nor_writes_nor_frees_the_new_one(store: OperationalStore) -> None:
    old = Lease(store, "klaviyo")
    old.claim(1)
    old.check()
    run_out(store)
    new = Lease(store, "klaviyo")
    new.claim(1)
    with pytest.raises(LeaseLostError, match=r"lost its lease \(epoch 1\)"), store.begin() as connection:
        old.guard(connection)
    old.release()
    new.check()
    with store.begin() as connection:
        new.guard(connection)
        assert connection.execute(sa.select(lease_epochs.c.epoch).order_by("epoch")).scalars().all() == [1, 2]


def test_a_holder_whose_time_has_passed_asks_before_it_goes_on(store: OperationalStore) -> None:
    now = 100.0
    lease = Lease(store, "klaviyo", seconds=30, timer=lambda: now)
    lease.claim(1)
    now = 170.0
    lease.check()
    assert lease._valid_until == 200.0, "nobody has taken it, so it is renewed"
    run_out(store)
    with leased(store, "klaviyo", 1):
        now = 199.0
        with pytest.raises(LeaseLostError):
            lease.check()


def test_a_holder_that_died_is_followed_at_once(store: OperationalStore) -> None:
    lease = Lease(store, "klaviyo")
    lease.claim(1)
    with store.begin() as connection:
        machine, pid, _ = lease.holder.split(" ")
        connection.execute(leases.update().values(holder=f"{machine} {pid} 1"))
    with leased(store, "klaviyo", 0) as next_one:
        assert next_one.epoch == 2


def test_a_holder_on_another_machine_is_waited_for(store: OperationalStore) -> None:
    Lease(store, "klaviyo").claim(1)
    with store.begin() as connection:
        connection.execute(leases.update().values(holder="elsewhere 1 1"))
    with pytest.raises(RoomtoneError, match="held by another run"):
        Lease(store, "klaviyo").claim(0)
    run_out(store)
    with leased(store, "klaviyo", 0) as next_one:
        assert next_one.epoch == 2
