{#
    A pass computes everybody's rows under `--full-refresh`, and otherwise the rows of the customers that it touches: the schema
    `touched` then holds their ids and their records alone. So a model reads like any other; only what is kept from pass to pass
    is read through `of_touched`, and written by the materialization `kept`.
#}
{% macro is_whole() -%}
    {{ return(flags.FULL_REFRESH) }}
{%- endmacro %}

{# The touched customers, under every id that they have. #}
{% macro touched_ids() -%}
    (select customer_id from {{ source('touched', 'customer_ids') }})
{%- endmacro %}

{# Where `kept` has left what it computed for the table `target` in this pass. #}
{% macro rows_of_touched(target) -%}
    touched.{{ target.identifier }}
{%- endmacro %}

{#
    A relation, narrowed to the rows of the customers of this pass and to those that meet `or_where`. Of a kept table this pass has
    computed the former already, and nothing else of it need be read for them.
#}
{% macro of_touched(relation, or_where=none) -%}
    {%- set is_kept = relation.identifier and relation.schema != 'raw' -%}
    {%- if is_whole() -%}
    {{ relation }}
    {%- else -%}
    (
        select * from {{ rows_of_touched(relation) if is_kept else relation }}
        where customer_id in {{ touched_ids() }}
        {%- if or_where %}
        union all
        select * from {{ relation }}
        where {{ or_where }} and coalesce(customer_id, '') not in {{ touched_ids() }}
        {%- endif %}
    ) as {{ relation.identifier or relation }}
    {%- endif -%}
{%- endmacro %}

{#
    The causes of other customers' triggers that a pass moves in their budgets, for `or_where`: mostly none, and then nothing is read.
    A whole pass has no others.
#}
{% macro causes_of_others(budgets) -%}
    (select cause_id from {{ budgets }} where customer_id not in {{ touched_ids() }})
{%- endmacro %}

{# In a whole pass the schema `touched` is a window on everything that has landed. #}
{% macro touch_everything() -%}
    {%- if execute and is_whole() and flags.WHICH in ('build', 'run') -%}
    drop schema if exists touched cascade;
    create schema touched;
    {% for stream in ['customers', 'tickets', 'messages', 'satisfaction_ratings', 'orders', 'shipments', 'campaigns', 'marketing_events', 'message_scores', 'message_concepts', 'customer_risks', 'overrides'] -%}
    create view touched.{{ stream }} as select * from raw.{{ stream }};
    {% endfor -%}
    create table touched.customer_ids (customer_id {{ type_text() }});
    create table touched.ticket_ids (ticket_id {{ type_text() }});
    create table touched.placed_triggers (
        trigger_id {{ type_text() }}, customer_id {{ type_text() }}, policy_id {{ type_text() }}, due_at timestamp,
        status {{ type_text() }}, place_in_day bigint, place_in_month bigint
    );
    {#- A model that scored after the instant of the pass is not in force yet, unless no other had scored by then. -#}
    create view touched.model_in_force as
    select model_version
    from (
        select
            scores.model_version,
            row_number() over (
                order by
                    case when min(scores.scored_at) <= max(current_pass.as_of) then 0 else 1 end,
                    max(case when scores.scored_at <= current_pass.as_of then scores.scored_at end) desc,
                    min(scores.scored_at),
                    scores.model_version desc
            ) as recency
        from raw.message_scores as scores
        cross join raw.current_pass as current_pass
        group by scores.model_version
    ) as models
    where recency = 1
    {%- endif -%}
{%- endmacro %}

{# Data tests of a kept table look at what the pass computed; a whole pass looks at everything. #}
{% macro get_where_subquery(relation) -%}
    {%- set tested = graph.nodes.get(model.get('attached_node')) if execute else none -%}
    {%- if tested and tested.config.materialized == 'kept' and not is_whole() -%}
        {{ rows_of_touched(relation) }} as of_this_pass
    {%- else -%}
        {{ relation }}
    {%- endif -%}
{%- endmacro %}
