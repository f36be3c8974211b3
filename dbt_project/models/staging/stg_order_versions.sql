with

versions as (
    {{ known_versions('orders') }}
),

renamed as (
    select
        id as order_id,
        customer_id,
        source,
        status,
        currency,
        total,
        coalesce(refunded_amount, 0) as refunded_amount,
        placed_at,
        version_at,
        recency = 1 as is_latest
    from versions
)

select * from renamed
