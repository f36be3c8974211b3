with

triggers as (
    select * from {{ ref('fct_recovery_triggers') }}
    where status = 'due'
),

customers as (
    select * from {{ ref('int_customers') }}
),

final as (
    select
        triggers.trigger_id,
        triggers.customer_id,
        customers.email,
        triggers.kind,
        triggers.message_class,
        triggers.due_at,
        triggers.expires_at,
        {{ json_object([
            ('kind', 'triggers.kind', 'text'),
            ('offer', 'triggers.offer', 'text'),
            ('cause_id', 'triggers.cause_id', 'text'),
            ('ticket_id', 'triggers.ticket_id', 'text'),
            ('order_id', 'triggers.order_id', 'text'),
            ('shipment_id', 'triggers.shipment_id', 'text'),
            ('policy_id', 'triggers.policy_id', 'text'),
            ('policy_version', 'triggers.policy_version', 'number'),
        ]) }} as payload
    from triggers
    left join customers on triggers.customer_id = customers.customer_id
)

select * from final
