with

rows_as_mirrored as (
    select * from {{ source('touched', 'overrides') }}
),

renamed as (
    select
        override_id,
        customer_id,
        action,
        scope,
        reason,
        actor,
        starts_at,
        ends_at
    from rows_as_mirrored
)

select * from renamed
