"""Who may send to a destination: one sync at a time, by a lease in the operational store with an epoch that only grows.

A lease ends by itself when its holder stops renewing it, so that a sync that hangs never blocks the next. The one that
hung may go on later. Three things keep it from doing harm: every write to the store touches the lease's row under the
holder's epoch and fails for an old one; every call and each write to a socket asks `check`, which knows by this
process's own timer when the lease may have run out and then asks the store; and what could still slip through between
two instructions carries an id that the vendor knows already, or sets a state that is read back.
"""

import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from roomtone.errors import RoomtoneError
from roomtone.stores.ledger import lease_epochs, leases
from roomtone.stores.operational import OperationalStore

# Another machine's clock may be a little ahead of this one's: two seconds on a lease of thirty.
_GRACE_SHARE = 1 / 15
_POLL_SECONDS = 0.2


class LeaseLostError(RoomtoneError):
    """Another sync has the destination now; this one must not send and must not write."""


class Lease:
    """A claim on one destination. `epoch` is greater than that of every earlier claim."""

    def __init__(
        self,
        store: OperationalStore,
        destination: str,
        *,
        seconds: float = 30.0,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._destination = destination
        self._seconds = seconds
        self._timer = timer
        self._valid_until = 0.0
        self._checking = threading.Lock()
        self.holder = _myself()
        self.epoch = 0

    def claim(self, wait_seconds: float) -> None:
        """Waits until nobody holds the destination and takes it; raises RoomtoneError when that takes too long."""
        deadline = time.monotonic() + wait_seconds
        while not self._try_to_claim():
            if time.monotonic() >= deadline:
                raise RoomtoneError(
                    f"sync-{self._destination}",
                    f"the destination is held by another run after {wait_seconds:g} s",
                    "let that run finish, then try again",
                )
            time.sleep(min(_POLL_SECONDS, self._seconds / 10))

    def check(self) -> None:
        """Returns while the lease is surely held, by this process's own timer; else asks the store and renews it there.

        Raises LeaseLostError where somebody else has taken it.
        """
        # Several calls may be under way: the first that finds it short renews it for all.
        with self._checking:
            if self._valid_until - self._timer() < self._seconds / 2:
                with self._store.begin() as connection:
                    self.guard(connection)

    def guard(self, connection: sa.Connection) -> None:
        """Renews the lease within a transaction, which thereby belongs to this epoch or raises LeaseLostError.

        The row stays locked to the end of the transaction: nobody can take the lease in between.
        """
        # The timer is read first: what the store takes for the renewal shortens the lease and never lengthens it.
        asked_at = self._timer()
        renewed = connection.execute(
            leases.update()
            .where(leases.c.destination == self._destination, leases.c.epoch == self.epoch)
            .values(expires_at=self._expiry())
        )
        if renewed.rowcount != 1:
            raise LeaseLostError(
                f"sync-{self._destination}",
                f"lost its lease (epoch {self.epoch})",
                "another run goes on with what was left; nothing needs to be done",
            )
        self._valid_until = asked_at + self._seconds

    def release(self) -> None:
        """Lets the next one in at once, unless somebody has the lease already."""
        with self._store.begin() as connection:
            connection.execute(
                leases.update()
                .where(leases.c.destination == self._destination, leases.c.epoch == self.epoch)
                .values(expires_at=datetime.now(UTC) - timedelta(days=1))
            )
        self._valid_until = 0.0

    def _try_to_claim(self) -> bool:
        asked_at = self._timer()
        try:
            with self._store.begin() as connection:
                epoch = self._take(connection)
                if epoch is None:
                    return False
                row = {"destination": self._destination, "epoch": epoch, "holder": self.holder}
                connection.execute(lease_epochs.insert().values(**row, claimed_at=datetime.now(UTC)))
        except sa.exc.IntegrityError:
            # Somebody else made the first claim at the same moment.
            return False
        self.epoch = epoch
        self._valid_until = asked_at + self._seconds
        return True

    def _take(self, connection: sa.Connection) -> int | None:
        """The new epoch, or None while somebody holds the destination."""
        columns = leases.c
        held = connection.execute(sa.select(leases).where(columns.destination == self._destination)).one_or_none()
        if held is None:
            row = {"destination": self._destination, "epoch": 1, "holder": self.holder, "expires_at": self._expiry()}
            connection.execute(leases.insert().values(**row))
            return 1
        is_over = datetime.now(UTC) >= held.expires_at + timedelta(seconds=self._seconds * _GRACE_SHARE)
        if not is_over and not _is_dead(held.holder):
            return None
        taken = connection.execute(
            leases.update()
            .where(
                columns.destination == self._destination,
                columns.epoch == held.epoch,
                # A holder that renewed meanwhile keeps it.
                columns.expires_at == held.expires_at,
            )
            .values(epoch=held.epoch + 1, holder=self.holder, expires_at=self._expiry())
        )
        return int(held.epoch) + 1 if taken.rowcount == 1 else None

    def _expiry(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._seconds)


@contextmanager
def leased(store: OperationalStore, destination: str, wait_seconds: float, seconds: float = 30.0) -> Iterator[Lease]:
    """The lease of a destination for the length of a block."""
    lease = Lease(store, destination, seconds=seconds)
    lease.claim(wait_seconds)
    try:
        yield lease
    finally:
        lease.release()


def _myself() -> str:
    """Names this process so that another on the same machine can tell when it has died."""
    return f"{_machine()} {os.getpid()} {_started(os.getpid())}"


def _machine() -> str:
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        namespace = ""
    return f"{platform.node()}{namespace}"


def _started(pid: int) -> str:
    """When a process began, in the kernel's ticks; "ended" for one that is only not collected yet, empty if unknown."""
    try:
        facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "ended" if facts[0] in "ZX" else facts[19]
    except (OSError, IndexError):
        return ""


def _is_dead(holder: str) -> bool:
    """Whether a holder on this very machine is a process that has ended; it cannot go on."""
    machine, pid, started = holder.split(" ")
    if machine != _machine():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return started != "" and _started(int(pid)) not in ("", started)
