with

rows_as_mirrored as (
    select * from {{ source('raw', 'routing_queues') }}
),

renamed as (
    select
        policy_id,
        policy_version,
        position,
        queue,
        min_tier,
        urgency,
        intents,
        priority
    from rows_as_mirrored
)

select * from renamed
