with

identities as (
    select * from {{ of_touched(ref('int_customer_identities')) }}
),

customers as (
    select * from {{ ref('stg_customer_versions') }}
    where is_latest
),

orders as (
    select * from {{ ref('stg_order_versions') }}
    where is_latest
),

current_pass as (
    select * from {{ ref('stg_current_pass') }}
),

members as (
    select
        identities.customer_id,
        identities.source_customer_id,
        identities.created_at,
        identities.email_address,
        nullif(trim(customers.phone), '') as phone,
        customers.has_email_consent,
        customers.has_sms_consent,
        -- Consent is what the marketing platform says; elsewhere it is a copy.
        row_number() over (
            partition by identities.customer_id
            order by
                case when customers.customer_id is null then 2 when identities.source = 'klaviyo' then 0 else 1 end,
                identities.source_rank asc,
                customers.updated_at desc,
                identities.source_customer_id asc
        ) as consent_rank,
        row_number() over (
            partition by identities.customer_id
            order by
                case when identities.email_address is null then 1 else 0 end, identities.source_rank, identities.source_customer_id
        ) as email_rank,
        row_number() over (
            partition by identities.customer_id
            order by
                case when nullif(trim(customers.phone), '') is null then 1 else 0 end,
                identities.source_rank,
                identities.source_customer_id
        ) as phone_rank
    from identities
    left join customers on identities.source_customer_id = customers.customer_id
),

persons as (
    select
        customer_id,
        min(created_at) as created_at,
        max(case when email_rank = 1 then email_address end) as email,
        max(case when phone_rank = 1 then phone end) as phone,
        max(case when consent_rank = 1 and has_email_consent then 1 else 0 end) = 1 as has_email_consent,
        max(case when consent_rank = 1 and has_sms_consent then 1 else 0 end) = 1 as has_sms_consent
    from members
    group by customer_id
),

order_totals as (
    select
        identities.customer_id,
        count(*) as orders_count,
        min(orders.placed_at) as first_order_at,
        sum(orders.total - orders.refunded_amount) as lifetime_value
    from orders
    inner join current_pass on orders.placed_at <= current_pass.as_of
    inner join identities on orders.customer_id = identities.source_customer_id
    group by identities.customer_id
),

first_tickets as (
    select
        identities.customer_id,
        min(tickets.created_at) as first_ticket_at
    from {{ ref('stg_ticket_versions') }} as tickets
    inner join identities on tickets.customer_id = identities.source_customer_id
    where tickets.is_latest
    group by identities.customer_id
),

joined as (
    select
        persons.customer_id,
        least(persons.created_at, order_totals.first_order_at, first_tickets.first_ticket_at, current_pass.as_of) as first_seen_at,
        persons.email,
        persons.phone,
        persons.has_email_consent,
        persons.has_sms_consent,
        coalesce(order_totals.orders_count, 0) as orders_count,
        coalesce(cast(order_totals.lifetime_value as {{ type_f64() }}), 0) as lifetime_value
    from persons
    cross join current_pass
    left join order_totals on persons.customer_id = order_totals.customer_id
    left join first_tickets on persons.customer_id = first_tickets.customer_id
)

select * from joined
