"""A scratch copy of what decides: raw records and scores in a warehouse of its own, policies in a store of its own."""

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import sqlalchemy as sa

from roomtone.errors import RoomtoneError
from roomtone.policies.publish import as_stored
from roomtone.policies.schema import Policies
from roomtone.policies.versions import StoredVersion, stored_versions
from roomtone.score import concept_table
from roomtone.score.model import Model
from roomtone.settings import Settings
from roomtone.stores import warehouse
from roomtone.stores.loading import SCORE_SCHEMA, load_landed
from roomtone.stores.operational import OperationalStore, Pass, intents, overrides, policy_versions
from roomtone.transform.build import run_dbt
from roomtone.transform.mirror import mirror

# What a replay compares; everything they are made from is built as well.
_COMPARED = ("fct_suppression_causes", "fct_suppressions", "fct_recovery_triggers", "dim_customers")
_BATCH_ROWS = 10_000
# The publication of a rule that never was published: before all history.
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_BODIES = """
select distinct id, body as text, md5(body) as body_hash from raw.messages where author = 'customer'
order by id, body_hash
"""


@contextmanager
def scratch(live: Settings) -> Iterator[Settings]:
    """Settings of an empty home below the live one; it is gone, with all that was built in it, when the block ends."""
    try:
        live.home.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix="replay-", dir=live.home)
    except OSError as error:
        raise RoomtoneError(
            "ROOMTONE_HOME", f"{live.home} cannot be written ({error.strerror})", "choose a folder you may write to"
        ) from error
    with folder as name:
        home = Path(name)
        yield dataclasses.replace(
            live,
            home=home,
            warehouse_url=f"duckdb:///{home / 'warehouse.duckdb'}",
            operational_url=f"sqlite:///{home / 'operational.db'}",
        )


def copy_records(live: Settings, copy: Settings) -> int:
    """Load every landed record and score into the scratch warehouse; returns how many rows came in."""
    with warehouse.connect(copy) as connection:
        count = load_landed(live, connection)
        concept_table.refresh(connection, "replayed-concepts")
        return count


def score_again(copy: Settings, model: Model, as_of: datetime) -> None:
    """Put the scores of another model in place of all others."""
    scored_at = pa.scalar(as_of.astimezone(UTC).replace(tzinfo=None), SCORE_SCHEMA.field("scored_at").type)
    with warehouse.connect(copy) as connection:
        parts = []
        for batch in connection.sql(_BODIES).to_arrow_reader(_BATCH_ROWS):
            table = pa.Table.from_batches([batch])
            scores = model.score(table).append_column("body_hash", table.column("body_hash"))
            scores = scores.append_column("scored_at", pa.repeat(scored_at, table.num_rows))
            parts.append(scores.select(SCORE_SCHEMA.names).cast(SCORE_SCHEMA))
        connection.execute("delete from raw.message_scores")
        if parts:
            rescored = pa.concat_tables(parts)
            load_ids = pa.repeat(model.version, rescored.num_rows)
            connection.from_arrow(rescored.append_column("load_id", load_ids)).insert_into("raw.message_scores")


def copied_decisions(live: OperationalStore, copy: OperationalStore, policies: Policies | None) -> None:
    """Put into the scratch store what people and policies have decided, and what the helpdesk has acknowledged.

    `policies` take the place of the published ones: a rule that is published as it stands keeps the times of its
    versions, any other applies to all history. Events that were sent are left out, so that both replays owe afresh.
    """
    with live.begin() as connection:
        published = stored_versions(connection)
        by_hand = [dict(row) for row in connection.execute(sa.select(overrides)).mappings()]
        moved = [
            dict(row)
            for row in connection.execute(sa.select(intents).where(intents.c.kind == "ticket_routing")).mappings()
        ]
    versions = published if policies is None else _replaced(published, policies)
    with copy.begin() as connection:
        for table in (policy_versions, overrides, intents):
            connection.execute(table.delete())
        for table, rows in (
            (policy_versions, [dataclasses.asdict(version) for version in versions]),
            (overrides, by_hand),
            (intents, moved),
        ):
            if rows:
                connection.execute(table.insert(), rows)


def build(copy: Settings, store: OperationalStore, current: Pass) -> None:
    """Compute the compared marts in the scratch warehouse for `current`, whatever it held before."""
    with warehouse.connect(copy) as connection:
        mirror(copy, connection, store, current)
    with warehouse.held(copy) as path:
        run_dbt(copy, path, ["run", "--select", *(f"+{model}" for model in _COMPARED)])


def _replaced(published: Sequence[StoredVersion], policies: Policies) -> list[StoredVersion]:
    """The published versions with the rules of `policies` in place of theirs."""
    by_id: dict[str, list[StoredVersion]] = {}
    for version in published:
        by_id.setdefault(version.policy_id, []).append(version)
    versions = []
    for family, rules in policies.families.items():
        for rule in rules:
            offered = as_stored(family, rule, _EVER)
            history = by_id.get(rule.id, [])
            latest = history[-1] if history else None
            is_published = (
                latest is not None and latest.retired_at is None and latest.fingerprint == offered.fingerprint
            )
            versions += history if is_published else [offered]
    return sorted(versions, key=lambda version: (version.policy_id, version.version))
