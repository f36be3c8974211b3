with

rows_as_mirrored as (
    select * from {{ source('raw', 'routing_policies') }}
),

renamed as (
    select
        policy_id,
        policy_version,
        tier_weight,
        urgency_weight,
        value_weight,
        waiting_weight,
        value_cap,
        risk_cap,
        waiting_cap_hours,
        calm_max_wait_hours,
        sla_hours_tier_0,
        sla_hours_tier_1,
        sla_hours_tier_2,
        sla_hours_tier_3,
        applies_from,
        applies_to
    from rows_as_mirrored
)

select * from renamed
