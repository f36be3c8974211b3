{#-
    Which records are one person. Records that have, or ever had, one e-mail address are; a record that never had one is whoever alone
    has its phone. The ties of former addresses are followed this many times; a longer chain of changed addresses stays in parts.
-#}
{%- set rounds = 4 -%}

with

versions as (
    select * from {{ ref('stg_customer_versions') }}
),

customers as (
    select * from versions
    where is_latest
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
        {{ phone_digits('phone') }} as phone_digits,
        created_at,
        true as is_recorded
    from customers
    union all
    select
        customer_id as source_customer_id,
        source,
        null as email_address,
        null as phone_digits,
        created_at,
        false as is_recorded
    from unrecorded
),

judged as (
    select
        source_customer_id,
        source,
        email_address,
        phone_digits,
        created_at,
        is_recorded,
        {{ is_role_address('email_address') }} as is_role_address,
        case source when 'files' then 1 when 'shop' then 2 when 'zendesk' then 3 when 'klaviyo' then 4 else 5 end as source_rank
    from addressed
),

keyed as (
    select
        judged.*,
        case
            when email_address is null or is_role_address then 'id:' || source_customer_id
            else 'email:' || email_address
        end as own_key
    from judged
),

former_addresses as (
    select distinct
        customer_id as source_customer_id,
        'email:' || lower(trim(email)) as former_key
    from versions
    where nullif(trim(email), '') is not null and not {{ is_role_address('lower(trim(email))') }}
),

ties as (
    select
        keyed.own_key as one_key,
        former_addresses.former_key as other_key
    from keyed
    inner join former_addresses
        on keyed.source_customer_id = former_addresses.source_customer_id
        and keyed.own_key <> former_addresses.former_key
),

neighbours as (
    select
        one_key as node,
        other_key as neighbour
    from ties
    union
    select
        other_key as node,
        one_key as neighbour
    from ties
    union
    select
        one_key as node,
        one_key as neighbour
    from ties
    union
    select
        other_key as node,
        other_key as neighbour
    from ties
),

labels_0 as (
    select distinct
        node,
        node as label
    from neighbours
),

{%- for round in range(1, rounds + 1) %}

    labels_{{ round }} as (
        select
            neighbours.node,
            min(labels.label) as label
        from neighbours
        inner join labels_{{ round - 1 }} as labels on neighbours.neighbour = labels.node
        group by neighbours.node
    ),

{%- endfor %}

labelled as (
    select
        keyed.*,
        coalesce(labels.label, keyed.own_key) as address_key
    from keyed
    left join labels_{{ rounds }} as labels on keyed.own_key = labels.node
),

-- A phone is shared in many a family, so it tells who writes only where nobody else with an address has it.
phone_owners as (
    select
        phone_digits,
        min(address_key) as address_key,
        count(distinct address_key) as count_owners
    from labelled
    where phone_digits is not null and address_key like 'email:%'
    group by phone_digits
),

merged as (
    select
        labelled.*,
        case
            when labelled.address_key not like 'id:%' or labelled.is_role_address or labelled.phone_digits is null
                then labelled.address_key
            when phone_owners.count_owners = 1 then phone_owners.address_key
            when phone_owners.count_owners is null then 'phone:' || labelled.phone_digits
            else labelled.address_key
        end as merge_key
    from labelled
    left join phone_owners on labelled.phone_digits = phone_owners.phone_digits
),

ranked as (
    select
        merged.*,
        count(*) over (partition by merge_key) as count_merged,
        first_value(source_customer_id) over (
            partition by merge_key
            order by source_rank, created_at, source_customer_id
            rows between unbounded preceding and unbounded following
        ) as customer_id,
        first_value(own_key) over (
            partition by merge_key
            order by source_rank, created_at, source_customer_id
            rows between unbounded preceding and unbounded following
        ) as first_key
    from merged
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
            when email_address is null and count_merged = 1 then 'no_address'
            when count_merged = 1 or source_customer_id = customer_id then 'own_record'
            when own_key = first_key then 'same_email_address'
            when merge_key <> address_key or merge_key like 'phone:%' then 'same_phone'
            when email_address is null then 'former_email_address'
            else 'changed_email_address'
        end as link_rule
    from ranked
)

select * from linked
