"""Builds the warehouse again from the raw records and the operational store, which are the truth; it is not."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from roomtone.errors import RoomtoneError
from roomtone.score import concept_table
from roomtone.settings import Settings
from roomtone.stores import warehouse
from roomtone.stores.loading import load_landed
from roomtone.stores.operational import OperationalStore, passes


@dataclass(frozen=True)
class RebuildReport:
    as_of: datetime
    count_loaded: int


def rebuild_warehouse(settings: Settings) -> RebuildReport:
    """Set the old warehouse aside, load every landed record and score, and transform as of the last pass.

    The old file stays beside the new one as `<name>.before-rebuild` until the next rebuild.
    """
    from roomtone.transform import transform

    store = OperationalStore(settings)
    try:
        with store.begin() as connection:
            last = connection.execute(sa.select(passes).order_by(passes.c.sequence.desc()).limit(1)).one_or_none()
        if last is None:
            raise RoomtoneError(
                "rebuild", "no pass has ever run here", "run `roomtone run` first, or check ROOMTONE_HOME"
            )
        warehouse.set_aside(settings)
        with warehouse.connect(settings) as connection_to_warehouse:
            count = load_landed(settings, connection_to_warehouse)
            concept_table.refresh(connection_to_warehouse, "rebuilt-concepts")
        transform(settings, store.find_pass(last.sequence))
    finally:
        store.close()
    return RebuildReport(last.as_of, count)
