{# dbt's own type_float is 32 bits wide on some engines. #}
{% macro type_f64() -%}
    {{ return(adapter.dispatch('type_f64', 'roomtone')()) }}
{%- endmacro %}

{% macro duckdb__type_f64() -%} double {%- endmacro %}

{% macro postgres__type_f64() -%} double precision {%- endmacro %}

{% macro type_text() -%}
    {{ return(adapter.dispatch('type_text', 'roomtone')()) }}
{%- endmacro %}

{% macro duckdb__type_text() -%} varchar {%- endmacro %}

{% macro postgres__type_text() -%} text {%- endmacro %}

{# Any value as text. PostgreSQL writes a whole 64-bit float without its point, DuckDB with it. #}
{% macro as_text(expression) -%}
    {{ return(adapter.dispatch('as_text', 'roomtone')(expression)) }}
{%- endmacro %}

{% macro default__as_text(expression) -%} cast({{ expression }} as {{ type_text() }}) {%- endmacro %}

{% macro postgres__as_text(expression) -%}
    (cast({{ expression }} as text) || case
        when pg_typeof({{ expression }}) = 'double precision'::regtype and cast({{ expression }} as text) not similar to '%[.e]%' then '.0'
        else ''
    end)
{%- endmacro %}
