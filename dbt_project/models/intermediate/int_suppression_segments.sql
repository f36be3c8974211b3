{#- A customer's time in one scope, cut wherever a cause or a person's override begins or ends, with what holds in each segment. -#}
with

causes as (
    select * from {{ ref('int_causes') }}
),

policy_scopes as (
    select * from {{ ref('stg_suppression_policy_scopes') }}
),

overrides as (
    select * from {{ ref('int_overrides') }}
),

scoped_causes as (
    select
        causes.customer_id,
        policy_scopes.scope,
        causes.started_at,
        causes.ends_at
    from causes
    inner join policy_scopes
        on causes.policy_id = policy_scopes.policy_id
        and causes.policy_version = policy_scopes.policy_version
),

instants as (
    select
        customer_id,
        scope,
        started_at as instant
    from scoped_causes
    union
    select
        customer_id,
        scope,
        ends_at as instant
    from scoped_causes
    union
    select
        customer_id,
        scope,
        starts_at as instant
    from overrides
    union
    select
        customer_id,
        scope,
        ends_at as instant
    from overrides
),

cut as (
    select
        customer_id,
        scope,
        instant as segment_from,
        lead(instant) over (
            partition by customer_id, scope
            order by instant
        ) as segment_to
    from instants
),

segments as (
    select * from cut
    where segment_to is not null
),

caused as (
    select distinct
        segments.customer_id,
        segments.scope,
        segments.segment_from
    from segments
    inner join scoped_causes
        on segments.customer_id = scoped_causes.customer_id
        and segments.scope = scoped_causes.scope
        and segments.segment_from >= scoped_causes.started_at
        and segments.segment_from < scoped_causes.ends_at
),

-- Where people disagree the later decision counts; at the same instant the quiet one.
decided as (
    select
        segments.customer_id,
        segments.scope,
        segments.segment_from,
        overrides.action,
        row_number() over (
            partition by segments.customer_id, segments.scope, segments.segment_from
            order by overrides.starts_at desc, overrides.action asc, overrides.override_id asc
        ) as decision_rank
    from segments
    inner join overrides
        on segments.customer_id = overrides.customer_id
        and segments.scope = overrides.scope
        and segments.segment_from >= overrides.starts_at
        and segments.segment_from < overrides.ends_at
),

judged as (
    select
        segments.customer_id,
        segments.scope,
        segments.segment_from,
        segments.segment_to,
        decided.action as override_action,
        case decided.action when 'pause' then true when 'release' then false else caused.segment_from is not null end as is_paused
    from segments
    left join caused
        on segments.customer_id = caused.customer_id
        and segments.scope = caused.scope
        and segments.segment_from = caused.segment_from
    left join decided
        on segments.customer_id = decided.customer_id
        and segments.scope = decided.scope
        and segments.segment_from = decided.segment_from
        and decided.decision_rank = 1
)

select * from judged
