{#- How the live conversations lie on the agents: a ticket weighs by its tier, so that ten severe ones are not ten questions. -#}
with

tickets as (
    select * from {{ ref('fct_tickets') }}
    where is_live and assignee_id is not null
),

loads as (
    select
        assignee_id as agent_id,
        count(*) as live_tickets,
        sum(case when current_tier >= 2 then 1 else 0 end) as upset_tickets,
        sum(case current_tier when 3 then 5.0 when 2 then 3.0 when 1 then 1.5 else 1.0 end) as emotional_load
    from tickets
    group by assignee_id
),

averages as (
    select avg(emotional_load) as mean_load
    from loads
),

final as (
    select
        loads.agent_id,
        loads.live_tickets,
        cast(loads.upset_tickets as bigint) as upset_tickets,
        cast(loads.emotional_load as {{ type_f64() }}) as emotional_load,
        cast(averages.mean_load as {{ type_f64() }}) as mean_load,
        cast(loads.emotional_load / averages.mean_load as {{ type_f64() }}) as load_to_mean
    from loads
    cross join averages
)

select * from final
