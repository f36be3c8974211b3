with

rows_as_mirrored as (
    select * from {{ of_touched(source('raw', 'pause_effects')) }}
),

renamed as (
    select
        intent_id,
        customer_id,
        destination,
        scope,
        decided_at,
        pushed_at,
        effective_at
    from rows_as_mirrored
)

select * from renamed
