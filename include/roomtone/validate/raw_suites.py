"""Raw in: what must hold of the landed records before any model is believed; derived from the contract."""

# ruff: noqa: S608 - every name in a query comes from the contract

from typing import Any, Literal, get_args, get_origin

from roomtone.contract import LANDED_COLUMNS, SENTIMENTS, STREAMS, Stream
from roomtone.transform import keys
from roomtone.validate.rules import ROWS, Measure, RowRule, Suite, between, counted, not_null, one_of, sums_to

# What `transform` copies into the warehouse at the beginning of each pass; models read nothing else from outside.
CONTROL_TABLES = (
    "suppression_policies",
    "suppression_policy_scopes",
    "recovery_policies",
    "routing_policies",
    "routing_queues",
    "overrides",
    "trigger_outcomes",
    "routing_outcomes",
)

MAX_QUARANTINE_SHARE = 0.01
MAX_UNSCORED_SHARE = 0.01

_FIX_LOAD = "compare the load with its source (`roomtone doctor`), correct it there and run again"
_FIX_TRANSFORM = "run transform again for this pass; if it stays, run `roomtone rebuild`"
_FIX_EXTRACT = "read the reasons in the quarantine folder of the raw store, correct the source and run again"
_FIX_SCORES = "check the model's folder (ROOMTONE_MODEL), score again, and run `roomtone rebuild` if it stays"

# A referring stream, its key, and the stream it should be found in. A missing one may only be late.
_REFERENCES = {
    "tickets": ("customer_id", "customers"),
    "messages": ("ticket_id", "tickets"),
    "satisfaction_ratings": ("ticket_id", "tickets"),
    "orders": ("customer_id", "customers"),
    "shipments": ("order_id", "orders"),
    "marketing_events": ("campaign_id", "campaigns"),
}


def raw_suites() -> tuple[Suite, ...]:
    """The suites of the raw boundary, control tables first."""
    return (
        _current_pass(),
        *(_control(name) for name in CONTROL_TABLES),
        _loads(),
        *(_stream(stream) for stream in STREAMS.values()),
        _scores(),
        _concepts(),
    )


def _current_pass() -> Suite:
    return Suite(
        "raw",
        "raw.current_pass",
        "one row in all",
        (),
        (
            counted(
                "rows that are not this pass",
                "select count(*) from raw.current_pass where pass_sequence <> $pass_sequence or as_of <> $as_of"
                " or pass_sequence is null or as_of is null",
                why="The marts were built for another pass: what is validated must be what is synced.",
                columns=("pass_sequence", "as_of"),
            ),
            counted(
                "rows too few or too many (exactly one)",
                "select abs(count(*) - 1) from raw.current_pass",
                why="Every model takes its instant from this row; none or two of them make every interval wrong.",
            ),
        ),
        next_step=_FIX_TRANSFORM,
    )


def _control(name: str) -> Suite:
    measures: tuple[Measure, ...] = ()
    if name in ("suppression_policies", "routing_policies"):
        measures = (
            counted(
                "no rule in force",
                f"select case when count(*) = 0 then 1 else 0 end from raw.{name}"
                " where coalesce(applies_from, $as_of) <= $as_of and (applies_to is null or applies_to > $as_of)",
                why="Without a single rule in force everybody would look calm, which nobody has decided.",
                columns=("applies_from", "applies_to"),
                severity="warning",
            ),
        )
    return Suite("raw", f"raw.{name}", "as published or acknowledged", (), measures, next_step=_FIX_TRANSFORM)


def _loads() -> Suite:
    landed = " union all ".join(f"select '{name}' as stream, load_id from new_{name}" for name in STREAMS)
    return Suite(
        "raw",
        "raw.loads",
        "source x load",
        (),
        (
            counted(
                "extract runs whose counts do not add up",
                "select count(*) from new_extract_runs"
                " where count_read is distinct from count_landed + count_duplicate + count_quarantined",
                why="read = landed + duplicate + quarantined: anything else means that a record was lost.",
            ),
            counted(
                "share of records quarantined",
                "select coalesce(sum(count_quarantined)::double / nullif(sum(count_read), 0), 0) from new_extract_runs",
                why="More than one record in a hundred that does not fit is a change at the source, not an accident.",
                severity="warning",
                maximum=MAX_QUARANTINE_SHARE,
            ),
            counted(
                "loads with fewer records than had landed",
                f"""
                select count(*)
                from new_extract_runs as runs
                join new_loads using (source, load_id)
                left join (select stream, load_id, count(*) as count_rows from ({landed}) group by all) as found
                    using (load_id, stream)
                where coalesce(found.count_rows, 0) < runs.count_landed
                """,
                why="What landed and is not in the warehouse was erased on request, or lost on the way.",
                severity="warning",
            ),
        ),
        extra_columns=("load_id", "loaded_at", "source"),
        next_step=_FIX_EXTRACT,
    )


def _stream(stream: Stream) -> Suite:
    names = stream.landed_schema.names
    rules: list[RowRule] = [
        *not_null(
            *(name for name, field in stream.record.model_fields.items() if field.is_required()),
            why="The contract requires the field, and the models join, filter or date by it.",
        ),
        *not_null(
            *(column.name for column in LANDED_COLUMNS),
            why="Landing adds it to every record; without it a version cannot be dated or traced.",
        ),
    ]
    for name, field in stream.record.model_fields.items():
        values = literal_values(field.annotation)
        if values:
            rules += one_of(
                name, values, why="A value that the contract does not know would fall through every rule in silence."
            )
    if stream.name == "satisfaction_ratings":
        rules += between("score", 1, 5, why="Ratings outside 1 to 5 bend the satisfaction metrics.")
    measures = [
        counted(
            "records received in the future",
            f"select count(*) from {ROWS} where received_at > $received_until",
            why="A clock was ahead then, or is behind now. Stopping for it would hold up pauses until that time.",
            severity="warning",
        ),
        counted(
            "records dated before 2000",
            f"select count(*) from {ROWS} where version_at < timestamp '2000-01-01'",
            why="Such a date is usually an empty field turned into a number.",
            severity="warning",
        ),
        counted(
            "records dated after this pass",
            f"select count(*) from {ROWS} where version_at > $as_of + interval 5 minute",
            why="They do not exist yet for this pass; many of them mean a source with a wrong clock or zone.",
            severity="warning",
        ),
    ]
    # Of campaigns there are no keys: a brand has hundreds, and a pass reads them all.
    if stream.name in keys.KEYS:
        measures.append(_contradictions(stream))
    if stream.name == "tickets":
        measures.append(_merges())
    if stream.name in _REFERENCES:
        key, target = _REFERENCES[stream.name]
        measures.append(
            counted(
                f"records whose {key} is not in {target}",
                f"select count(*) from {ROWS} as new"
                f" where not exists (select 1 from raw.{target} as known where known.id = new.{key})",
                why="The other record may only be late; if it stays away, its rows count for nobody.",
                tables=(f"raw.{target}",),
                severity="warning",
            )
        )
    return Suite(
        "raw",
        f"raw.{stream.name}",
        "version of a record",
        tuple(rules),
        tuple(measures),
        extra_columns=(*names, "load_id"),
        is_slice=True,
        next_step=_FIX_LOAD,
    )


def _contradictions(stream: Stream) -> Measure:
    table = f"raw.{stream.name}"
    return counted(
        "ids of which two records of one instant disagree",
        f"""
        with
        found as materialized (
            select rowid as place, id, version_at from {table}
            where rowid in ({keys.places(stream.name, f"select id from {ROWS}")})
        ),
        tied as (
            select place from found
            where id in (select id from {ROWS})
            qualify count(*) over (partition by id, version_at) > 1
        )
        select count(distinct id)
        from (
            select id from {table} where rowid in (select place from tied)
            group by id, version_at having count(distinct record_hash) > 1
        )
        """,
        why="Neither is newer: the one with the greater hash counts, whatever came first, and may be the wrong one.",
        severity="warning",
        tables=(f"keys.{stream.name}",),
    )


def _merges() -> Measure:
    return counted(
        "tickets merged into themselves, in a ring, or into one that is not there",
        f"""
        with recursive
        merges as (
            select id, arg_max(merged_into, version_at) as merged_into from raw.tickets
            where id in (select id from raw.tickets where merged_into is not null)
            group by id
        ),
        reached as (
            select id, merged_into from merges
            where id in (select id from {ROWS} where merged_into is not null)
            union
            select reached.id, merges.merged_into from reached join merges on reached.merged_into = merges.id
        )
        select count(distinct id) from reached
        where merged_into = id or merged_into not in (select id from raw.tickets where id is not null)
        """,
        why="A merge into itself is none, a ring is followed until it comes back, and one into nowhere leaves the"
        " ticket its own history: pauses may end at another time than the helpdesk shows.",
        severity="warning",
        tables=("raw.tickets",),
        unless=f"select count(*) = 0 from {ROWS} where merged_into is not null",
    )


def _scores() -> Suite:
    key = ("message_id", "body_hash", "model_version")
    return Suite(
        "raw",
        "raw.message_scores",
        " x ".join(key),
        (
            *not_null(
                *key,
                "sentiment",
                "confidence",
                "is_abstained",
                "scored_at",
                why="A score that cannot be told apart or dated explains no decision.",
            ),
            *not_null("p_negative", "p_neutral", "p_positive", why="A missing probability would be read as calm."),
            *sums_to(
                ("p_negative", "p_neutral", "p_positive"),
                1,
                1e-6,
                why="Probabilities that do not add up come from a damaged model: no pause may rest on them.",
            ),
            *between(
                "confidence",
                0,
                1,
                why="Rules compare it with min_confidence, so outside [0, 1] every rule or none would fire.",
            ),
            *one_of("sentiment", SENTIMENTS, why="The rules know these three; any other starts nothing."),
        ),
        (
            counted(
                "share of new customer messages without a score",
                """
                select coalesce(avg(case when scores.message_id is null then 1.0 else 0.0 end), 0)
                from (select distinct id from new_messages where author = 'customer') as new
                left join (
                    select distinct message_id from raw.message_scores
                    where message_id in (select id from new_messages)
                ) as scores on scores.message_id = new.id
                """,
                why="An unscored message starts no pause: its ticket goes to people, but marketing goes on.",
                severity="warning",
                maximum=MAX_UNSCORED_SHARE,
            ),
        ),
        is_slice=True,
        next_step=_FIX_SCORES,
    )


def _concepts() -> Suite:
    return Suite(
        "raw",
        "raw.message_concepts",
        "message_id x body_hash",
        (),
        (
            counted(
                "new customer messages without their concepts",
                """
                select count(*)
                from (select distinct id from new_messages where author = 'customer' and body is not null) as new
                left join (
                    select distinct message_id from raw.message_concepts
                    where message_id in (select id from new_messages)
                ) as known on known.message_id = new.id
                where known.message_id is null
                """,
                why="Such a message repeats nothing and is repeated by none, whatever it says.",
                severity="warning",
                columns=("message_id", "body_hash", "concepts"),
            ),
        ),
        next_step=_FIX_SCORES,
    )


def literal_values(annotation: Any) -> tuple[str, ...]:
    """The words that a field admits, through unions and optionals; () when it is not an enumeration."""
    if get_origin(annotation) is Literal:
        return tuple(str(value) for value in get_args(annotation))
    return tuple(value for argument in get_args(annotation) for value in literal_values(argument))
