"""Marts out, the activations: what must hold of the four tables that destinations are brought to."""

# ruff: noqa: S608 - every name in a query is a constant of this package

from roomtone.contract import MESSAGE_CLASSES, RECOVERY_KINDS, SCOPES, TIERS
from roomtone.validate.mart_suites import ACTIVE, FIX, KEY, TIER
from roomtone.validate.rules import ROWS, Suite, before, between, counted, not_null, one_of, unique

PRIORITIES = ("low", "normal", "high", "urgent")

_PAUSES = tuple(f"roomtone_pause_{scope}" for scope in SCOPES)
_SENT_TWICE = "A row that occurs twice would be sent twice, or flip between two values."


def activation_suites() -> tuple[Suite, ...]:
    """The suites of the activations; a table of theirs that is missing makes the pass invalid."""
    return (_segment(), _profile_properties(), _ticket_routing(), _recovery_events())


def _segment() -> Suite:
    table = "activations.sync_suppression_segment"
    active = f"select customer_id, scope from marts.fct_suppressions where {ACTIVE}"
    return Suite(
        "marts",
        table,
        "customer x scope that must be quiet now",
        (
            *unique("customer_id", "scope", why=_SENT_TWICE),
            *not_null(
                "customer_id",
                "scope",
                "since_at",
                "until_at",
                why="A pause is sent together with its end, or not at all.",
            ),
            *one_of(
                "scope",
                SCOPES,
                why="Only these scopes have a property on the platform; any other pause would never arrive.",
            ),
            *before("since_at", "until_at", why="A pause that ends before it starts is over before it arrives."),
        ),
        (
            counted(
                "rows that differ from the active suppressions",
                f"""
                select count(*) from (
                    ({active} except select customer_id, scope from {table})
                    union all
                    (select customer_id, scope from {table} except {active})
                )
                """,
                why="What is sent must be what was decided, no more and no less.",
                tables=("marts.fct_suppressions",),
            ),
            counted(
                "pauses that are over already",
                f"select count(*) from {table} where until_at <= $as_of",
                why="Staleness never extends a pause.",
                columns=("until_at",),
            ),
        ),
        next_step=FIX,
    )


def _profile_properties() -> Suite:
    table = "activations.sync_profile_properties"
    any_pause = " or ".join(_PAUSES)
    booleans = " union all ".join(
        f"select customer_id, '{scope}' as scope from {table} where roomtone_pause_{scope}" for scope in SCOPES
    )
    segment = "activations.sync_suppression_segment"
    return Suite(
        "marts",
        table,
        "customer",
        (
            *unique("customer_id", why=_SENT_TWICE),
            *not_null("customer_id", why=KEY),
            *not_null(
                *_PAUSES, why="True or false and never absent: a platform treats a missing property its own way."
            ),
            *not_null("roomtone_tier", why=TIER),
            *between("roomtone_tier", min(TIERS), max(TIERS), why=TIER),
        ),
        (
            counted(
                "paused profiles without an end in the future",
                f"select count(*) from {table} where ({any_pause})"
                " and coalesce(roomtone_pause_until, $as_of) <= $as_of",
                why="The date is the dead man's switch: without it a pause would outlive roomtone.",
                columns=("roomtone_pause_until",),
            ),
            counted(
                "pause properties that differ from the segment",
                f"""
                select count(*) from (
                    (({booleans}) except select customer_id, scope from {segment})
                    union all
                    (select customer_id, scope from {segment} except ({booleans}))
                )
                """,
                why="Two places that tell different pauses would leave the platform with one of them at random.",
                tables=(segment,),
            ),
            counted(
                "e-mail addresses that several profiles share",
                f"""
                select count(*) - count(distinct address)
                from (select lower(trim(email)) as address from {table} where trim(email) <> '')
                where address in (select lower(trim(email)) from {ROWS})
                """,
                why="The platform knows one profile per address, so the rows would overwrite each other.",
                columns=("email",),
                severity="warning",
            ),
        ),
        extra_columns=("phone", "roomtone_reason"),
        next_step=FIX,
    )


def _ticket_routing() -> Suite:
    table = "activations.sync_ticket_routing"
    return Suite(
        "marts",
        table,
        "live ticket",
        (
            *unique("ticket_id", why=_SENT_TWICE),
            *not_null("ticket_id", "priority", "queue", why="A ticket without a queue is a ticket that nobody reads."),
            *one_of("priority", PRIORITIES, why="The helpdesk refuses any other priority."),
        ),
        (
            counted(
                "tickets that are not live",
                f"select count(*) from {table} as routing where not exists (select 1 from marts.fct_tickets as ticket"
                " where ticket.ticket_id = routing.ticket_id and ticket.is_live)",
                why="Routing a ticket that is solved or closed reopens it or is refused.",
                tables=("marts.fct_tickets",),
            ),
            counted(
                "live tickets that are left out",
                "select count(*) from marts.fct_tickets as ticket where ticket.is_live"
                f" and not exists (select 1 from {table} as routing where routing.ticket_id = ticket.ticket_id)",
                why="Routing fails open: no live ticket is lost.",
                tables=("marts.fct_tickets",),
                severity="warning",
            ),
        ),
        extra_columns=("source", "tags"),
        next_step=FIX,
    )


def _recovery_events() -> Suite:
    table = "activations.sync_recovery_events"
    return Suite(
        "marts",
        table,
        "trigger to send",
        (
            *unique("trigger_id", why=_SENT_TWICE),
            *not_null(
                "trigger_id",
                "customer_id",
                "kind",
                "message_class",
                "due_at",
                "expires_at",
                "payload",
                why="An event without it cannot be sent, dated or stopped.",
            ),
            *one_of("kind", RECOVERY_KINDS, why="The platform has one flow per kind; an unknown one would start none."),
            *one_of("message_class", MESSAGE_CLASSES, why="The class decides whether consent is needed."),
        ),
        (
            counted(
                "events outside their time",
                f"select count(*) from {table} where due_at > $as_of or expires_at <= $as_of",
                why="A late apology or offer is tone-deaf; one that is early was not decided yet.",
                columns=("due_at", "expires_at"),
            ),
            counted(
                "events that are not a due trigger",
                f"select count(*) from {table} as event"
                " where not exists (select 1 from marts.fct_recovery_triggers as trigger"
                " where trigger.trigger_id = event.trigger_id and trigger.status = 'due')",
                why="A trigger that was held out, blocked, cancelled or already sent must not go out.",
                tables=("marts.fct_recovery_triggers",),
            ),
            counted(
                "payloads that are not JSON",
                f"select count(*) from {table} where not json_valid(payload)",
                why="The platform would refuse the event.",
                columns=("payload",),
            ),
            counted(
                "marketing events for customers without consent",
                f"select count(*) from {table} as event join marts.dim_customers as customer using (customer_id)"
                " where event.message_class = 'marketing'"
                " and not (customer.has_email_consent or customer.has_sms_consent)",
                why="An offer without consent is against the law.",
                columns=("message_class",),
                tables=("marts.dim_customers",),
            ),
        ),
        extra_columns=("email",),
        next_step=FIX,
    )
