with

tickets as (
    select * from {{ of_touched(ref('int_ticket_activity')) }}
),

causes as (
    select * from {{ of_touched(ref('fct_suppression_causes')) }}
),

shipments as (
    select * from {{ ref('stg_shipment_versions') }}
    where is_latest
),

-- A ticket is as bad as its own causes and those of the shipment it is about.
related_causes as (
    select
        tickets.ticket_id,
        causes.cause_id,
        causes.tier,
        causes.ended_at
    from tickets
    inner join causes on tickets.ticket_id = causes.ticket_id
    union all
    select
        tickets.ticket_id,
        causes.cause_id,
        causes.tier,
        causes.ended_at
    from tickets
    inner join shipments on tickets.order_id = shipments.order_id
    inner join causes on shipments.shipment_id = causes.shipment_id
    where causes.ended_at is null or causes.ended_at > tickets.created_at
),

tiers as (
    select
        tickets.ticket_id,
        tickets.customer_id,
        coalesce(max(related_causes.tier), 0) as tier,
        coalesce(max(case when related_causes.ended_at is null then related_causes.tier else 0 end), 0) as current_tier
    from tickets
    left join related_causes on tickets.ticket_id = related_causes.ticket_id
    group by tickets.ticket_id, tickets.customer_id
)

select * from tiers
