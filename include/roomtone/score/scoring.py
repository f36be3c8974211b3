"""Scores the customer messages that the model in force has not scored yet."""

import os
import shutil
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import duckdb
import pyarrow as pa
import structlog

from roomtone.errors import RoomtoneError
from roomtone.score import concept_table, concepts
from roomtone.score.model import MANIFEST, Model, read_manifest
from roomtone.settings import PROJECT_ROOT, Settings
from roomtone.stores import raw, warehouse
from roomtone.stores.loading import SCORE_SCHEMA, load_landed
from roomtone.stores.operational import OperationalStore, Pass

log = structlog.get_logger(__name__)

BATCH_ROWS = 10_000
SHIPPED_MODEL = PROJECT_ROOT / "include" / "models" / "mood"
_LAST_GOOD = "last_good_model"

# Every body that a customer wrote, once, whichever version of the message holds it: an edit is scored anew, a resend
# is not. What came in loads that this model has been through is not looked at again. A load is known by its id: what
# came by webhook keeps the source of its vendor.
_BODIES = """
create or replace temporary table bodies as
select distinct messages.id as id, messages.body as text, md5(messages.body) as body_hash, messages.ticket_id
from raw.messages as messages
where messages.author = 'customer' and messages.load_id in (select load_id from looked_at)
"""
# The few bodies are looked for among all scores, not all scores kept to look up a few.
_UNSCORED = """
with channels as (
    select id as ticket_id, max(channel) as channel from raw.tickets
    where id in (select ticket_id from bodies) group by id
),

known as (
    select message_id, body_hash from raw.message_scores
    where model_version = $model_version and message_id in (select id from bodies)
)

select bodies.id, bodies.text, bodies.body_hash, channels.channel
from bodies
left join channels on channels.ticket_id = bodies.ticket_id
where not exists (
    select 1 from known
    where known.message_id = bodies.id and known.body_hash = bodies.body_hash
)
order by bodies.id, bodies.body_hash
"""


@dataclass(frozen=True)
class ScoreReport:
    """What one pass loaded and scored.

    `failure` is the line of a model that could not be used, else empty; `is_degraded` says that another one, the last
    good or the shipped, scored in its place.
    """

    count_loaded: int
    count_scored: int
    count_abstained: int
    model_version: str
    failure: str = ""
    is_degraded: bool = False


def score_pass(settings: Settings, current: Pass) -> ScoreReport:
    """Load what has landed into the warehouse, then score each customer message that lacks a score of this model.

    Scores go to the raw store first and from there into the warehouse, so that a rebuilt warehouse keeps the scores of
    models that are no longer at hand. A model that cannot be used is reported, and the last good one scores in its
    place; with none at hand nothing is scored: decisions go on from the scores that exist, and tickets without one go
    to the normal queue.
    """
    store = OperationalStore(settings)
    try:
        with warehouse.connect(settings) as connection:
            loaded = load_landed(settings, connection)
            concept_table.refresh(connection, f"{current.pass_id}-concepts")
            model, failure = usable_model(settings)
            if failure:
                store.mark_degraded(current)
            if model is None:
                return ScoreReport(loaded, 0, 0, "", failure)
            # More may land while the scores are written: the next pass looks at that.
            connection.execute(
                "create temporary table looked_at as select source, load_id from raw.loads except"
                " select source, load_id from raw.scored_loads where model_version = ?",
                [model.version],
            )
            scores = _score_unscored(connection, model, current)
            if scores.num_rows:
                raw.write_scores(settings, f"{current.pass_id}-{model.version}", scores)
                load_landed(settings, connection)
            connection.execute(
                "delete from raw.scored_loads where model_version not in (?, ?)", [model.version, concepts.version()]
            )
            connection.execute("insert into raw.scored_loads select ?, source, load_id from looked_at", [model.version])
        store.mark_pass(current, "scored")
    finally:
        store.close()
    abstained = sum(scores.column("is_abstained").to_pylist())
    return ScoreReport(loaded, scores.num_rows, abstained, model.version, failure, is_degraded=bool(failure))


def usable_model(settings: Settings, shipped: Path = SHIPPED_MODEL) -> tuple[Model | None, str]:
    """The model of `settings`, or, with the line that refuses it, the last good one, or the shipped one, or none.

    The last good one is a copy under ROOMTONE_HOME, made when a model passed its checks: the folder that it came from
    may be the one that was damaged since.
    """
    last_good = settings.home / _LAST_GOOD
    try:
        model = Model.load(settings.model_dir)
    except RoomtoneError as error:
        failure = str(error)
        log.warning("model cannot be used", failure=failure)
    else:
        _keep(settings.model_dir, model, last_good)
        return model, ""
    for folder in (last_good, shipped):
        try:
            model = Model.load(folder)
        except RoomtoneError:
            continue
        log.warning("another model scores in its place", model_version=model.version, folder=str(folder))
        return model, f"{failure}; until then {model.version} scores in its place"
    return None, failure


def _keep(folder: Path, model: Model, last_good: Path) -> None:
    """Keeps a copy of a model that passed its checks, unless it is there already."""
    try:
        if read_manifest(last_good) == model.manifest:
            return
    except RoomtoneError:
        pass  # none yet, or one that a new copy mends
    building = last_good.with_name(f".{last_good.name}.{os.getpid()}")
    try:
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        for name in (MANIFEST, *model.manifest["files"]):
            shutil.copyfile(folder / Path(name).name, building / Path(name).name)
        shutil.rmtree(last_good, ignore_errors=True)
        building.rename(last_good)
    except OSError as error:
        log.warning("no copy of the model could be kept", failure=str(error))
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _score_unscored(connection: duckdb.DuckDBPyConnection, model: Model, current: Pass) -> pa.Table:
    connection.execute(_BODIES)
    reader = connection.sql(_UNSCORED, params={"model_version": model.version}).to_arrow_reader(BATCH_ROWS)
    scored_at = pa.scalar(current.as_of.astimezone(UTC).replace(tzinfo=None), SCORE_SCHEMA.field("scored_at").type)
    parts = []
    for batch in reader:
        table = pa.Table.from_batches([batch])
        scores = model.score(table)
        scores = scores.append_column("body_hash", table.column("body_hash"))
        scores = scores.append_column("scored_at", pa.repeat(scored_at, table.num_rows))
        parts.append(scores.select(SCORE_SCHEMA.names).cast(SCORE_SCHEMA))
    return pa.concat_tables(parts) if parts else SCORE_SCHEMA.empty_table()
