with

triggers as (
    select * from {{ ref('int_trigger_budgets') }}
),

current_pass as (
    select * from {{ ref('stg_current_pass') }}
),

judged as (
    select
        triggers.*,
        case
            when is_sent then null
            when cancel_reason is not null then cancel_reason
            when block_reason is not null then block_reason
            when not is_allowed then 'allowance_used'
            when place_in_day > budget_per_day then 'daily_budget_spent'
            when place_in_month > budget_per_month then 'monthly_budget_spent'
            when expires_at <= current_pass.as_of then 'not_sent_in_time'
        end as reason,
        expires_at <= current_pass.as_of as is_past
    from triggers
    cross join current_pass
),

final as (
    select
        trigger_id,
        customer_id,
        kind,
        message_class,
        cause_id,
        shipment_id,
        due_at,
        expires_at,
        case
            when is_sent then 'sent'
            when cancel_reason is not null then 'cancelled'
            when reason is null then 'due'
            when reason = 'not_sent_in_time' then 'expired'
            else 'blocked'
        end as status,
        reason as status_reason,
        policy_id,
        policy_version,
        trigger_event,
        ticket_id,
        order_id,
        offer,
        base_at,
        sent_at,
        place_in_day,
        place_in_month
    from judged
)

select * from final
