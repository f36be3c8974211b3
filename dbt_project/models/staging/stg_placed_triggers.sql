with

placed_triggers as (
    select * from {{ source('touched', 'placed_triggers') }}
),

renamed as (
    select
        trigger_id,
        customer_id,
        policy_id,
        due_at,
        status = 'sent' as is_sent,
        place_in_day,
        place_in_month
    from placed_triggers
    where place_in_month is not null
)

select * from renamed
