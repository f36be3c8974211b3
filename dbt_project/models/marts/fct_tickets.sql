with

-- Waiting raises a live ticket's priority from pass to pass, whoever is touched.
tickets as (
    select * from {{ of_touched(ref('int_ticket_activity'), or_where='is_live') }}
),

ticket_tiers as (
    select * from {{ ref('int_ticket_tiers') }}
),

-- An outer join would read every customer there is.
customers as (
    select *
    from {{ ref('dim_customers') }}
    where customer_id in (select tickets.customer_id from tickets)
),

policies as (
    select * from {{ ref('stg_routing_policies') }}
),

queues as (
    select * from {{ ref('stg_routing_queues') }}
),

current_pass as (
    select * from {{ ref('stg_current_pass') }}
),

policy_in_force as (
    select ranked.*
    from (
        select
            policies.*,
            row_number() over (
                order by policies.policy_id asc, policies.policy_version desc
            ) as policy_rank
        from policies
        cross join current_pass
        where
            (policies.applies_from is null or policies.applies_from <= current_pass.as_of)
            and (policies.applies_to is null or policies.applies_to > current_pass.as_of)
    ) as ranked
    where ranked.policy_rank = 1
),

weighed as (
    select
        tickets.ticket_id,
        tickets.customer_id,
        tickets.source,
        tickets.channel,
        tickets.status,
        tickets.order_id,
        tickets.assignee_id,
        tickets.merged_into,
        tickets.is_live,
        tickets.created_at,
        tickets.first_reply_at,
        tickets.resolved_at,
        tickets.count_reopens,
        tickets.count_reassignments,
        tickets.urgency_rank,
        tickets.urgency_score,
        tickets.intent,
        tickets.sentiment,
        coalesce(ticket_tiers.tier, 0) as tier,
        coalesce(ticket_tiers.current_tier, 0) as current_tier,
        coalesce(customers.lifetime_value, 0) as lifetime_value,
        coalesce(customers.churn_risk, 0) as churn_risk,
        case
            when tickets.is_live and tickets.waiting_since_at is not null
                then {{ hours_between('tickets.waiting_since_at', 'current_pass.as_of') }}
            else 0
        end as waiting_hours
    from tickets
    cross join current_pass
    left join ticket_tiers on tickets.ticket_id = ticket_tiers.ticket_id
    left join customers on tickets.customer_id = customers.customer_id
),

scored as (
    select
        weighed.*,
        policy_in_force.policy_id,
        policy_in_force.policy_version,
        weighed.is_live
        and weighed.current_tier = 0
        and weighed.waiting_hours >= policy_in_force.calm_max_wait_hours as has_waited_too_long,
        policy_in_force.tier_weight
        + policy_in_force.urgency_weight
        + policy_in_force.value_weight
        + policy_in_force.waiting_weight as highest_score,
        policy_in_force.tier_weight * weighed.current_tier / 3.0
        + policy_in_force.urgency_weight * coalesce(weighed.urgency_score, 0)
        + policy_in_force.value_weight
        * least(weighed.lifetime_value / policy_in_force.value_cap, 1)
        * coalesce(least(weighed.churn_risk / policy_in_force.risk_cap, 1), 1)
        + policy_in_force.waiting_weight * least(weighed.waiting_hours / policy_in_force.waiting_cap_hours, 1) as weighed_score,
        {{ ts_add(
            'weighed.created_at',
            'case weighed.tier when 3 then policy_in_force.sla_hours_tier_3 when 2 then policy_in_force.sla_hours_tier_2'
            ~ ' when 1 then policy_in_force.sla_hours_tier_1 else policy_in_force.sla_hours_tier_0 end'
        ) }} as sla_due_at
    from weighed
    left join policy_in_force on true
),

fitting_queues as (
    select
        scored.ticket_id,
        queues.queue,
        queues.priority,
        row_number() over (
            partition by scored.ticket_id
            order by queues.position
        ) as queue_rank
    from scored
    inner join queues
        on scored.policy_id = queues.policy_id
        and scored.policy_version = queues.policy_version
        and scored.current_tier >= coalesce(queues.min_tier, 0)
        and (
            queues.urgency is null
            or coalesce(scored.urgency_rank, 0) >= case queues.urgency when 'high' then 2 when 'normal' then 1 else 0 end
        )
        and (queues.intents is null or {{ list_holds('queues.intents', 'scored.intent') }})
),

final as (
    select
        scored.ticket_id,
        scored.customer_id,
        scored.status,
        scored.tier,
        -- The bound on a calm customer's wait: past it the ticket goes before everything else.
        cast(
            case
                when not scored.is_live then 0
                when scored.has_waited_too_long then scored.highest_score
                else coalesce(scored.weighed_score, 0)
            end as {{ type_f64() }}
        ) as priority_score,
        fitting_queues.queue,
        case
            when scored.first_reply_at is not null then {{ minutes_between('scored.created_at', 'scored.first_reply_at') }}
        end as first_reply_time_minutes,
        case
            when scored.resolved_at is not null then {{ minutes_between('scored.created_at', 'scored.resolved_at') }}
        end as final_resolution_minutes,
        scored.count_reopens,
        scored.count_reassignments,
        scored.sla_due_at,
        scored.source,
        scored.channel,
        scored.order_id,
        scored.merged_into,
        scored.is_live,
        scored.current_tier,
        case
            when scored.has_waited_too_long and fitting_queues.priority in ('low', 'normal') then 'high'
            else fitting_queues.priority
        end as priority,
        case scored.urgency_rank when 2 then 'high' when 1 then 'normal' when 0 then 'low' end as urgency,
        scored.intent,
        scored.sentiment,
        coalesce(scored.has_waited_too_long, false) as has_waited_too_long,
        cast(scored.waiting_hours as {{ type_f64() }}) as waiting_hours,
        scored.policy_id,
        scored.policy_version,
        scored.created_at,
        scored.assignee_id
    from scored
    left join fitting_queues on scored.ticket_id = fitting_queues.ticket_id and fitting_queues.queue_rank = 1
)

select * from final
