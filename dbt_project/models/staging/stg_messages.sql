with

versions as (
    {{ known_versions('messages') }}
),

current_pass as (
    select as_of from {{ source('raw', 'current_pass') }}
),

renamed as (
    select
        versions.id as message_id,
        versions.ticket_id,
        versions.source,
        versions.author,
        -- The text itself stays in the raw schema; its hash finds the score of exactly this text.
        md5(versions.body) as body_hash,
        versions.is_public,
        versions.created_at,
        versions.received_at
    from versions
    inner join current_pass on versions.created_at <= current_pass.as_of
    where versions.recency = 1
)

select * from renamed
