with

rows_as_mirrored as (
    select * from {{ source('raw', 'suppression_policies') }}
),

renamed as (
    select
        policy_id,
        policy_version,
        start_kind,
        start_sentiment,
        start_min_confidence,
        start_fact,
        start_days,
        start_count,
        tier,
        relief_sentiment,
        relief_min_confidence,
        relief_after_hours,
        cool_off_hours,
        -- No rule may hold anybody longer than thirty days after the latest evidence.
        least(max_days, 30) as max_days,
        applies_from,
        applies_to
    from rows_as_mirrored
)

select * from renamed
