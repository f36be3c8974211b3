{#
    dbt's own `table` and `incremental` ask the catalogue for columns and rename tables at every node; with thirty nodes a minute that
    costs more than the computing. These two write a table in one transaction: `computed` holds what the pass computes and nothing
    else, `kept` holds everybody, of whom a pass replaces those whom it touches.
#}
{% materialization computed, default -%}
    {%- set target = this.incorporate(type='table') -%}
    {%- call statement('main') -%}
        {{ write_whole(target, sql) }}
    {%- endcall -%}
    {%- do adapter.commit() -%}
    {{ return({'relations': [target]}) }}
{%- endmaterialization %}

{% materialization kept, default -%}
    {%- set target = this.incorporate(type='table') -%}
    {%- call statement('main') -%}
        {{ write_whole(target, sql) if is_whole() else write_touched(target, sql) }}
    {%- endcall -%}
    {%- do adapter.commit() -%}
    {{ return({'relations': [target]}) }}
{%- endmaterialization %}

{% macro write_whole(target, sql) -%}
    drop table if exists {{ target }};
    {{ get_create_table_as_sql(False, target, sql) }}
{%- endmacro %}

{#
    Takes the touched customers' rows out of a kept table and puts the newly computed ones in. A table whose pass computes other rows
    as well names their key in `also_replaced_by`; one that holds rows without a customer names their ticket in `also_touched_by`.
    The columns are in the order of the contract, which the last whole pass compared with the query. What was computed stays in the
    schema `touched` until the next pass, so that who reads it need not look for it among everybody's rows.
#}
{% macro write_touched(target, sql) -%}
    {%- set rows = rows_of_touched(target) -%}
    {%- set key = config.get('also_replaced_by') -%}
    {%- set ticket = config.get('also_touched_by') -%}
    drop table if exists {{ rows }};
    create table {{ rows }} as (
        {{ get_select_subquery(sql) if config.get('contract').enforced else sql }}
    );
    delete from {{ target }} where customer_id in {{ touched_ids() }};
    {% if key %}delete from {{ target }} where {{ key }} in (
        select {{ key }} from {{ rows }} where coalesce(customer_id, '') not in {{ touched_ids() }}
    );{% endif %}
    {% if ticket %}delete from {{ target }} where customer_id is null and {{ ticket }} in (
        select ticket_id from {{ source('touched', 'ticket_ids') }}
    );{% endif %}
    insert into {{ target }} select * from {{ rows }}
{%- endmacro %}

{#
    A table that remembers: what the query gives replaces the rows with the same `unique_key`, in a whole pass too, and everything else
    stays as it is. The query reads the table itself once it `stands`.
#}
{% materialization remembered, default -%}
    {%- set target = this.incorporate(type='table') -%}
    {%- call statement('main') -%}
        {{ write_changed(target, sql) if stands() else write_whole(target, sql) }}
    {%- endcall -%}
    {%- do adapter.commit() -%}
    {{ return({'relations': [target]}) }}
{%- endmaterialization %}

{% macro stands() -%}
    {{ return(execute and load_relation(this) is not none) }}
{%- endmacro %}

{% macro write_changed(target, sql) -%}
    {%- set rows = target.identifier ~ '__changed' -%}
    {%- set key = config.require('unique_key') -%}
    create temporary table {{ rows }} as (
        {{ get_select_subquery(sql) if config.get('contract').enforced else sql }}
    );
    delete from {{ target }} where {{ key }} in (select {{ key }} from {{ rows }});
    insert into {{ target }} select * from {{ rows }};
    drop table {{ rows }}
{%- endmacro %}
