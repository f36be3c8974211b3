{#-
    Whom the hourly weighing has not seen yet is weighed by the declared rule on mood alone: `RULE` of roomtone.score.risk. Rounded as
    the weighing rounds.
-#}
with

customers as (
    select * from {{ of_touched(ref('int_customers')) }}
),

identities as (
    select * from {{ of_touched(ref('int_customer_identities')) }}
),

risks as (
    select * from {{ ref('stg_customer_risks') }}
),

messages as (
    select * from {{ ref('int_messages_scored') }}
),

current_pass as (
    select * from {{ ref('stg_current_pass') }}
),

weighed as (
    select
        identities.customer_id,
        risks.risk,
        risks.risk_version,
        risks.weighed_at,
        row_number() over (
            partition by identities.customer_id
            order by risks.weighed_at desc, risks.risk desc, risks.risk_version desc
        ) as recency
    from risks
    inner join identities on risks.source_customer_id = identities.source_customer_id
),

moods as (
    select
        messages.customer_id,
        max(messages.p_negative) as worst_tone
    from messages
    inner join current_pass on messages.created_at > {{ ts_add('current_pass.as_of', '-' ~ var('risk_tone_days'), 'days') }}
    group by messages.customer_id
),

joined as (
    select
        customers.customer_id,
        coalesce(
            weighed.risk,
            floor(
                1000 / (1 + exp(-({{ var('risk_base_log_odds') }} + {{ var('risk_tone_weight') }} * coalesce(moods.worst_tone, 0)))) + 0.5
            ) / 1000
        ) as churn_risk,
        coalesce(weighed.risk_version, '{{ var("risk_rule_version") }}') as risk_version,
        weighed.weighed_at as risk_weighed_at
    from customers
    left join weighed on customers.customer_id = weighed.customer_id and weighed.recency = 1
    left join moods on customers.customer_id = moods.customer_id
)

select * from joined
