with

messages as (
    select * from {{ ref('int_messages_scored') }}
),

scores as (
    select * from {{ ref('stg_message_scores') }}
),

threads as (
    select * from {{ ref('int_message_threads') }}
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
        coalesce(threads.repeat_count, 0) as repeat_count,
        scores.language,
        scores.model_version,
        scores.top_reasons,
        coalesce(scores.model_version = messages.model_version, false) as is_in_force,
        messages.is_ticket_live,
        messages.created_at,
        messages.received_at,
        scores.scored_at,
        coalesce(threads.repeat_count_30d, 0) as repeat_count_30d,
        coalesce(threads.repeat_count_elsewhere_30d, 0) as repeat_count_elsewhere_30d,
        coalesce(threads.count_contacts_7d, 0) as count_contacts_7d,
        coalesce(threads.count_contacts_30d, 0) as count_contacts_30d,
        threads.tone_slope,
        threads.unanswered_hours
    from messages
    inner join scores
        on messages.message_id = scores.message_id
        and messages.body_hash = scores.body_hash
    left join threads on messages.message_id = threads.message_id
)

select * from joined
