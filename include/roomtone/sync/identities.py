"""Which record of a platform a customer is: asked once, kept, and asked again where the platform had none."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from roomtone.stores.operational import OperationalStore, vendor_identities
from roomtone.sync.desired import RECOVERY_EVENT, DesiredRow
from roomtone.sync.destinations.base import Answer, Outcome
from roomtone.sync.plan import Intent

# Somebody whom the platform did not have may have signed up since.
ASK_AGAIN_AFTER = timedelta(minutes=15)
_CHUNK = 500
_ANSWERS = {RECOVERY_EVENT: Answer.DEFERRED}


class IdentityBook:
    """The `vendor_identities` of one destination."""

    def __init__(self, store: OperationalStore, destination: str) -> None:
        self._store = store
        self._destination = destination

    def resolve(
        self,
        rows: Sequence[DesiredRow],
        now: datetime,
        find: Callable[[Sequence[str]], Mapping[str, str]],
        by: Callable[[DesiredRow], str | None] = lambda row: (row.email or "").strip().lower(),
    ) -> dict[str, str]:
        """Vendor id per customer id, for the customers that the platform has.

        `find` asks the platform: lower-case e-mail addresses, or whatever `by` makes of a row, in; vendor id per one
        of them out.
        """
        customers = {row.customer_id: by(row) for row in rows if row.customer_id is not None}
        known = self._known(customers)
        found = {customer_id: vendor_id for customer_id, (vendor_id, _) in known.items() if vendor_id is not None}
        asked = {}
        for customer_id, name in customers.items():
            if customer_id in found or not name:
                continue
            looked_up_at = known[customer_id][1] if customer_id in known else None
            if looked_up_at is None or now - looked_up_at >= ASK_AGAIN_AFTER:
                asked[customer_id] = name
        if not asked:
            return found
        answers = find(sorted(set(asked.values())))
        fresh = {customer_id: answers.get(name) for customer_id, name in asked.items()}
        self._keep(fresh, now)
        return found | {customer_id: vendor_id for customer_id, vendor_id in fresh.items() if vendor_id is not None}

    def customers_of(self, vendor_ids: Iterable[str]) -> dict[str, str]:
        """Every customer who is one of these records, with the record."""
        table = vendor_identities.c
        found = {}
        with self._store.begin() as connection:
            for part in _parts(sorted(set(vendor_ids))):
                query = sa.select(table.customer_id, table.vendor_id).where(
                    table.destination == self._destination, table.vendor_id.in_(part)
                )
                found.update({row.customer_id: row.vendor_id for row in connection.execute(query)})
        return found

    def gone(self, intents: Sequence[Intent]) -> list[Outcome]:
        """Forgets records that the platform no longer has, so that the customers are looked for again.

        A state is planned anew for the record that is found. An event is owed once and keeps its intent, which waits
        for the customer to turn up until it is too late for it.
        """
        self.forget(intent.vendor_id for intent in intents)
        answers = {intent.intent_id: _ANSWERS.get(intent.kind, Answer.REJECTED) for intent in intents}
        return [Outcome(intent_id, answer, "not on the platform any more") for intent_id, answer in answers.items()]

    def forget(self, vendor_ids: Iterable[str]) -> None:
        """Drops records that the platform no longer has: erased or merged into another."""
        with self._store.begin() as connection:
            for part in _parts(sorted(set(vendor_ids))):
                connection.execute(
                    vendor_identities.delete().where(
                        vendor_identities.c.destination == self._destination, vendor_identities.c.vendor_id.in_(part)
                    )
                )

    def _known(self, customer_ids: Iterable[str]) -> dict[str, tuple[str | None, datetime]]:
        table = vendor_identities.c
        found = {}
        with self._store.begin() as connection:
            for part in _parts(sorted(customer_ids)):
                query = sa.select(table.customer_id, table.vendor_id, table.looked_up_at).where(
                    table.destination == self._destination, table.customer_id.in_(part)
                )
                found.update({row.customer_id: (row.vendor_id, row.looked_up_at) for row in connection.execute(query)})
        return found

    def _keep(self, fresh: Mapping[str, str | None], now: datetime) -> None:
        table = vendor_identities
        rows = [
            {"destination": self._destination, "customer_id": customer_id, "vendor_id": vendor_id, "looked_up_at": now}
            for customer_id, vendor_id in fresh.items()
        ]
        with self._store.begin() as connection:
            for part in _parts(sorted(fresh)):
                connection.execute(
                    table.delete().where(table.c.destination == self._destination, table.c.customer_id.in_(part))
                )
            connection.execute(table.insert(), rows)


def _parts(keys: Sequence[str]) -> list[Sequence[str]]:
    return [keys[start : start + _CHUNK] for start in range(0, len(keys), _CHUNK)]
