{# Schemas bear the names of the layers, without dbt's target prefix: readers and destinations address `marts.fct_...`. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name | trim if custom_schema_name else target.schema }}
{%- endmacro %}
