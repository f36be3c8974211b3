with

rows_as_mirrored as (
    select * from {{ source('raw', 'suppression_policy_scopes') }}
),

renamed as (
    select
        policy_id,
        policy_version,
        scope
    from rows_as_mirrored
)

select * from renamed
