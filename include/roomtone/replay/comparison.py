"""Counts what two replays differ in, in the scratch warehouse that holds both: `current` and `marts`."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import duckdb

from roomtone.contract import RECOVERY_KINDS, SCOPES, TIERS
from roomtone.policies.guardrails import Guardrails
from roomtone.policies.recovery import RecoveryRule
from roomtone.replay.difference import Hours, Owed, Pauses, Sends

CURRENT, CANDIDATE = "current_policies", "marts"
_TABLES = ("fct_suppression_causes", "fct_suppressions", "fct_recovery_triggers", "dim_customers")

# Rules number a cause by its start; here two causes of one rule on one subject are one if they overlap.
_PAUSES = """
with causes as (
    select '{current}' as side, * from {current}.fct_suppression_causes
    where started_at < $to_at and planned_end_at > $from_at
    union all
    select '{candidate}' as side, * from {candidate}.fct_suppression_causes
    where started_at < $to_at and planned_end_at > $from_at
),

counterparts as (
    select
        mine.side,
        mine.cause_id,
        mine.customer_id,
        mine.tier,
        max(case when yours.cause_id is not null then 1 else 0 end) = 1 as has_counterpart,
        max(
            case when mine.started_at = yours.started_at and mine.planned_end_at = yours.planned_end_at
                and mine.scopes = yours.scopes and mine.tier = yours.tier then 1 else 0 end
        ) = 1 as is_same
    from causes as mine
    left join causes as yours
        on mine.policy_id = yours.policy_id
        and mine.subject_kind = yours.subject_kind
        and mine.subject_id = yours.subject_id
        and mine.side <> yours.side
        and mine.started_at < yours.planned_end_at
        and mine.planned_end_at > yours.started_at
    group by mine.side, mine.cause_id, mine.customer_id, mine.tier
)

select
    tier,
    sum(case when side = '{current}' then 1 else 0 end) as current,
    sum(case when side = '{candidate}' then 1 else 0 end) as candidate,
    sum(case when side = '{candidate}' and not has_counterpart then 1 else 0 end) as added,
    sum(case when side = '{current}' and not has_counterpart then 1 else 0 end) as removed,
    sum(case when side = '{candidate}' and has_counterpart and not is_same then 1 else 0 end) as changed,
    count(distinct case when not is_same then customer_id end) as customers
from counterparts
group by tier
order by tier
"""

# Intervals of one side never overlap, so what both pause is the sum of the pairwise overlaps.
_HOURS = """
with current_intervals as (
    select customer_id, scope, greatest(valid_from, $from_at) as starts_at, least(planned_end_at, $to_at) as ends_at
    from {current}.fct_suppressions
    where valid_from < $to_at and planned_end_at > $from_at
),

candidate_intervals as (
    select customer_id, scope, greatest(valid_from, $from_at) as starts_at, least(planned_end_at, $to_at) as ends_at
    from {candidate}.fct_suppressions
    where valid_from < $to_at and planned_end_at > $from_at
),

measured as (
    select scope, epoch(ends_at) - epoch(starts_at) as current, 0 as candidate, 0 as shared from current_intervals
    union all
    select scope, 0 as current, epoch(ends_at) - epoch(starts_at) as candidate, 0 as shared from candidate_intervals
    union all
    select
        one.scope,
        0 as current,
        0 as candidate,
        epoch(least(one.ends_at, other.ends_at)) - epoch(greatest(one.starts_at, other.starts_at)) as shared
    from current_intervals as one
    inner join candidate_intervals as other
        on one.customer_id = other.customer_id
        and one.scope = other.scope
        and one.starts_at < other.ends_at
        and one.ends_at > other.starts_at
)

select
    scope,
    sum(current) / 3600 as current,
    sum(candidate) / 3600 as candidate,
    (sum(candidate) - sum(shared)) / 3600 as added,
    (sum(current) - sum(shared)) / 3600 as removed
from measured
group by scope
"""

# A platform may tell of sends and of deliveries: of a campaign's events one type counts, `sent` where it occurs.
# A campaign without a scope counts in every scope of its channel.
_SENDS = """
with campaigns as (
    select id as campaign_id, scope, channel
    from raw.campaigns
    where version_at <= $to_at
    qualify row_number() over (partition by id order by version_at desc, record_hash desc) = 1
),

events as (
    select distinct id, customer_id, campaign_id, type, occurred_at
    from raw.marketing_events
    where type in ('sent', 'delivered') and occurred_at >= $from_at and occurred_at < $to_at
),

sends as (
    select events.id, events.customer_id, events.occurred_at, campaigns.scope, campaigns.channel
    from events
    inner join campaigns on events.campaign_id = campaigns.campaign_id
    where
        coalesce(campaigns.scope, '') <> 'transactional'
        and (
            events.type = 'sent'
            or not exists (
                select 1 from events as others where others.campaign_id = events.campaign_id and others.type = 'sent'
            )
        )
),

scoped as (
    select sends.id, identities.customer_id, sends.occurred_at, scopes.scope
    from sends
    inner join intermediate.int_customer_identities as identities
        on sends.customer_id = identities.source_customer_id
    inner join (select unnest($scopes) as scope) as scopes
        on sends.scope = scopes.scope
        or (sends.channel = 'sms' and scopes.scope = 'sms')
        or (sends.scope is null and sends.channel <> 'sms' and scopes.scope <> 'sms')
),

met as (
    select
        scoped.id,
        scoped.customer_id,
        max(case when now_paused.customer_id is not null then 1 else 0 end) = 1 as is_paused_now,
        max(case when then_paused.customer_id is not null then 1 else 0 end) = 1 as is_paused_then
    from scoped
    left join {current}.fct_suppressions as now_paused
        on scoped.customer_id = now_paused.customer_id
        and scoped.scope = now_paused.scope
        and scoped.occurred_at >= now_paused.valid_from
        and scoped.occurred_at < now_paused.planned_end_at
    left join {candidate}.fct_suppressions as then_paused
        on scoped.customer_id = then_paused.customer_id
        and scoped.scope = then_paused.scope
        and scoped.occurred_at >= then_paused.valid_from
        and scoped.occurred_at < then_paused.planned_end_at
    group by scoped.id, scoped.customer_id
)

select
    count(*) as total,
    count(case when is_paused_then and not is_paused_now then 1 end) as stopped,
    count(distinct case when is_paused_then and not is_paused_now then customer_id end) as stopped_customers,
    count(case when is_paused_now and not is_paused_then then 1 end) as released,
    count(distinct case when is_paused_now and not is_paused_then then customer_id end) as released_customers
from met
"""

# Nothing was sent in either replay, so what was due and could leave is `due` still, or `expired` by now.
_OWED = """
with owed as (
    select '{current}' as side, trigger_id, customer_id, kind, policy_id from {current}.fct_recovery_triggers
    where status in ('due', 'expired') and due_at >= $from_at and due_at < $to_at
    union all
    select '{candidate}' as side, trigger_id, customer_id, kind, policy_id from {candidate}.fct_recovery_triggers
    where status in ('due', 'expired') and due_at >= $from_at and due_at < $to_at
),

paired as (
    select owed.*, count(*) over (partition by trigger_id) = 2 as is_in_both from owed
)

select
    kind,
    policy_id,
    sum(case when side = '{current}' then 1 else 0 end) as current,
    sum(case when side = '{candidate}' then 1 else 0 end) as candidate,
    sum(case when side = '{candidate}' and not is_in_both then 1 else 0 end) as added,
    sum(case when side = '{current}' and not is_in_both then 1 else 0 end) as removed,
    count(distinct case when not is_in_both then customer_id end) as customers
from paired
group by kind, policy_id
order by kind, policy_id
"""

_NEWLY_PAUSED = """
select count(distinct customer_id) as customers
from {candidate}.fct_suppressions
where
    valid_from <= $to_at and planned_end_at > $to_at
    and customer_id not in (
        select customer_id from {current}.fct_suppressions where valid_from <= $to_at and planned_end_at > $to_at
    )
"""

_BUSIEST_DAY = """
select cast(due_at as date) as day, count(*) as offers
from {candidate}.fct_recovery_triggers
where status in ('due', 'expired') and message_class = 'marketing' and due_at >= $from_at and due_at < $to_at
group by day
order by offers desc, day
limit 1
"""

_BEGINNING = datetime(1, 1, 1)  # noqa: DTZ001 -- the warehouse holds UTC without zone


class Comparison:
    """The two replays in one open warehouse, within `[from_at, to_at)`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, from_at: datetime | None, to_at: datetime) -> None:
        self._connection = connection
        self._window = {"from_at": _naive(from_at) if from_at else _BEGINNING, "to_at": _naive(to_at)}

    def customers(self) -> int:
        return int(self._rows("select count(*) as customers from {candidate}.dim_customers")[0]["customers"])

    def pauses(self) -> dict[int, Pauses]:
        found = {int(row.pop("tier")): Pauses(**row) for row in self._rows(_PAUSES)}
        return {tier: found.get(tier, Pauses()) for tier in TIERS if tier > 0}

    def hours(self) -> dict[str, Hours]:
        found = {row.pop("scope"): Hours(**row) for row in self._rows(_HOURS)}
        return {scope: found.get(scope, Hours()) for scope in SCOPES}

    def sends(self) -> Sends:
        return Sends(**self._rows(_SENDS, scopes=list(SCOPES))[0])

    def owed(self, current: Iterable[RecoveryRule], candidates: Iterable[RecoveryRule]) -> dict[str, Owed]:
        """What is owed by kind, an offer priced by the rule that owes it."""
        by_kind: dict[str, list[dict[str, Any]]] = {}
        for row in self._rows(_OWED):
            by_kind.setdefault(row["kind"], []).append(row)
        prices = {rule.id: rule for rule in current}, {rule.id: rule for rule in candidates}
        totals = {}
        for kind in RECOVERY_KINDS:
            rows = by_kind.get(kind, [])
            counts = {
                name: sum(int(row[name]) for row in rows)
                for name in ("current", "candidate", "added", "removed", "customers")
            }
            costs = [_cost(rows, side, rules) for side, rules in zip(("current", "candidate"), prices, strict=True)]
            totals[kind] = Owed(**counts, current_cost=costs[0], candidate_cost=costs[1])
        return totals

    def breaches(self, guardrails: Guardrails) -> tuple[str, ...]:
        """One line for each guardrail that would hold what the candidates decide."""
        lines = []
        newly = int(self._rows(_NEWLY_PAUSED)[0]["customers"])
        guard, everybody = guardrails.newly_paused, self.customers()
        allowed = max(guard.floor_customers, int(guard.max_share * everybody))
        if newly > allowed:
            lines.append(
                f"{guard.id} holds more than {allowed} newly paused customers in one run; published now, these policies"
                f" would pause {newly} of {everybody}: narrow the rule, or have a person let the run go"
            )
        busiest = self._rows(_BUSIEST_DAY)
        if busiest and int(busiest[0]["offers"]) > guardrails.offers.max_per_day:
            lines.append(
                f"{guardrails.offers.id} lets {guardrails.offers.max_per_day} offers leave a day; on"
                f" {busiest[0]['day']} {busiest[0]['offers']} would be owed: lower the budgets, or raise the guardrail"
            )
        return tuple(lines)

    def _rows(self, sql: str, **more: object) -> list[dict[str, Any]]:
        parameters = {name: value for name, value in (self._window | more).items() if f"${name}" in sql}
        result = self._connection.execute(sql.format(current=CURRENT, candidate=CANDIDATE), parameters)
        names = [column[0] for column in result.description or []]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def keep_current(connection: duckdb.DuckDBPyConnection) -> None:
    """Keep the marts just built as those of the current policies, before others are built in their place."""
    connection.execute(f"create or replace schema {CURRENT}")
    for table in _TABLES:
        connection.execute(f"create table {CURRENT}.{table} as select * from {CANDIDATE}.{table}")  # noqa: S608


def _cost(rows: list[dict[str, Any]], side: str, rules: Mapping[str, RecoveryRule]) -> float | None:
    total = 0.0
    for row in rows:
        rule = rules.get(row["policy_id"])
        if not row[side] or rule is None or rule.offer is None:
            continue
        if rule.offer_value is None:
            return None
        total += int(row[side]) * rule.offer_value
    return total


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)
