with

messages as (
    select * from {{ ref('int_messages_scored') }}
),

scores as (
    select * from {{ ref('stg_message_scores') }}
),

joined as (
    select
        messages.message_id,
        messages.ticket_id,
        messages.customer_id,
        scores.p_negative,
        scores.p_neutral,
        scores.p_positive,
        scores.sentiment,
        scores.confidence,
        scores.is_abstained,
        scores.urgency,
        scores.urgency_score,
        scores.intent,
        scores.intent_confidence,
        scores.cues,
        case
            when scores.intent is null or messages.customer_id is null then 0
            else count(*) over (
                    partition by messages.customer_id, scores.intent, scores.model_version
                    order by messages.created_at
                    range between interval '{{ var("repeat_count_days") }} days' preceding and current row
                ) - 1
        end as repeat_count,
        scores.language,
        scores.model_version,
        scores.top_reasons,
        coalesce(scores.model_version = messages.model_version, false) as is_in_force,
        messages.is_ticket_live,
        messages.created_at,
        messages.received_at,
        scores.scored_at
    from messages
    inner join scores
        on messages.message_id = scores.message_id
        and messages.body_hash = scores.body_hash
)

select * from joined
