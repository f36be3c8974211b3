{# The text at the top-level key of a JSON object that is held as text; null where it is missing. #}
{% macro json_text(object, key) -%}
    {{ return(adapter.dispatch('json_text', 'roomtone')(object, key)) }}
{%- endmacro %}

{% macro duckdb__json_text(object, key) -%}
    json_extract_string({{ object }}, '$.{{ key }}')
{%- endmacro %}

{% macro postgres__json_text(object, key) -%}
    (cast({{ object }} as json) ->> '{{ key }}')
{%- endmacro %}

{# A JSON string literal with its quotes and escapes. #}
{% macro json_string(expression) -%}
    {{ return(adapter.dispatch('json_string', 'roomtone')(expression)) }}
{%- endmacro %}

{% macro duckdb__json_string(expression) -%}
    cast(to_json(cast({{ expression }} as varchar)) as varchar)
{%- endmacro %}

{% macro postgres__json_string(expression) -%}
    cast(to_json(cast({{ expression }} as text)) as text)
{%- endmacro %}

{#
    A JSON object as text, keys in the order given. `members` is a list of (key, expression, kind); kind is `text`, `time`
    (to the second), `instant` (to the microsecond),
    `number` or `json` (already JSON). Built by hand because engines print their own JSON with different spaces.
#}
{% macro json_object(members) -%}
    '{' ||
    {%- for key, expression, kind in members %}
    '"{{ key }}":' || coalesce(
        {%- if kind == 'text' -%} {{ json_string(expression) }}
        {%- elif kind == 'time' -%} '"' || {{ ts_text(expression) }} || '"'
        {%- elif kind == 'instant' -%} '"' || {{ ts_text(expression, true) }} || '"'
        {%- else -%} cast({{ expression }} as {{ type_text() }})
        {%- endif -%}, 'null')
    {{- " || ',' ||" if not loop.last }}
    {%- endfor %}
    || '}'
{%- endmacro %}
