"""Named points at which a sync can be stopped by force: every place between two effects that must not be torn apart.

`reached` does nothing unless a test has set `on_reached` in its own process.
"""

from collections.abc import Callable

NAMES = (
    "lease_claimed",
    "planned",
    "intents_written",
    "claimed",
    "call_answered",
    "job_handed_in",
    "sent",
    "answer_recorded",
    "read_back",
    "finished_intents",
    "run_recorded",
    "marts_built",
    "database_swapped",
    "parquet_swapped",
)

on_reached: Callable[[str], None] | None = None


def reached(name: str) -> None:
    """Says that the point `name` of NAMES has been reached."""
    assert name in NAMES, name
    if on_reached is not None:
        on_reached(name)
