{#- Merges are followed this many times; a longer chain, or a ring, keeps the status of the last ticket reached. -#}
{%- set merge_depth = 4 -%}
{%- set for_ever = "timestamp '9999-12-31 00:00:00'" -%}

with

statuses as (
    select
        ticket_id,
        valid_from,
        coalesce(valid_to, {{ for_ever }}) as valid_to,
        status,
        is_live,
        merged_into
    from {{ ref('int_ticket_statuses') }}
),

known_tickets as (
    select distinct ticket_id from statuses
),

followed_0 as (
    select * from statuses
),

{%- for step in range(1, merge_depth + 1) %}

-- From the merge on, the other ticket's history counts.
    followed_{{ step }} as (
        select
            followed.ticket_id,
            greatest(followed.valid_from, other.valid_from) as valid_from,
            least(followed.valid_to, other.valid_to) as valid_to,
            other.status,
            other.is_live,
            nullif(other.merged_into, followed.ticket_id) as merged_into
        from followed_{{ step - 1 }} as followed
        inner join statuses as other
            on followed.merged_into = other.ticket_id
            and followed.valid_from < other.valid_to
            and followed.valid_to > other.valid_from
        union all
        select
            followed.ticket_id,
            followed.valid_from,
            followed.valid_to,
            followed.status,
            followed.is_live,
            null as merged_into
        from followed_{{ step - 1 }} as followed
        left join known_tickets on followed.merged_into = known_tickets.ticket_id
        where known_tickets.ticket_id is null
    ),

{%- endfor %}

compared as (
    select
        ticket_id,
        valid_from,
        valid_to,
        status,
        is_live,
        lag(valid_to) over (
            partition by ticket_id
            order by valid_from, valid_to
        ) as previous_valid_to,
        lag(is_live) over (
            partition by ticket_id
            order by valid_from, valid_to
        ) as was_live
    from followed_{{ merge_depth }}
),

numbered as (
    select
        ticket_id,
        valid_from,
        valid_to,
        is_live,
        sum(case when was_live and previous_valid_to = valid_from then 0 else 1 end) over (
            partition by ticket_id
            order by valid_from, valid_to
            rows between unbounded preceding and current row
        ) as stretch_number
    from compared
    where is_live
),

live_stretches as (
    select
        ticket_id,
        stretch_number,
        min(valid_from) as live_from,
        max(valid_to) as live_to
    from numbered
    group by ticket_id, stretch_number
),

stops as (
    select
        ticket_id,
        'stopped' as closing,
        live_to as closed_at,
        lead(live_from) over (
            partition by ticket_id
            order by live_from
        ) as next_live_at
    from live_stretches
),

deletions as (
    select
        compared.ticket_id,
        'deleted' as closing,
        compared.valid_from as closed_at,
        min(live_stretches.live_from) as next_live_at
    from compared
    left join live_stretches
        on compared.ticket_id = live_stretches.ticket_id
        and compared.valid_from < live_stretches.live_from
    where compared.status = 'deleted'
    group by compared.ticket_id, compared.valid_from
),

closings as (
    select
        ticket_id,
        closing,
        closed_at,
        next_live_at
    from stops
    where closed_at < {{ for_ever }}
    union all
    select
        ticket_id,
        closing,
        closed_at,
        next_live_at
    from deletions
)

select * from closings
