"""`roomtone simulate`: the same history decided twice, by the published policies and by others."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from roomtone.errors import RoomtoneError
from roomtone.policies.schema import Policies, load_policies
from roomtone.policies.versions import policies_in_force
from roomtone.replay import scratch
from roomtone.replay.comparison import Comparison, keep_current
from roomtone.replay.difference import Difference
from roomtone.score.model import Model
from roomtone.settings import Settings
from roomtone.stores import warehouse
from roomtone.stores.operational import OperationalStore, Pass, passes

Progress = Callable[[str], None]


def simulate(  # noqa: PLR0917 - the options of the command, in their order
    settings: Settings,
    policies_dir: Path | None = None,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    model_dir: Path | None = None,
    progress: Progress = lambda _: None,
) -> Difference:
    """What would have differed in `[from_at, to_at)`, had other policies, or another model's scores, always decided.

    `to_at` is also the instant as of which both replays are computed; it defaults to the last pass. A rule that is
    published as it stands in `policies_dir` keeps the times of its versions, so the published policies differ from
    themselves in nothing; any other rule applies to all history. Everything is computed in a scratch folder that is
    gone afterwards: the live warehouse is not opened, nothing is published, nothing is sent.

    Raises RoomtoneError for policies or a model that cannot be used, a window without length, and a home in which no
    pass has ever run.
    """
    candidates = load_policies(policies_dir) if policies_dir else None
    model = Model.load(model_dir) if model_dir else None
    live = OperationalStore(settings)
    try:
        current, published = _as_of(live, to_at)
        if from_at is not None and from_at >= current.as_of:
            raise RoomtoneError(
                "--from", f"{from_at.isoformat()} is not before {current.as_of.isoformat()}", "give an earlier instant"
            )
        with scratch.scratch(settings) as copy:
            progress("copy the records")
            scratch.copy_records(settings, copy)
            store = OperationalStore(copy)
            try:
                progress("replay the published policies")
                scratch.copied_decisions(live, store, None)
                scratch.build(copy, store, current)
                with warehouse.connect(copy) as connection:
                    keep_current(connection)
                if model is not None:
                    progress("score every message again")
                    scratch.score_again(copy, model, current.as_of)
                progress("replay the candidates")
                scratch.copied_decisions(live, store, candidates)
                scratch.build(copy, store, current)
            finally:
                store.close()
            progress("compare")
            with warehouse.connect(copy) as connection:
                comparison = Comparison(connection, from_at, current.as_of)
                return Difference(
                    str(policies_dir or "the published policies"),
                    model.version if model else None,
                    from_at,
                    current.as_of,
                    comparison.customers(),
                    comparison.pauses(),
                    comparison.hours(),
                    comparison.sends(),
                    comparison.owed(published.recovery, (candidates or published).recovery),
                    comparison.breaches((candidates or published).guardrails),
                )
    finally:
        live.close()


def _as_of(live: OperationalStore, to_at: datetime | None) -> tuple[Pass, Policies]:
    """(the pass that both replays are, the policies in force then)."""
    with live.begin() as connection:
        last = connection.execute(sa.select(passes).order_by(passes.c.sequence.desc()).limit(1)).one_or_none()
    if last is None:
        raise RoomtoneError("simulate", "no pass has ever run here", "run `roomtone run` first, or check ROOMTONE_HOME")
    current = Pass(last.sequence, to_at or last.as_of)
    return current, policies_in_force(live, current.as_of)
