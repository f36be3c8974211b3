with

landed as (
    select * from {{ source('touched', 'customer_risks') }}
),

current_pass as (
    select * from {{ source('raw', 'current_pass') }}
),

renamed as (
    select
        landed.customer_id as source_customer_id,
        landed.risk,
        landed.risk_version,
        landed.as_of as weighed_at
    from landed
    inner join current_pass on landed.as_of <= current_pass.as_of
)

select * from renamed
