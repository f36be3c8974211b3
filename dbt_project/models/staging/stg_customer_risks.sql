with

landed as (
    select
        risks.*,
        row_number() over (
            partition by risks.customer_id, risks.as_of
            order by risks.risk desc, risks.risk_version desc
        ) as place_in_instant
    from {{ source('touched', 'customer_risks') }} as risks
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
    where landed.place_in_instant = 1
)

select * from renamed
