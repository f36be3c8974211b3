with

tickets as (
    select * from {{ ref('fct_tickets') }}
    where is_live and queue is not null
),

final as (
    select
        ticket_id,
        source,
        priority,
        queue,
        case when current_tier >= 2 then 'roomtone_negative_sentiment,' else '' end
        || 'roomtone_tier_' || cast(current_tier as {{ type_text() }})
        || case when urgency = 'high' then ',roomtone_urgency_high' else '' end
        || case when has_waited_too_long then ',roomtone_waited_long' else '' end as tags
    from tickets
)

select * from final
