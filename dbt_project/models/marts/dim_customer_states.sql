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

latest_scores as (
    select
        customer_id,
        model_version,
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
        customers.churn_risk,
        customers.risk_version,
        latest_scores.model_version,
        leading_causes.policy_version,
        leading_causes.policy_id
    from changes
    inner join customers on changes.customer_id = customers.customer_id
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
        churn_risk,
        model_version,
        policy_version,
        policy_id,
        risk_version
    from joined
)

select * from final
