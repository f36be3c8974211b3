with

model_in_force as (
    select * from {{ source('touched', 'model_in_force') }}
),

renamed as (
    select model_version
    from model_in_force
)

select * from renamed
