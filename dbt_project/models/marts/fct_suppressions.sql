with

segments as (
    select * from {{ ref('int_suppression_segments') }}
),

causes as (
    select * from {{ of_touched(ref('fct_suppression_causes')) }}
),

overrides as (
    select * from {{ ref('int_overrides') }}
    where action = 'pause'
),

current_pass as (
    select * from {{ ref('stg_current_pass') }}
),

-- Segments follow one another without gaps, so a stretch of paused ones is broken only by one that is not.
numbered as (
    select
        segments.*,
        sum(case when is_paused then 0 else 1 end) over (
            partition by customer_id, scope
            order by segment_from
            rows between unbounded preceding and current row
        ) as stretch_number
    from segments
),

stretches as (
    select
        numbered.customer_id,
        numbered.scope,
        min(numbered.segment_from) as valid_from,
        max(numbered.segment_to) as ends_at
    from numbered
    where numbered.is_paused
    group by numbered.customer_id, numbered.scope, numbered.stretch_number
),

begun as (
    select stretches.*
    from stretches
    inner join current_pass on stretches.valid_from <= current_pass.as_of
),

causes_within as (
    select
        begun.customer_id,
        begun.scope,
        begun.valid_from,
        max(causes.tier) as tier,
        {{ ordered_list('causes.cause_id') }} as cause_ids
    from begun
    inner join causes
        on begun.customer_id = causes.customer_id
        and begun.ends_at > causes.started_at
        and begun.valid_from < causes.planned_end_at
    where {{ list_holds('causes.scopes', 'begun.scope') }}
    group by begun.customer_id, begun.scope, begun.valid_from
),

overrides_within as (
    select
        begun.customer_id,
        begun.scope,
        begun.valid_from,
        {{ ordered_list('overrides.override_id') }} as override_ids
    from begun
    inner join overrides
        on begun.customer_id = overrides.customer_id
        and begun.scope = overrides.scope
        and begun.ends_at > overrides.starts_at
        and begun.valid_from < overrides.ends_at
    group by begun.customer_id, begun.scope, begun.valid_from
),

final as (
    select
        begun.customer_id,
        begun.scope,
        begun.valid_from,
        case when begun.ends_at <= current_pass.as_of then begun.ends_at end as valid_to,
        begun.ends_at as planned_end_at,
        -- A person's pause says nothing about the customer's mood.
        coalesce(causes_within.tier, 0) as tier,
        coalesce(causes_within.cause_ids, '') as cause_ids,
        coalesce(overrides_within.override_ids, '') as override_ids
    from begun
    cross join current_pass
    left join causes_within
        on begun.customer_id = causes_within.customer_id
        and begun.scope = causes_within.scope
        and begun.valid_from = causes_within.valid_from
    left join overrides_within
        on begun.customer_id = overrides_within.customer_id
        and begun.scope = overrides_within.scope
        and begun.valid_from = overrides_within.valid_from
)

select * from final
