{#- Everything a recovery rule might owe a customer, each dated by the event that called for it. A candidate exists from `due_at` on. -#}
with

causes as (
    select * from {{ of_touched(ref('fct_suppression_causes')) }}
),

resolutions as (
    select
        cause_id,
        resolved_at
    from {{ ref('int_causes') }}
),

policies as (
    select * from {{ ref('stg_recovery_policies') }}
),

tickets as (
    select * from {{ of_touched(ref('int_ticket_activity')) }}
),

closings as (
    select * from {{ ref('int_ticket_closings') }}
    where closing = 'stopped'
),

routing_outcomes as (
    select * from {{ ref('stg_routing_outcomes') }}
),

current_pass as (
    select * from {{ ref('stg_current_pass') }}
),

started as (
    select
        'cause_started' as trigger_event,
        cause_id,
        started_at as base_at,
        tier
    from causes
),

became_severe as (
    select
        'severe_state' as trigger_event,
        cause_id,
        started_at as base_at,
        tier
    from causes
    where tier >= 3
),

stalled as (
    select
        'shipment_stalled' as trigger_event,
        cause_id,
        started_at as base_at,
        tier
    from (
        select
            cause_id,
            tier,
            started_at,
            row_number() over (
                partition by shipment_id
                order by started_at, cause_id
            ) as stall_rank
        from causes
        where start_condition = 'shipment_stalled'
    ) as stalls
    where stall_rank = 1
),

-- Once the ticket has stayed closed for the cool-off and the pause is over; a person's release or a deletion settles nothing.
resolved as (
    select
        'ticket_resolved' as trigger_event,
        causes.cause_id,
        greatest(causes.planned_end_at, resolutions.resolved_at) as base_at,
        causes.tier
    from causes
    inner join resolutions on causes.cause_id = resolutions.cause_id
    where
        causes.ticket_id is not null
        and causes.planned_end_reason in ('resolved', 'relieved', 'expired')
        and resolutions.resolved_at is not null
),

-- Instants at which no cause of the customer lasts any more; of causes that end together the worst stands for them.
last_causes as (
    select
        causes.customer_id,
        causes.cause_id,
        causes.planned_end_at as freed_at,
        lag(causes.planned_end_at) over (
            partition by causes.customer_id
            order by causes.planned_end_at
        ) as previous_freed_at
    from causes
    left join causes as others
        on causes.customer_id = others.customer_id
        and causes.cause_id <> others.cause_id
        and causes.planned_end_at >= others.started_at
        and (
            causes.planned_end_at < others.planned_end_at
            or (
                causes.planned_end_at = others.planned_end_at
                and (causes.tier < others.tier or (causes.tier = others.tier and causes.cause_id > others.cause_id))
            )
        )
    where others.cause_id is null
),

freed as (
    select
        'suppression_ended' as trigger_event,
        last_causes.cause_id,
        last_causes.freed_at as base_at,
        max(causes.tier) as tier
    from last_causes
    inner join causes
        on last_causes.customer_id = causes.customer_id
        and last_causes.freed_at >= causes.planned_end_at
        and (last_causes.previous_freed_at is null or last_causes.previous_freed_at < causes.planned_end_at)
    group by last_causes.cause_id, last_causes.freed_at
),

routed as (
    select
        'ticket_routed' as trigger_event,
        causes.cause_id,
        min(routing_outcomes.acknowledged_at) as base_at,
        causes.tier
    from causes
    inner join routing_outcomes
        on causes.ticket_id = routing_outcomes.ticket_id
        and causes.started_at <= routing_outcomes.acknowledged_at
    group by causes.cause_id, causes.tier
),

events as (
    select * from started
    union all
    select * from became_severe
    union all
    select * from stalled
    union all
    select * from resolved
    union all
    select * from freed
    union all
    select * from routed
),

matched as (
    select
        policies.kind,
        policies.message_class,
        policies.policy_id,
        policies.policy_version,
        policies.trigger_event,
        policies.min_tier,
        policies.requires_fact,
        policies.consent,
        policies.cooldown_days,
        policies.max_per_customer,
        policies.budget_per_day,
        policies.budget_per_month,
        policies.offer,
        causes.cause_id,
        causes.customer_id,
        causes.ticket_id,
        causes.shipment_id,
        events.tier,
        causes.started_at,
        causes.planned_end_at,
        events.base_at,
        {{ ts_add('events.base_at', 'policies.wait_hours') }} as due_at,
        {{ ts_add('events.base_at', 'policies.wait_hours + policies.expires_after_hours') }} as expires_at
    from events
    inner join causes on events.cause_id = causes.cause_id
    inner join policies
        on events.trigger_event = policies.trigger_event
        and events.tier >= policies.min_tier
        and (policies.applies_from is null or events.base_at >= policies.applies_from)
        and (policies.applies_to is null or events.base_at < policies.applies_to)
),

keyed as (
    select
        {{ hash_key(['kind', "case when trigger_event = 'shipment_stalled' then shipment_id else cause_id end"]) }} as trigger_id,
        matched.*,
        row_number() over (
            partition by kind, case when trigger_event = 'shipment_stalled' then shipment_id else cause_id end
            order by due_at, policy_id, policy_version
        ) as rule_rank
    from matched
),

existing as (
    select keyed.*
    from keyed
    inner join current_pass on keyed.due_at <= current_pass.as_of
    where keyed.rule_rank = 1
),

-- On shifts, not on levels: who was that upset already is not newly upset.
already_upset as (
    select distinct existing.trigger_id
    from existing
    inner join causes as earlier
        on existing.customer_id = earlier.customer_id
        and existing.min_tier <= earlier.tier
        and existing.started_at < earlier.planned_end_at
        and (
            existing.started_at > earlier.started_at
            or (existing.started_at = earlier.started_at and existing.cause_id > earlier.cause_id)
        )
    where existing.trigger_event in ('cause_started', 'severe_state', 'ticket_routed')
),

verified_facts as (
    select distinct existing.trigger_id
    from existing
    inner join causes as facts
        on existing.customer_id = facts.customer_id
        and existing.due_at > facts.started_at
        and existing.started_at < facts.planned_end_at
        and facts.start_condition in ('shipment_stalled', 'shipment_late', 'refund')
),

lasting_ticket_causes as (
    select distinct existing.trigger_id
    from existing
    inner join causes as lasting
        on existing.customer_id = lasting.customer_id
        and lasting.ticket_id is not null
        and existing.due_at >= lasting.started_at
        and existing.due_at < lasting.planned_end_at
),

reopened as (
    select
        existing.trigger_id,
        min(closings.next_live_at) as reopened_at
    from existing
    inner join closings
        on existing.ticket_id = closings.ticket_id
        and existing.base_at <= closings.next_live_at
        and existing.expires_at > closings.next_live_at
    where existing.trigger_event = 'ticket_resolved'
    group by existing.trigger_id
),

upset_again as (
    select
        existing.trigger_id,
        min(later.started_at) as upset_again_at
    from existing
    inner join causes as later
        on existing.customer_id = later.customer_id
        and existing.base_at <= later.started_at
        and existing.expires_at > later.started_at
        and later.ticket_id is not null
    where existing.trigger_event in ('ticket_resolved', 'suppression_ended', 'shipment_stalled')
    group by existing.trigger_id
),

joined as (
    select
        existing.trigger_id,
        existing.customer_id,
        existing.kind,
        existing.message_class,
        existing.policy_id,
        existing.policy_version,
        existing.trigger_event,
        existing.cause_id,
        existing.ticket_id,
        existing.shipment_id,
        tickets.order_id,
        existing.tier,
        existing.offer,
        existing.consent,
        existing.cooldown_days,
        existing.max_per_customer,
        existing.budget_per_day,
        existing.budget_per_month,
        existing.requires_fact,
        existing.base_at,
        existing.due_at,
        existing.expires_at,
        already_upset.trigger_id is not null as was_upset_already,
        verified_facts.trigger_id is not null as has_verified_fact,
        lasting_ticket_causes.trigger_id is not null as has_lasting_ticket_cause,
        reopened.reopened_at,
        upset_again.upset_again_at,
        existing.trigger_event in ('cause_started', 'severe_state', 'ticket_routed')
        and existing.planned_end_at <= existing.due_at as is_over_before_due
    from existing
    left join tickets on existing.ticket_id = tickets.ticket_id
    left join already_upset on existing.trigger_id = already_upset.trigger_id
    left join verified_facts on existing.trigger_id = verified_facts.trigger_id
    left join lasting_ticket_causes on existing.trigger_id = lasting_ticket_causes.trigger_id
    left join reopened on existing.trigger_id = reopened.trigger_id
    left join upset_again on existing.trigger_id = upset_again.trigger_id
)

select * from joined
