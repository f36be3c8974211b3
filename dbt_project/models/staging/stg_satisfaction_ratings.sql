with

versions as (
    {{ known_versions('satisfaction_ratings') }}
),

renamed as (
    select
        id as satisfaction_rating_id,
        ticket_id,
        score,
        created_at
    from versions
    where recency = 1
)

select * from renamed
