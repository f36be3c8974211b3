with

versions as (
    {{ known_versions('shipments') }}
),

renamed as (
    select
        id as shipment_id,
        order_id,
        source,
        shipped_at,
        promised_at,
        last_scan_at,
        delivered_at,
        version_at,
        recency = 1 as is_latest
    from versions
)

select * from renamed
