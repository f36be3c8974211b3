with

versions as (
    {{ known_versions('campaigns') }}
),

renamed as (
    select
        id as campaign_id,
        source,
        name,
        kind,
        channel,
        scope,
        version_at as updated_at
    from versions
    where recency = 1
)

select * from renamed
