with

customers as (
    select * from {{ of_touched(ref('int_customers')) }}
),

risks as (
    select * from {{ ref('int_customer_risks') }}
),

final as (
    select
        customers.customer_id,
        customers.first_seen_at,
        customers.orders_count,
        customers.lifetime_value,
        customers.has_email_consent,
        customers.has_sms_consent,
        customers.email is not null as has_email_address,
        customers.phone is not null as has_phone,
        cast(risks.churn_risk as {{ type_f64() }}) as churn_risk,
        risks.risk_version,
        risks.risk_weighed_at,
        cast(customers.lifetime_value * risks.churn_risk as {{ type_f64() }}) as value_at_risk
    from customers
    left join risks on customers.customer_id = risks.customer_id
)

select * from final
