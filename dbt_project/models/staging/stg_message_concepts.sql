with

packed as (
    select * from {{ source('touched', 'message_concepts') }}
    where concepts <> ''
),

entries as (
    select
        message_id,
        body_hash,
        {{ each_entry('concepts') }} as entry
    from packed
),

renamed as (
    select
        message_id,
        body_hash,
        split_part(entry, ':', 1) as concept,
        cast(split_part(entry, ':', 2) as bigint) as weight
    from entries
)

select * from renamed
