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
