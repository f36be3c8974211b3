"""One call for many intents: what became of each, also where a single one spoils the call."""

from collections.abc import Callable, Sequence

from roomtone.sync.destinations.base import Answer, Outcome
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
