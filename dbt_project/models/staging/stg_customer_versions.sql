with

versions as (
    {{ known_versions('customers') }}
),

renamed as (
    select
        id as customer_id,
        source,
        email,
        phone,
        name,
        timezone,
        email_marketing_consent as has_email_consent,
        sms_marketing_consent as has_sms_consent,
        created_at,
        version_at as updated_at,
        recency = 1 as is_latest
    from versions
)

select * from renamed
