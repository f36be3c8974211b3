"""Which profiles differ from what a destination has acknowledged: computed in columns, only the changed become rows."""

from collections.abc import Iterable
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from roomtone.errors import RoomtoneError
from roomtone.sync.desired import PAUSES, PROFILE_PROPERTIES, DesiredRow, profile_row

_TABLE = "activations.sync_profile_properties"
# Each column as a payload says it: a missing flag is false, a missing tier 0, times to the second.
_WANTED = {
    **{pause: f"coalesce(wanted.{pause}, false)" for pause in PAUSES},
    "roomtone_tier": "coalesce(wanted.roomtone_tier, 0)",
    "roomtone_reason": "coalesce(wanted.roomtone_reason, '')",
    "roomtone_pause_until": "date_trunc('second', wanted.roomtone_pause_until)",
}
_DIFFERS = " or ".join(f"{wanted} is distinct from held.{name}" for name, wanted in _WANTED.items())
_IS_CALM = (
    " and ".join(f"held.{pause} is not distinct from false" for pause in PAUSES)
    + " and held.roomtone_tier is not distinct from 0 and held.roomtone_reason is not distinct from ''"
    + " and held.roomtone_pause_until is null and held.is_plain"
)


@dataclass(frozen=True)
class ProfileDifference:
    """`changed`: rows that differ, are new, or have an open intent. `vanished`: held, not calm, and without a row."""

    count_desired: int
    changed: list[DesiredRow]
    vanished: list[str]


def profile_difference(
    connection: duckdb.DuckDBPyConnection, held: pa.Table, open_subjects: Iterable[str]
) -> ProfileDifference:
    """Compares the activation table with what is held, null-safe, column by column.

    Raises RoomtoneError for a missing table and for two rows about one customer: of two truths none is sent.
    """
    connection.register("held", held)
    connection.register("open_subjects", pa.table({"subject_id": pa.array(sorted(set(open_subjects)), pa.string())}))
    try:
        return _difference(connection)
    except duckdb.Error as error:
        raise RoomtoneError(
            f"activations for {PROFILE_PROPERTIES}", str(error).splitlines()[0], "run `roomtone run`, which builds them"
        ) from error
    finally:
        connection.unregister("held")
        connection.unregister("open_subjects")


def _difference(connection: duckdb.DuckDBPyConnection) -> ProfileDifference:
    # Names come from this module alone.
    doubled = connection.execute(
        f"select customer_id from {_TABLE} group by customer_id having count(*) > 1 order by 1 limit 1"  # noqa: S608
    ).fetchall()
    if doubled:
        raise RoomtoneError(
            f"activations for {PROFILE_PROPERTIES}",
            f"two rows about {doubled[0][0]}",
            "repair the mart, then run again",
        )
    total = connection.execute(f"select count(*) from {_TABLE}").fetchall()  # noqa: S608
    cursor = connection.execute(
        f"select wanted.* from {_TABLE} as wanted left join held on held.subject_id = wanted.customer_id"  # noqa: S608
        f" where held.subject_id is null or not held.is_plain or {_DIFFERS}"
        " or wanted.customer_id in (select subject_id from open_subjects) order by wanted.customer_id"
    )
    names = [column[0] for column in cursor.description or []]
    changed = [profile_row(dict(zip(names, values, strict=True))) for values in cursor.fetchall()]
    vanished = connection.execute(
        f"select held.subject_id from held anti join {_TABLE} as wanted on wanted.customer_id = held.subject_id"  # noqa: S608
        f" where not ({_IS_CALM}) order by 1"
    ).fetchall()
    return ProfileDifference(int(total[0][0]), changed, [row[0] for row in vanished])
