with

trigger_months as (
    select * from {{ source('touched', 'trigger_months') }}
),

renamed as (
    select
        policy_id,
        due_month
    from trigger_months
)

select * from renamed
