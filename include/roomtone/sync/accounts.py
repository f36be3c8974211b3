"""The account that a destination's credential opened at the first sync: another one is refused from then on."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa

from roomtone.errors import RoomtoneError
from roomtone.settings import Connection, Settings
from roomtone.stores.ledger import account_pins
from roomtone.stores.operational import OperationalStore
from roomtone.sync.destinations.base import Destination

# A credential opens the same account for its whole life; this only bounds how long a mistake could go unseen.
_ASK_AGAIN_AFTER = timedelta(hours=1)


def require_same_account(
    store: OperationalStore, connection: Connection, ask: Callable[[], str | None], now: datetime
) -> None:
    """Pins the account at the first sync and compares it at later ones; raises RoomtoneError for another account.

    `ask` names the account at the destination; it is asked when the address or the credential has changed, and hourly.
    """
    credential = _hash(connection)
    pin = _pinned(store, connection.name)
    if pin is not None and pin.credential_hash == credential and abs(now - pin.checked_at) < _ASK_AGAIN_AFTER:
        return
    account = ask()
    if account is None:
        return
    if pin is not None and pin.account_id != account:
        raise RoomtoneError(
            f"{connection.name} account",
            f"{account} is not {pin.account_id}, to which this home was bound at its first sync",
            f"correct ROOMTONE_{connection.name.upper()}_TOKEN, or use another ROOMTONE_HOME for the other account",
        )
    keep(store, connection, account, now)


def require_account_of(settings: Settings, store: OperationalStore, target: Destination, now: datetime) -> None:
    """The same for a destination that is open; one without a connection has no account."""
    if target.name in settings.connections:
        require_same_account(store, settings.connection(target.name), target.account, now)


def keep(store: OperationalStore, connection: Connection, account: str, now: datetime) -> None:
    """Pins `account`, or notes that it was seen again."""
    pin = _pinned(store, connection.name)
    values = {
        "destination": connection.name,
        "account_id": account,
        "credential_hash": _hash(connection),
        "pinned_at": now if pin is None else pin.pinned_at,
        "checked_at": now,
    }
    with store.begin() as writing:
        writing.execute(account_pins.delete().where(account_pins.c.destination == connection.name))
        writing.execute(account_pins.insert().values(values))


def _pinned(store: OperationalStore, destination: str) -> sa.Row[tuple[object, ...]] | None:
    with store.begin() as connection:
        query = sa.select(account_pins).where(account_pins.c.destination == destination)
        return connection.execute(query).one_or_none()


def _hash(connection: Connection) -> str:
    return hashlib.sha256(f"{connection.url}\x1f{connection.token}".encode()).hexdigest()
