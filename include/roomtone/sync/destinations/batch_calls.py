"""One call for many intents: what became of each, also where a single one spoils the call or its record is gone."""

from collections.abc import Callable, Sequence

from roomtone.sync.desired import RECOVERY_EVENT
from roomtone.sync.destinations.base import Answer, Outcome
from roomtone.sync.identities import IdentityBook
from roomtone.sync.plan import Intent
from roomtone.sync.transport import VendorBusyError, VendorRefusedError, VendorUnansweredError


def send_in_halves(batch: Sequence[Intent], post: Callable[[Sequence[Intent]], list[Outcome]]) -> list[Outcome]:
    """Posts a batch; one that is refused as a whole is halved until the row at fault stands alone."""
    if not batch:
        return []
    try:
        return post(batch)
    except VendorRefusedError as refusal:
        if len(batch) == 1:
            return [Outcome(batch[0].intent_id, Answer.REJECTED, f"{refusal.status} {refusal.words}")]
        middle = len(batch) // 2
        return send_in_halves(batch[:middle], post) + send_in_halves(batch[middle:], post)
    except VendorBusyError as error:
        return [Outcome(intent.intent_id, Answer.DEFERRED, error.value) for intent in batch]
    except VendorUnansweredError as error:
        return [Outcome(intent.intent_id, Answer.UNKNOWN, error.value) for intent in batch]


def gone(identities: IdentityBook, intents: Sequence[Intent]) -> list[Outcome]:
    """Forgets records that the platform no longer has, so that the customers are looked for again.

    A state is planned anew for the record that is found. An event is owed once and keeps its intent, which waits for
    the customer to turn up until it is too late for it.
    """
    identities.forget(intent.vendor_id for intent in intents)
    words = "not on the platform any more"
    return [
        Outcome(i.intent_id, Answer.DEFERRED if i.kind == RECOVERY_EVENT else Answer.REJECTED, words) for i in intents
    ]
