with

versions as (
    {{ known_versions('marketing_events') }}
),

renamed as (
    select
        id as marketing_event_id,
        customer_id,
        campaign_id,
        source,
        type,
        occurred_at
    from versions
    where recency = 1
)

select * from renamed
