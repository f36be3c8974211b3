with

customers as (
    select * from {{ of_touched(ref('dim_customers')) }}
),

causes as (
    select * from {{ of_touched(ref('fct_suppression_causes')) }}
),

current_pass as (
    select * from {{ ref('stg_current_pass') }}
),

held as (
    select
        customer_id,
        tier,
        started_at,
        planned_end_at
    from causes
),

-- After the worst is over a customer recovers for a while before being calm: states are entered fast and left slowly.
recovering as (
    select
        customer_id,
        ended_at as recovering_from,
        {{ ts_add('ended_at', var('recovering_days'), 'days') }} as recovering_to
    from causes
    where tier >= 2 and ended_at is not null
),

first_causes as (
    select
        customer_id,
        min(started_at) as first_started_at
    from causes
    group by customer_id
),

instants as (
    select
        customers.customer_id,
        least(customers.first_seen_at, first_causes.first_started_at) as instant
    from customers
    left join first_causes on customers.customer_id = first_causes.customer_id
    union
    select
        customer_id,
        started_at as instant
    from held
    union
    select
        customer_id,
        planned_end_at as instant
    from held
    union
    select
        customer_id,
        recovering_to as instant
    from recovering
),

begun as (
    select instants.*
    from instants
    inner join current_pass on instants.instant <= current_pass.as_of
),

tiers as (
    select
        begun.customer_id,
        begun.instant,
        coalesce(max(held.tier), 0) as tier
    from begun
    left join held
        on begun.customer_id = held.customer_id
        and begun.instant >= held.started_at
        and begun.instant < held.planned_end_at
    group by begun.customer_id, begun.instant
),

still_recovering as (
    select distinct
        begun.customer_id,
        begun.instant
    from begun
    inner join recovering
        on begun.customer_id = recovering.customer_id
        and begun.instant >= recovering.recovering_from
        and begun.instant < recovering.recovering_to
),

states as (
    select
        tiers.customer_id,
        tiers.instant,
        tiers.tier,
        case
            when tiers.tier >= 3 then 'severe'
            when tiers.tier = 2 then 'negative'
            when tiers.tier = 1 then 'mild'
            when still_recovering.customer_id is not null then 'recovering'
            else 'calm'
        end as state
    from tiers
    left join still_recovering
        on tiers.customer_id = still_recovering.customer_id
        and tiers.instant = still_recovering.instant
),

compared as (
    select
        states.*,
        lag(state) over (
            partition by customer_id
            order by instant
        ) as previous_state
    from states
),

final as (
    select
        customer_id,
        state,
        tier,
        instant as valid_from,
        lead(instant) over (
            partition by customer_id
            order by instant
        ) as valid_to
    from compared
    where previous_state is null or previous_state <> state
)

select * from final
