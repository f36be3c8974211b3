with

rows_as_mirrored as (
    select * from {{ source('raw', 'trigger_outcomes') }}
),

renamed as (
    select
        trigger_id,
        destination,
        status,
        sent_at,
        outcome
    from rows_as_mirrored
)

select * from renamed
