with

rows_as_mirrored as (
    select * from {{ source('raw', 'recovery_policies') }}
),

renamed as (
    select
        policy_id,
        policy_version,
        kind,
        message_class,
        trigger as trigger_event,
        coalesce(min_tier, 0) as min_tier,
        requires_fact,
        wait_hours,
        expires_after_hours,
        consent,
        cooldown_days,
        max_per_customer,
        budget_per_day,
        budget_per_month,
        offer,
        applies_from,
        applies_to
    from rows_as_mirrored
)

select * from renamed
