"""Marts out: what must hold of the marts before anything is sent or published."""

# ruff: noqa: S608 - every name in a query is a constant of this package

from roomtone.contract import MESSAGE_CLASSES, RECOVERY_KINDS, SCOPES, SENTIMENTS, STREAMS, TIERS
from roomtone.validate.raw_suites import literal_values
from roomtone.validate.rules import ROWS, Measure, Suite, before, between, counted, not_null, one_of, sums_to, unique

STATES = (*TIERS.values(), "recovering")
TRIGGER_STATUSES = ("due", "held_out", "blocked", "sent", "expired", "cancelled")
TICKET_STATUSES = literal_values(STREAMS["tickets"].record.model_fields["status"].annotation)
MAX_PAUSE_DAYS = 30
# As the variable `repeat_most_compared` of the dbt project has it.
MOST_COMPARED = 50

_GRAIN = "Two rows for one thing count it twice, and one of them is wrong."
KEY = "A row without its key joins nothing and explains nothing."
_KNOWN = "A word that the contract does not know falls through every filter downstream in silence."
TIER = "Tiers decide queue and recovery; only 0 to 3 mean anything."
FIX = "look at the model that builds it (`roomtone why CUSTOMER` for one case), then run again or `roomtone rebuild`"

ACTIVE = "valid_from <= $as_of and (valid_to is null or valid_to > $as_of)"


def mart_suites() -> tuple[Suite, ...]:
    """The suites of the marts boundary; a table of theirs that is missing makes the pass invalid."""
    return (
        _customers(),
        _customer_states(),
        _state_changes(),
        _scores(),
        _tickets(),
        _causes(),
        _suppressions(),
        _triggers(),
        _decisions(),
    )


def _not_empty(table: str, source: str, condition: str = "true") -> Measure:
    """Broken when `table` has no row although `source` has rows for it."""
    return counted(
        f"empty although {source} has rows",
        f"select count(*) from {source} where {condition}",
        why="An empty mart after a bad join says 'all calm', and would release everybody.",
        tables=(source,),
        unless=f"select exists (select 1 from {table})",
    )


def _overlaps(partition: str) -> Measure:
    return counted(
        f"intervals that overlap per {partition.replace(', ', ' and ')}",
        f"""
        select count(*) from (
            select valid_from,
                max(coalesce(valid_to, timestamp '9999-12-31')) over (
                    partition by {partition} order by valid_from, valid_to
                    rows between unbounded preceding and 1 preceding
                ) as earlier_to
            from {ROWS}
        ) where valid_from < earlier_to
        """,
        why="Two intervals at one instant give two answers to one question; the union of causes has exactly one.",
        columns=("valid_from", "valid_to"),
    )


def _unknown_ids(column: str, source: str, key: str) -> Measure:
    """Broken by an element of the comma-joined `column` that is no `key` of `source`, lists alike counted once."""
    return counted(
        f"{column} that are not in {source}",
        f"""
        select count(*)
        from (select unnest(string_split(ids, ',')) as named_id from (select distinct {column} as ids from {ROWS}))
            as named
        where named_id <> '' and not exists (select 1 from {source} as known where known.{key} = named.named_id)
        """,
        why="A reason that cannot be looked up is no reason.",
        columns=(column,),
        tables=(source,),
    )


def _customers() -> Suite:
    table = "marts.dim_customers"
    return Suite(
        "marts",
        table,
        "customer",
        (
            *unique("customer_id", why=_GRAIN),
            *not_null("customer_id", why=KEY),
            *not_null(
                "has_email_consent",
                "has_sms_consent",
                why="An unknown consent must be a stored 'no', or an offer could reach somebody who refused.",
            ),
            *not_null("first_seen_at", why="Cohorts and tenure are counted from it.", severity="warning"),
            *between("churn_risk", 0, 1, why="It is a probability.", severity="warning"),
            *not_null("risk_version", why="A chance that nothing answers for explains nothing.", severity="warning"),
            *between("orders_count", 0, why="A negative count is a broken join.", severity="warning"),
            *between(
                "lifetime_value",
                0,
                why="Value at risk weighs the queue; below zero it would push a customer back.",
                severity="warning",
            ),
        ),
        (_not_empty(table, "raw.customers", "version_at <= $as_of"),),
        next_step=FIX,
    )


def _customer_states() -> Suite:
    table = "marts.dim_customer_states"
    return Suite(
        "marts",
        table,
        "customer",
        (
            *unique("customer_id", why=_GRAIN),
            *not_null("customer_id", "state", "tier", why=KEY),
            *one_of("state", STATES, why=_KNOWN),
            *between("tier", min(TIERS), max(TIERS), why=TIER),
            *between("churn_risk", 0, 1, why="It is a probability.", severity="warning"),
        ),
        (_not_empty(table, "marts.dim_customers"),),
        extra_columns=("since_at", "reasons"),
        next_step=FIX,
    )


def _state_changes() -> Suite:
    table = "marts.fct_customer_state_changes"
    return Suite(
        "marts",
        table,
        "customer x change",
        (
            *unique("customer_id", "valid_from", why=_GRAIN),
            *not_null("customer_id", "state", "tier", "valid_from", why=KEY),
            *one_of("state", STATES, why=_KNOWN),
            *between("tier", min(TIERS), max(TIERS), why=TIER),
            *before("valid_from", "valid_to", why="An empty or backward interval is a state that nobody was ever in."),
        ),
        (_overlaps("customer_id"), _not_empty(table, "marts.dim_customers")),
        next_step=FIX,
    )


def _scores() -> Suite:
    table = "marts.fct_message_scores"
    probabilities = ("p_negative", "p_neutral", "p_positive")
    return Suite(
        "marts",
        table,
        "message x model version",
        (
            *unique("message_id", "model_version", why=_GRAIN),
            *not_null("message_id", "ticket_id", "model_version", "sentiment", "confidence", "is_abstained", why=KEY),
            *not_null(*probabilities, why="A missing probability would be read as calm."),
            *sums_to(
                probabilities,
                1,
                1e-6,
                why="Probabilities that do not add up come from a damaged model: no pause may rest on them.",
            ),
            *(rule for name in probabilities for rule in between(name, 0, 1, why="It is a probability.")),
            *between(
                "confidence",
                0,
                1,
                why="Rules compare it with min_confidence, so outside [0, 1] every rule or none would fire.",
            ),
            *one_of("sentiment", SENTIMENTS, why=_KNOWN),
            *one_of("urgency", ("low", "normal", "high"), why=_KNOWN),
            *between("urgency_score", 0, 1, why="It is a probability.", severity="warning"),
            *between(
                "repeat_count_30d",
                0,
                MOST_COMPARED,
                why="No more earlier messages than that are compared, so a text was counted twice.",
                severity="warning",
            ),
            *not_null("customer_id", why="A ticket whose customer is unknown pauses nobody.", severity="warning"),
        ),
        (
            _not_empty(
                table,
                "raw.message_scores",
                "message_id in (select message.id from raw.messages as message"
                " join raw.tickets as ticket on ticket.id = message.ticket_id"
                " where message.version_at <= $as_of and ticket.version_at <= $as_of)",
            ),
        ),
        next_step=FIX,
    )


def _tickets() -> Suite:
    table = "marts.fct_tickets"
    return Suite(
        "marts",
        table,
        "ticket",
        (
            *unique("ticket_id", why=_GRAIN),
            *not_null("ticket_id", "status", why=KEY),
            *one_of("status", TICKET_STATUSES, why=_KNOWN),
            *between("tier", min(TIERS), max(TIERS), why=TIER),
            *between(
                "first_reply_time_minutes",
                0,
                why="A reply before the question is a wrong clock or join.",
                severity="warning",
            ),
            *between(
                "final_resolution_minutes",
                0,
                why="A resolution before the question is a wrong clock or join.",
                severity="warning",
            ),
        ),
        (_not_empty(table, "raw.tickets", "version_at <= $as_of"),),
        extra_columns=("customer_id", "is_live", "priority_score", "queue"),
        next_step=FIX,
    )


def _causes() -> Suite:
    table = "marts.fct_suppression_causes"
    unknown = " and ".join(f"trim(part.scope) <> '{scope}'" for scope in SCOPES)
    return Suite(
        "marts",
        table,
        "cause",
        (
            *unique("cause_id", why=_GRAIN),
            *not_null(
                "cause_id",
                "customer_id",
                "policy_id",
                "policy_version",
                why="A pause that names no customer or no rule cannot be explained or ended.",
            ),
            *not_null(
                "scopes",
                "started_at",
                "planned_end_at",
                why="Every pause has a start, an end that is known in advance, and a scope.",
            ),
            *between("tier", 1, max(TIERS), why="A cause is mild, negative or severe; only 1 to 3 mean anything."),
            *before("started_at", "ended_at", why="An empty or backward cause paused nobody and must not exist."),
        ),
        (
            counted(
                f"causes planned to end later than {MAX_PAUSE_DAYS} days after their latest evidence",
                f"select count(*) from {ROWS} where latest_evidence_at is null"
                f" or planned_end_at > latest_evidence_at + interval {MAX_PAUSE_DAYS} day",
                why="The hard cap is the promise that silence ends by itself, even if roomtone stops.",
                columns=("planned_end_at", "latest_evidence_at"),
            ),
            counted(
                "causes that pause an unknown scope",
                f"""
                select count(*)
                from (select unnest(string_split(scopes, ',')) as scope from (select distinct scopes from {ROWS}))
                    as part
                where {unknown}
                """,
                why="No platform has a property for such a scope, so the pause would never arrive.",
                columns=("scopes",),
            ),
            counted(
                "causes whose rule and version were never published",
                f"select count(*) from {ROWS} as cause"
                " where not exists (select 1 from raw.suppression_policies as policy"
                " where policy.policy_id = cause.policy_id and policy.policy_version = cause.policy_version)",
                why="A pause must lead back to a rule that a person wrote.",
                columns=("policy_id", "policy_version"),
                tables=("raw.suppression_policies",),
            ),
            counted(
                "severe causes that rest on a score alone",
                f"select count(*) from {ROWS} as cause"
                " join raw.suppression_policies as policy using (policy_id, policy_version)"
                " where cause.tier = 3 and policy.start_kind = 'sentiment'",
                why="Tier 3 needs a fact or a person's label.",
                columns=("tier", "policy_id", "policy_version"),
                tables=("raw.suppression_policies",),
            ),
        ),
        extra_columns=("evidence_message_id", "end_reason"),
        next_step=FIX,
    )


def _suppressions() -> Suite:
    table = "marts.fct_suppressions"
    return Suite(
        "marts",
        table,
        "customer x scope x interval",
        (
            *unique("customer_id", "scope", "valid_from", why=_GRAIN),
            *not_null(
                "customer_id",
                "scope",
                "valid_from",
                "planned_end_at",
                why="Every pause has a customer, a scope, a start and an end that is known in advance.",
            ),
            *one_of(
                "scope",
                SCOPES,
                why="Only these scopes have a property on the platform; any other pause would never arrive.",
            ),
            *before("valid_from", "valid_to", why="An empty or backward interval pauses nobody and must not exist."),
            *between("tier", 0, max(TIERS), why=TIER),
        ),
        (
            _overlaps("customer_id, scope"),
            counted(
                "suppressions without a cause",
                f"select count(*) from {ROWS} where coalesce(cause_ids, '') = '' and coalesce(override_ids, '') = ''",
                why="Nobody is kept from mail without a reason that can be shown: a cause or a person's override.",
                columns=("cause_ids", "override_ids"),
            ),
            _unknown_ids("cause_ids", "marts.fct_suppression_causes", "cause_id"),
            _unknown_ids("override_ids", "raw.overrides", "override_id"),
            counted(
                "active suppressions whose planned end has passed",
                f"select count(*) from {table} where {ACTIVE} and planned_end_at <= $as_of",
                why="Staleness never extends a pause.",
                columns=("planned_end_at",),
            ),
            counted(
                "active suppressions without a decision to pause",
                f"""
                select count(*) from {ROWS} as pause
                where {ACTIVE} and not exists (
                    select 1 from marts.fct_decisions as decision
                    where decision.customer_id = pause.customer_id
                        and decision.action = 'pause' and decision.decided_at <= $as_of
                        and (
                            list_contains(string_split(pause.cause_ids, ','), decision.cause_id)
                            or list_contains(string_split(pause.override_ids, ','), decision.override_id)
                        )
                )
                """,
                why="Every effect leads back to a recorded decision with its rule and model version.",
                tables=("marts.fct_decisions",),
            ),
            _not_empty(
                table,
                "marts.fct_suppression_causes",
                "not exists (select 1 from raw.overrides where action = 'release')",
            ),
        ),
        next_step=FIX,
    )


def _triggers() -> Suite:
    table = "marts.fct_recovery_triggers"
    return Suite(
        "marts",
        table,
        "trigger",
        (
            *unique("trigger_id", why="The id is what keeps an apology or an offer from going out twice."),
            *not_null(
                "trigger_id",
                "customer_id",
                "kind",
                "message_class",
                "status",
                "due_at",
                "expires_at",
                why="A trigger without it cannot be sent, dated or stopped.",
            ),
            *one_of("kind", RECOVERY_KINDS, why="The platform has one flow per kind; an unknown one would start none."),
            *one_of("message_class", MESSAGE_CLASSES, why="The class decides whether consent is needed."),
            *one_of("status", TRIGGER_STATUSES, why=_KNOWN),
            *before(
                "due_at", "expires_at", why="A trigger that has expired when it falls due could only be sent too late."
            ),
        ),
        next_step=FIX,
    )


def _decisions() -> Suite:
    table = "marts.fct_decisions"
    return Suite(
        "marts",
        table,
        "decision",
        (
            *unique("decision_id", why=_GRAIN),
            *not_null(
                "decision_id",
                "customer_id",
                "action",
                "decided_at",
                "inputs_hash",
                why="A decision without it cannot be explained or replayed.",
            ),
        ),
        extra_columns=(
            "cause_id",
            "evidence",
            "model_version",
            "override_id",
            "policy_id",
            "policy_version",
            "reason_codes",
        ),
        next_step=FIX,
    )
