with

versions as (
    select * from {{ ref('stg_ticket_versions') }}
),

first_versions as (
    select
        ticket_id,
        min(created_at) as created_at,
        min(version_at) as first_version_at
    from versions
    group by ticket_id
),

-- A source that only shows the present state lacks what came before its first version: from its creation on a ticket was new.
implied as (
    select
        ticket_id,
        created_at as valid_from,
        'new' as status,
        null as merged_into
    from first_versions
    where created_at < first_version_at
),

events as (
    select
        ticket_id,
        valid_from,
        status,
        cast(merged_into as {{ type_text() }}) as merged_into
    from implied
    union all
    select
        ticket_id,
        version_at as valid_from,
        status,
        -- A ticket that is merged into itself has not been merged.
        nullif(merged_into, ticket_id) as merged_into
    from versions
),

intervals as (
    select
        ticket_id,
        valid_from,
        lead(valid_from) over (
            partition by ticket_id
            order by valid_from
        ) as valid_to,
        status,
        merged_into,
        status in ('new', 'open', 'pending', 'hold') as is_live
    from events
)

select * from intervals
