{#-
    The table that Braze's Cloud Data Ingestion reads. Braze takes rows by `updated_at` alone, whatever they hold, and each costs data
    points. So a row is written only when its payload differs from the one that stands here, with an instant later than before: that of
    the pass that found the difference, because a message which arrives late changes a state whose own time is long past.
-#}
{%- set scopes = ['sales', 'upsell', 'recommendation', 'sms', 'discount', 'celebration', 'review_request'] -%}
{%- set paused = [('_update_existing_only', "'true'", 'json')] -%}
{%- set calm = [('_update_existing_only', "'true'", 'json')] -%}
{%- for scope in scopes -%}
    {%- do paused.append(('roomtone_pause_' ~ scope, "case when roomtone_pause_" ~ scope ~ " then 'true' else 'false' end", 'json')) -%}
    {%- do calm.append(('roomtone_pause_' ~ scope, "'false'", 'json')) -%}
{%- endfor -%}
{%- do paused.extend([
    ('roomtone_tier', 'roomtone_tier', 'number'),
    ('roomtone_reason', 'roomtone_reason', 'text'),
    ('roomtone_pause_until', 'roomtone_pause_until', 'time'),
]) -%}
{%- do calm.extend([('roomtone_tier', '0', 'number'), ('roomtone_reason', "''", 'text'), ('roomtone_pause_until', 'null', 'json')]) -%}
{%- set prefix = var('braze_customer_prefix') -%}
with

properties as (
    select * from {{ of_touched(ref('sync_profile_properties')) }}
),

current_pass as (
    select * from {{ ref('stg_current_pass') }}
),

present as (
    select
        substr(customer_id, {{ prefix | length + 1 }}) as external_id,
        {{ json_object(paused) }} as payload
    from properties
    where substr(customer_id, 1, {{ prefix | length }}) = '{{ prefix }}'
),

held as (
    {% if stands() -%}
        select
            external_id,
            payload,
            updated_at
        from {{ this }}
        {% if not is_whole() -%}
        where '{{ prefix }}' || external_id in {{ touched_ids() }}
        {%- endif %}
    {%- else -%}
        select
            external_id,
            payload,
            cast(null as timestamp) as updated_at
        from present
        where 1 = 0
    {%- endif %}
),

-- Nobody stays paused because the row of a customer is gone.
wanted as (
    select
        external_id,
        payload
    from present
    union all
    select
        held.external_id,
        {{ json_object(calm) }} as payload
    from held
    left join present on held.external_id = present.external_id
    where present.external_id is null
),

final as (
    select
        wanted.external_id,
        wanted.payload,
        case
            when held.updated_at >= current_pass.as_of then {{ ts_add('held.updated_at', 1, 'seconds') }}
            else current_pass.as_of
        end as updated_at
    from wanted
    cross join current_pass
    left join held on wanted.external_id = held.external_id
    where held.external_id is null or held.payload <> wanted.payload
)

select * from final
