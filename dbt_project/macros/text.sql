{# Comma-joined text in a fixed order: how marts hold a list. #}
{% macro ordered_list(expression, order_by=none, is_distinct=false) -%}
    {{ return(adapter.dispatch('ordered_list', 'roomtone')(expression, order_by or expression, is_distinct)) }}
{%- endmacro %}

{# An aggregate may sort by another expression only while it keeps every row, so a distinct list sorts by itself. #}
{% macro default__ordered_list(expression, order_by, is_distinct) -%}
    string_agg({% if is_distinct %}distinct {% endif %}{{ expression }}, ',' order by {{ expression if is_distinct else order_by }})
{%- endmacro %}

{# True where the comma-joined `list` holds `item`; null where either is null. #}
{% macro list_holds(list, item) -%}
    (replace(',' || {{ list }} || ',', ',' || {{ item }} || ',', '') <> ',' || {{ list }} || ',')
{%- endmacro %}

{# Deterministic key: MD5 of the parts, nulls told from empty text. Timestamps go through ts_text first. #}
{% macro hash_key(parts) -%}
    md5(
        {%- for part in parts %}
        coalesce({{ as_text(part) }}, '-'){{ " || '|' ||" if not loop.last }}
        {%- endfor %}
    )
{%- endmacro %}

{# The digits of a phone number, without the zeros or the plus before the country; null where they are too few for one. #}
{% macro phone_digits(phone) -%}
    case when length(ltrim(translate({{ phone }}, ' +-()./', ''), '0')) >= 7 then ltrim(translate({{ phone }}, ' +-()./', ''), '0') end
{%- endmacro %}

{# One row for each of the blank-separated entries of `list`; for a select list. #}
{% macro each_entry(list) -%}
    {{ return(adapter.dispatch('each_entry', 'roomtone')(list)) }}
{%- endmacro %}

{% macro duckdb__each_entry(list) -%}
    unnest(string_split({{ list }}, ' '))
{%- endmacro %}

{% macro postgres__each_entry(list) -%}
    regexp_split_to_table({{ list }}, ' ')
{%- endmacro %}
