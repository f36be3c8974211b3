with

customers as (
    select * from {{ of_touched(ref('int_customers')) }}
),

final as (
    select
        customer_id,
        first_seen_at,
        orders_count,
        lifetime_value,
        has_email_consent,
        has_sms_consent,
        email is not null as has_email_address,
        phone is not null as has_phone
    from customers
)

select * from final
