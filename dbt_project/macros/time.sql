{# Time arithmetic on UTC timestamps without zone, exact to the microsecond and alike on every engine. #}

{% macro ts_add(instant, amount, unit='hours') -%}
    {%- set seconds = {'seconds': 1, 'minutes': 60, 'hours': 3600, 'days': 86400}[unit] -%}
    {{ return(adapter.dispatch('ts_add', 'roomtone')(instant, amount, seconds)) }}
{%- endmacro %}

{% macro duckdb__ts_add(instant, amount, seconds) -%}
    ({{ instant }} + to_microseconds(cast(round(({{ amount }}) * {{ seconds }} * 1000000.0) as bigint)))
{%- endmacro %}

{% macro postgres__ts_add(instant, amount, seconds) -%}
    ({{ instant }} + round((({{ amount }}) * {{ seconds }} * 1000000.0)::numeric)::double precision * interval '1 microsecond')
{%- endmacro %}

{# Whole seconds from `earlier` to `later`, rounded down, as bigint. #}
{% macro secs_between(earlier, later) -%}
    {{ return(adapter.dispatch('secs_between', 'roomtone')(earlier, later)) }}
{%- endmacro %}

{% macro duckdb__secs_between(earlier, later) -%}
    cast(floor((epoch_us({{ later }}) - epoch_us({{ earlier }})) / 1000000.0) as bigint)
{%- endmacro %}

{% macro postgres__secs_between(earlier, later) -%}
    cast(floor(extract(epoch from ({{ later }} - {{ earlier }}))) as bigint)
{%- endmacro %}

{# Minutes and hours as 64-bit floats with the resolution of a second. #}
{% macro minutes_between(earlier, later) -%}
    (cast({{ secs_between(earlier, later) }} as {{ type_f64() }}) / 60)
{%- endmacro %}

{% macro hours_between(earlier, later) -%}
    (cast({{ secs_between(earlier, later) }} as {{ type_f64() }}) / 3600)
{%- endmacro %}

{# RFC 3339 text in UTC: microseconds for keys, seconds for payloads. #}
{% macro ts_text(instant, with_microseconds=false) -%}
    {{ return(adapter.dispatch('ts_text', 'roomtone')(instant, with_microseconds)) }}
{%- endmacro %}

{% macro duckdb__ts_text(instant, with_microseconds) -%}
    strftime({{ instant }}, '{{ "%Y-%m-%dT%H:%M:%S.%fZ" if with_microseconds else "%Y-%m-%dT%H:%M:%SZ" }}')
{%- endmacro %}

{% macro postgres__ts_text(instant, with_microseconds) -%}
    to_char({{ instant }}, '{{ 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"' if with_microseconds else 'YYYY-MM-DD"T"HH24:MI:SS"Z"' }}')
{%- endmacro %}
