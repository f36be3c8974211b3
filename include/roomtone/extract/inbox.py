"""The webhook source: what waits in the inbox, as records of the senders it came from."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime

from roomtone.extract import webhook_records as records
from roomtone.extract.received import Cursors, Record, Refused, refused
from roomtone.extract.zendesk_lookup import ZendeskLookup
from roomtone.rate_window import RateWindow
from roomtone.settings import Settings
from roomtone.stores import inbox
from roomtone.stores.inbox import Waiting
from roomtone.stores.operational import OperationalStore

# A backlog is taken in parts, so that a pass stays short and what is urgent in the first part does not wait for all.
MAXIMUM_DELIVERIES = 20_000
_ZENDESK = "zendesk"

Mapper = Callable[[records.Payload, Mapping[str, str]], Iterator[Record]]
_MAPPERS: Mapping[str, Mapper] = {
    "zendesk": records.zendesk,
    "intercom": records.intercom,
    "klaviyo": records.klaviyo,
    "generic": records.generic,
}


class WebhookSource:
    """Reads the deliveries that have not landed, oldest first; it has no cursors: what has landed is marked.

    A process that is killed between landing and marking reads the same deliveries again, which the index of versions
    then knows.
    """

    def __init__(self, settings: Settings, store: OperationalStore) -> None:
        self._settings = settings
        self._store = store
        self._taken: list[int] = []
        self.ignored: list[str] = []
        self.paces: Mapping[str, RateWindow] = {}

    def read(self, cursors: Cursors) -> Iterator[Record | Refused]:
        del cursors  # the inbox itself says what is new
        self._taken = inbox.waiting_ids(self._store, MAXIMUM_DELIVERIES)
        inbox.answer_call(self._store, self._taken)
        with closing(ZendeskLookup(self._settings.connections.get(_ZENDESK))) as lookup:
            for waiting in inbox.read(self._store, self._taken):
                connection = self._settings.connections.get(waiting.sender)
                yield from _records_of(waiting, connection.options if connection else {}, lookup)
            yield from lookup.records()

    def mark_landed(self) -> None:
        """The raw store holds all that `read` gave."""
        inbox.mark_landed(self._store, self._taken, datetime.now(UTC))

    @property
    def count_taken(self) -> int:
        return len(self._taken)


def _records_of(waiting: Waiting, options: Mapping[str, str], lookup: ZendeskLookup) -> Iterator[Record | Refused]:
    """The records of a delivery, or the delivery itself with the reason why it has none."""
    location = f"inbox/{waiting.inbox_id}"
    try:
        payload = json.loads(waiting.body)
        if not isinstance(payload, dict):
            raise records.UnreadableError("is not a JSON object; send one object a request")  # noqa: TRY301
        made = _MAPPERS[waiting.sender](payload, options)
        found = [record._replace(location=f"{location}/{record.location}") for record in made]
        if waiting.sender == _ZENDESK:
            lookup.note(records.zendesk_ticket_id(payload))
    except records.UnreadableError as error:
        yield refused("messages", location, f"webhook of {waiting.sender}: {error}", waiting.body)
    except RecursionError:
        reason = f"webhook of {waiting.sender}: is nested too deeply; send flat records"
        yield refused("messages", location, reason, waiting.body)
    except ValueError:
        reason = f"webhook of {waiting.sender}: is not JSON; send a JSON object in UTF-8"
        yield refused("messages", location, reason, waiting.body)
    else:
        yield from found
