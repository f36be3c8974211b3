{#
    Every version of a landed record that exists as of the pass, one for each instant; `recency` 1 is the version in force.
    Versions are dated by the record, so order of arrival never matters, and one that was loaded twice counts once.
#}
{% macro known_versions(stream) -%}
    select
        told_apart.*,
        row_number() over (partition by told_apart.id order by told_apart.version_at desc) as recency
    from (
        select
            landed.*,
            row_number() over (partition by landed.id, landed.version_at order by landed.record_hash desc) as place_in_instant
        from {{ source('touched', stream) }} as landed
        inner join {{ source('raw', 'current_pass') }} as current_pass on landed.version_at <= current_pass.as_of
    ) as told_apart
    where told_apart.place_in_instant = 1
{%- endmacro %}
