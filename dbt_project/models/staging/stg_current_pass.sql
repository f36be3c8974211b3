with

rows_as_mirrored as (
    select * from {{ source('raw', 'current_pass') }}
),

renamed as (
    select
        pass_sequence,
        as_of
    from rows_as_mirrored
)

select * from renamed
