with

versions as (
    {{ known_versions('tickets') }}
),

renamed as (
    select
        id as ticket_id,
        customer_id,
        source,
        channel,
        status,
        priority,
        assignee_id,
        group_id,
        order_id,
        merged_into,
        created_at,
        version_at,
        recency = 1 as is_latest
    from versions
)

select * from renamed
