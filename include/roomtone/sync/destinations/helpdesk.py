"""What helpdesks have in common as destinations: tickets of one source, routed one by one, read back one by one."""

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, ClassVar

from roomtone.sync.desired import DesiredRow
from roomtone.sync.destinations.base import Destination, Outcome
from roomtone.sync.plan import Intent
from roomtone.sync.transport import VendorBusyError, VendorRefusedError, VendorUnansweredError


class Helpdesk(Destination):
    """A helpdesk that takes the routing of the tickets of `source`, whose ids there are numbers."""

    source: ClassVar[str]

    def takes(self, row: DesiredRow) -> bool:
        return super().takes(row) and row.source == self.source

    def vendor_ids(self, rows: Sequence[DesiredRow], now: datetime) -> dict[str, str]:  # noqa: ARG002 - the interface is wider than a helpdesk
        ticket_ids = {row.subject_id: row.subject_id.removeprefix(f"{self.source}-") for row in rows}
        return {subject: ticket_id for subject, ticket_id in ticket_ids.items() if ticket_id.isdigit()}

    def send(self, kind: str, batch: Sequence[Intent], now: datetime) -> list[Outcome]:  # noqa: ARG002 - the interface is wider than a helpdesk
        return [self._route(intent) for intent in batch]

    def look_up(self, kind: str, intents: Sequence[Intent]) -> set[str]:  # noqa: ARG002 - the interface is wider than a helpdesk
        tickets = self._tickets(intents)
        return {i.intent_id for i in intents if i.vendor_id in tickets and not self._changes(i, tickets[i.vendor_id])}

    def _tickets(self, intents: Sequence[Intent]) -> dict[str, Any]:
        """The tickets of intents, by their ids there; one that is gone or was not answered is left out."""
        found = {}
        for intent in intents:
            with suppress(VendorRefusedError, VendorUnansweredError, VendorBusyError):
                found[intent.vendor_id] = self._ticket(intent)
        return found

    @abstractmethod
    def _route(self, intent: Intent) -> Outcome:
        """Bring one ticket to what the intent wants."""

    @abstractmethod
    def _ticket(self, intent: Intent) -> Any:
        """The ticket of an intent as the helpdesk has it."""

    @abstractmethod
    def _changes(self, intent: Intent, ticket: Any) -> Any:
        """What the ticket does not have as the intent wants it; empty where it has all."""
