{#-
    The next instant at which time alone may change something about a customer; a pass touches those whose edge has passed. An edge
    too many costs one customer's computing, a missing one leaves an old answer standing: whatever a model compares with `as_of` is here.
-#}
with

causes as (
    select * from {{ ref('int_causes') }}
),

segments as (
    select * from {{ ref('int_suppression_segments') }}
),

fact_periods as (
    select * from {{ ref('int_fact_periods') }}
),

messages as (
    select * from {{ ref('int_messages_scored') }}
),

shipments as (
    select * from {{ ref('stg_shipment_versions') }}
),

orders as (
    select * from {{ ref('stg_order_versions') }}
),

routing_outcomes as (
    select * from {{ ref('stg_routing_outcomes') }}
),

customers as (
    select * from {{ of_touched(ref('int_customers')) }}
),

identities as (
    select * from {{ of_touched(ref('int_customer_identities')) }}
),

suppression_policies as (
    select * from {{ ref('stg_suppression_policies') }}
),

recovery_policies as (
    select * from {{ ref('stg_recovery_policies') }}
),

current_pass as (
    select * from {{ ref('stg_current_pass') }}
),

owned_orders as (
    select
        orders.order_id,
        orders.placed_at,
        identities.customer_id
    from orders
    inner join identities on orders.customer_id = identities.source_customer_id
    where orders.is_latest
),

owned_shipments as (
    select
        shipments.shipped_at,
        shipments.promised_at,
        shipments.last_scan_at,
        shipments.delivered_at,
        owned_orders.customer_id
    from shipments
    inner join owned_orders on shipments.order_id = owned_orders.order_id
),

-- What a recovery rule may wait from.
events as (
    select
        customer_id,
        started_at as base_at
    from causes
    union
    select
        customer_id,
        ends_at as base_at
    from causes
    union
    select
        customer_id,
        greatest(ends_at, resolved_at) as base_at
    from causes
    union
    select
        causes.customer_id,
        routing_outcomes.acknowledged_at as base_at
    from causes
    inner join routing_outcomes on causes.subject_id = routing_outcomes.ticket_id
),

waits as (
    select wait_hours from recovery_policies
    union
    select wait_hours + expires_after_hours as wait_hours from recovery_policies
),

instants as (
    select
        customer_id,
        ends_at as instant
    from causes
    union all
    select
        customer_id,
        {{ ts_add('ends_at', var('recovering_days'), 'days') }} as instant
    from causes
    union all
    select
        customer_id,
        segment_from as instant
    from segments
    union all
    select
        customer_id,
        segment_to as instant
    from segments
    union all
    select
        fact_periods.customer_id,
        greatest(
            {{ ts_add('fact_periods.holds_from', 'coalesce(suppression_policies.start_days, 0)', 'days') }},
            suppression_policies.applies_from
        ) as instant
    from fact_periods
    inner join suppression_policies on fact_periods.fact = suppression_policies.start_fact
    union all
    select
        events.customer_id,
        {{ ts_add('events.base_at', 'waits.wait_hours') }} as instant
    from events
    cross join waits
    union all
    select
        customer_id,
        {{ ts_add('created_at', var('risk_tone_days'), 'days') }} as instant
    from messages
    union all
    select
        customer_id,
        placed_at as instant
    from owned_orders
    union all
    select
        customer_id,
        shipped_at as instant
    from owned_shipments
    union all
    select
        customer_id,
        promised_at as instant
    from owned_shipments
    union all
    select
        customer_id,
        last_scan_at as instant
    from owned_shipments
    union all
    select
        customer_id,
        delivered_at as instant
    from owned_shipments
),

later as (
    select
        instants.customer_id,
        instants.instant
    from instants
    inner join current_pass on instants.instant > current_pass.as_of
    where instants.customer_id is not null
    union all
    -- First seen at the instant of the pass itself: all that is known of the customer is dated later, by a clock that runs ahead.
    select
        customers.customer_id,
        customers.first_seen_at as instant
    from customers
    inner join current_pass on customers.first_seen_at >= current_pass.as_of
),

edges as (
    select
        customer_id,
        min(instant) as next_edge_at
    from later
    group by customer_id
)

select * from edges
