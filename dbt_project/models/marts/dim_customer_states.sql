with

changes as (
    select * from {{ of_touched(ref('fct_customer_state_changes')) }}
    where valid_to is null
),

causes as (
    select * from {{ of_touched(ref('fct_suppression_causes')) }}
    where ended_at is null
),

scores as (
    select * from {{ of_touched(ref('fct_message_scores')) }}
    where is_in_force
),

customers as (
    select * from {{ of_touched(ref('dim_customers')) }}
),

current_pass as (
    select * from {{ ref('stg_current_pass') }}
),

latest_scores as (
    select
        customer_id,
        model_version,
        p_negative,
        created_at,
        row_number() over (
            partition by customer_id
            order by created_at desc, message_id desc
        ) as recency
    from scores
),

leading_causes as (
    select
        customer_id,
        policy_id,
        policy_version,
        row_number() over (
            partition by customer_id
            order by tier desc, started_at asc, cause_id asc
        ) as lead_rank
    from causes
),

reasons as (
    select
        customer_id,
        {{ ordered_list('policy_id', is_distinct=true) }} as reasons
    from causes
    group by customer_id
),

joined as (
    select
        changes.customer_id,
        changes.state,
        changes.tier,
        changes.valid_from as since_at,
        coalesce(reasons.reasons, '') as reasons,
        -- A declared stand-in until a model learns it from outcomes: mood weighs most, then a recent angry message, then no order yet.
        least(
            1.0,
            0.05
            + 0.2 * changes.tier
            + case when changes.state = 'recovering' then 0.1 else 0 end
            + case
                when latest_scores.created_at > {{ ts_add('current_pass.as_of', -30, 'days') }} then 0.2 * latest_scores.p_negative
                else 0
            end
            + case when customers.orders_count = 0 then 0.05 else 0 end
        ) as churn_risk,
        latest_scores.model_version,
        leading_causes.policy_version,
        leading_causes.policy_id
    from changes
    inner join customers on changes.customer_id = customers.customer_id
    cross join current_pass
    left join reasons on changes.customer_id = reasons.customer_id
    left join latest_scores on changes.customer_id = latest_scores.customer_id and latest_scores.recency = 1
    left join leading_causes on changes.customer_id = leading_causes.customer_id and leading_causes.lead_rank = 1
),

final as (
    select
        customer_id,
        state,
        tier,
        since_at,
        reasons,
        cast(churn_risk as {{ type_f64() }}) as churn_risk,
        model_version,
        policy_version,
        policy_id
    from joined
)

select * from final
