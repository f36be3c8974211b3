{%- set scopes = ['sales', 'upsell', 'recommendation', 'sms', 'discount', 'celebration', 'review_request'] -%}

with

suppressions as (
    select * from {{ of_touched(ref('fct_suppressions')) }}
),

causes as (
    select * from {{ of_touched(ref('fct_suppression_causes')) }}
    where ended_at is null
),

states as (
    select * from {{ of_touched(ref('dim_customer_states')) }}
),

customers as (
    select * from {{ of_touched(ref('int_customers')) }}
),

-- Whoever was ever paused keeps a row, so that the end of a pause is told as well.
paused as (
    select
        customer_id,
        {% for scope in scopes -%}
            max(case when valid_to is null and scope = '{{ scope }}' then 1 else 0 end) = 1 as roomtone_pause_{{ scope }},
        {% endfor -%}
        max(case when valid_to is null then 1 else 0 end) = 1 as is_paused,
        max(case when valid_to is null and override_ids <> '' then 1 else 0 end) = 1 as is_paused_by_person,
        max(case when valid_to is null then planned_end_at end) as roomtone_pause_until
    from suppressions
    group by customer_id
),

reasons as (
    select
        customer_id,
        {{ ordered_list('policy_id', is_distinct=true) }} as reasons
    from causes
    group by customer_id
),

final as (
    select
        paused.customer_id,
        customers.email,
        customers.phone,
        {% for scope in scopes -%}
            paused.roomtone_pause_{{ scope }},
        {% endfor -%}
        case when paused.is_paused then coalesce(states.tier, 0) else 0 end as roomtone_tier,
        case
            when not paused.is_paused then ''
            when reasons.reasons is null then 'person'
            when paused.is_paused_by_person then reasons.reasons || ',person'
            else reasons.reasons
        end as roomtone_reason,
        paused.roomtone_pause_until
    from paused
    left join customers on paused.customer_id = customers.customer_id
    left join states on paused.customer_id = states.customer_id
    left join reasons on paused.customer_id = reasons.customer_id
)

select * from final
