with

scored as (
    select
        message_scores.*,
        row_number() over (
            partition by message_id, body_hash, model_version
            order by scored_at desc, p_negative desc
        ) as recency
    from {{ source('touched', 'message_scores') }} as message_scores
),

renamed as (
    select
        message_id,
        body_hash,
        model_version,
        p_negative,
        p_neutral,
        p_positive,
        sentiment,
        confidence,
        is_abstained,
        urgency,
        urgency_score,
        intent,
        intent_confidence,
        cues,
        language,
        top_reasons,
        scored_at
    from scored
    where recency = 1
)

select * from renamed
