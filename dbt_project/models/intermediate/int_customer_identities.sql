with

customers as (
    select * from {{ ref('stg_customers') }}
),

-- Tickets, orders and events may name somebody whose own record has not arrived; nobody is dropped for that.
mentioned as (
    select
        customer_id,
        source,
        min(created_at) as created_at
    from {{ ref('stg_ticket_versions') }}
    group by customer_id, source
    union all
    select
        customer_id,
        source,
        min(placed_at) as created_at
    from {{ ref('stg_order_versions') }}
    group by customer_id, source
    union all
    select
        customer_id,
        source,
        min(occurred_at) as created_at
    from {{ ref('stg_marketing_events') }}
    group by customer_id, source
),

-- A version that names somebody else brings nobody into the pass who is not touched.
unrecorded as (
    select
        mentioned.customer_id,
        min(mentioned.source) as source,
        min(mentioned.created_at) as created_at
    from {{ of_touched('mentioned') }}
    left join customers on mentioned.customer_id = customers.customer_id
    where customers.customer_id is null
    group by mentioned.customer_id
),

addressed as (
    select
        customer_id as source_customer_id,
        source,
        nullif(lower(trim(email)), '') as email_address,
        created_at,
        true as is_recorded
    from customers
    union all
    select
        customer_id as source_customer_id,
        source,
        null as email_address,
        created_at,
        false as is_recorded
    from unrecorded
),

judged as (
    select
        source_customer_id,
        source,
        email_address,
        created_at,
        is_recorded,
        -- An address that several people read proves nothing about who wrote.
        coalesce(split_part(email_address, '@', 1) in (
            'abuse', 'accounts', 'admin', 'billing', 'contact', 'customerservice', 'feedback', 'finance', 'hello', 'help', 'helpdesk',
            'hr', 'info', 'invoice', 'jobs', 'mail', 'marketing', 'no-reply', 'noreply', 'office', 'orders', 'postmaster', 'press',
            'purchasing', 'returns', 'root', 'sales', 'security', 'service', 'shop', 'support', 'team', 'webmaster'
        ), false) as is_role_address,
        case source when 'files' then 1 when 'shop' then 2 when 'zendesk' then 3 when 'klaviyo' then 4 else 5 end as source_rank
    from addressed
),

keyed as (
    select
        source_customer_id,
        source,
        email_address,
        created_at,
        is_recorded,
        is_role_address,
        source_rank,
        case
            when email_address is null or is_role_address then 'id:' || source_customer_id
            else 'email:' || email_address
        end as merge_key
    from judged
),

ranked as (
    select
        source_customer_id,
        source,
        email_address,
        created_at,
        is_recorded,
        is_role_address,
        source_rank,
        count(*) over (partition by merge_key) as count_merged,
        first_value(source_customer_id) over (
            partition by merge_key
            order by source_rank, created_at, source_customer_id
            rows between unbounded preceding and unbounded following
        ) as customer_id
    from keyed
),

linked as (
    select
        source_customer_id,
        customer_id,
        source,
        source_rank,
        email_address,
        created_at,
        case
            when not is_recorded then 'unrecorded'
            when is_role_address then 'role_address'
            when email_address is null then 'no_address'
            when count_merged = 1 or source_customer_id = customer_id then 'own_record'
            else 'same_email_address'
        end as link_rule
    from ranked
)

select * from linked
