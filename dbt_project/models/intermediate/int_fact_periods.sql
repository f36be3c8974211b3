{#- Periods in which a fact that is not a customer's message holds; `shipment_stalled` is given without its `days`. -#}
with

shipments as (
    select * from {{ ref('stg_shipment_versions') }}
),

orders as (
    select * from {{ ref('stg_order_versions') }}
),

marketing_events as (
    select * from {{ ref('stg_marketing_events') }}
),

identities as (
    select * from {{ of_touched(ref('int_customer_identities')) }}
),

current_pass as (
    select * from {{ ref('stg_current_pass') }}
),

owned_shipments as (
    select
        shipments.shipment_id,
        shipments.order_id,
        shipments.shipped_at,
        shipments.promised_at,
        shipments.delivered_at,
        identities.customer_id
    from shipments
    inner join orders on shipments.order_id = orders.order_id and orders.is_latest
    inner join identities on orders.customer_id = identities.source_customer_id
    where shipments.is_latest
),

-- Each version of a shipment tells one scan; together they are its journey.
movements as (
    select
        shipment_id,
        shipped_at as moved_at
    from shipments
    where is_latest and shipped_at is not null
    union
    select
        shipment_id,
        last_scan_at as moved_at
    from shipments
    where last_scan_at is not null
    union
    select
        shipment_id,
        delivered_at as moved_at
    from shipments
    where is_latest and delivered_at is not null
),

journey as (
    select
        movements.shipment_id,
        movements.moved_at,
        lead(movements.moved_at) over (
            partition by movements.shipment_id
            order by movements.moved_at
        ) as next_moved_at
    from movements
    inner join current_pass on movements.moved_at <= current_pass.as_of
),

still_periods as (
    select
        'shipment_stalled' as fact,
        'shipment' as subject_kind,
        owned_shipments.shipment_id as subject_id,
        owned_shipments.customer_id,
        owned_shipments.order_id,
        journey.moved_at as holds_from,
        journey.next_moved_at as holds_until
    from journey
    inner join owned_shipments on journey.shipment_id = owned_shipments.shipment_id
    inner join current_pass on true
    where
        owned_shipments.delivered_at is null
        or owned_shipments.delivered_at > current_pass.as_of
        or journey.moved_at < owned_shipments.delivered_at
),

late_periods as (
    select
        'shipment_late' as fact,
        'shipment' as subject_kind,
        owned_shipments.shipment_id as subject_id,
        owned_shipments.customer_id,
        owned_shipments.order_id,
        owned_shipments.promised_at as holds_from,
        case when owned_shipments.delivered_at <= current_pass.as_of then owned_shipments.delivered_at end as holds_until
    from owned_shipments
    inner join current_pass on owned_shipments.promised_at <= current_pass.as_of
    where owned_shipments.delivered_at is null or owned_shipments.delivered_at > owned_shipments.promised_at
),

refunds as (
    select
        'refund' as fact,
        'order' as subject_kind,
        orders.order_id as subject_id,
        identities.customer_id,
        orders.order_id,
        min(orders.version_at) as holds_from,
        min(orders.version_at) as holds_until
    from orders
    inner join identities on orders.customer_id = identities.source_customer_id
    where orders.refunded_amount > 0
    group by orders.order_id, identities.customer_id
),

spam_complaints as (
    select
        'marked_spam' as fact,
        'customer' as subject_kind,
        identities.customer_id as subject_id,
        identities.customer_id,
        cast(null as {{ type_text() }}) as order_id,
        marketing_events.occurred_at as holds_from,
        marketing_events.occurred_at as holds_until
    from marketing_events
    inner join identities on marketing_events.customer_id = identities.source_customer_id
    where marketing_events.type = 'marked_spam'
    group by identities.customer_id, marketing_events.occurred_at
),

periods as (
    select * from still_periods
    union all
    select * from late_periods
    union all
    select * from refunds
    union all
    select * from spam_complaints
)

select * from periods
