with

rows_as_mirrored as (
    select * from {{ source('raw', 'routing_outcomes') }}
),

renamed as (
    select
        ticket_id,
        destination,
        acknowledged_at
    from rows_as_mirrored
)

select * from renamed
