with

messages as (
    select * from {{ ref('stg_messages') }}
    where author = 'customer'
),

tickets as (
    select * from {{ ref('stg_ticket_versions') }}
    where is_latest
),

identities as (
    select * from {{ of_touched(ref('int_customer_identities')) }}
),

statuses as (
    select * from {{ ref('int_ticket_statuses') }}
    where is_live
),

scores as (
    select * from {{ ref('stg_message_scores') }}
),

model_in_force as (
    select * from {{ ref('stg_model_in_force') }}
),

current_pass as (
    select * from {{ ref('stg_current_pass') }}
),

-- A message that the model in force has not scored yet keeps its last score: a change of model never loses a cause.
ranked_scores as (
    select
        scores.*,
        row_number() over (
            partition by scores.message_id, scores.body_hash
            order by
                case when model_in_force.model_version is not null then 0 else 1 end,
                case when scores.scored_at <= current_pass.as_of then 0 else 1 end,
                scores.scored_at desc,
                scores.model_version desc
        ) as recency
    from scores
    cross join current_pass
    left join model_in_force on scores.model_version = model_in_force.model_version
),

joined as (
    select
        messages.message_id,
        messages.ticket_id,
        identities.customer_id,
        messages.source,
        messages.body_hash,
        messages.created_at,
        messages.received_at,
        statuses.ticket_id is not null as is_ticket_live,
        ranked_scores.model_version,
        ranked_scores.p_negative,
        ranked_scores.sentiment,
        ranked_scores.confidence,
        ranked_scores.is_abstained,
        ranked_scores.urgency,
        ranked_scores.urgency_score,
        ranked_scores.intent,
        {{ json_text('ranked_scores.cues', 'threat') }} as threat_cue,
        ranked_scores.top_reasons,
        lag(messages.created_at) over (
            partition by identities.customer_id
            order by messages.created_at, messages.message_id
        ) as previous_message_at
    from messages
    left join tickets on messages.ticket_id = tickets.ticket_id
    left join identities on tickets.customer_id = identities.source_customer_id
    left join statuses
        on messages.ticket_id = statuses.ticket_id
        and messages.created_at >= statuses.valid_from
        and (statuses.valid_to is null or messages.created_at < statuses.valid_to)
    left join ranked_scores
        on messages.message_id = ranked_scores.message_id
        and messages.body_hash = ranked_scores.body_hash
        and ranked_scores.recency = 1
),

told as (
    select
        joined.*,
        -- Whoever says thanks has not had to ask again.
        customer_id is not null
        and not (coalesce(sentiment, '') = 'positive' and not coalesce(is_abstained, true))
        and coalesce(intent, '') <> 'thanks' as is_asking
    from joined
),

judged as (
    select
        message_id,
        ticket_id,
        customer_id,
        source,
        body_hash,
        created_at,
        received_at,
        is_ticket_live,
        model_version,
        p_negative,
        sentiment,
        confidence,
        coalesce(is_abstained, true) as is_abstained,
        urgency,
        urgency_score,
        intent,
        top_reasons,
        case
            when threat_cue is null or is_abstained or threat_cue = 'false' then false
            when threat_cue = 'true' then true
            else cast(threat_cue as {{ type_f64() }}) >= 0.5
        end as has_threat,
        is_asking,
        is_asking
        and (
            previous_message_at is null
            or created_at >= {{ ts_add('previous_message_at', var('contact_gap_minutes'), 'minutes') }}
        ) as is_contact_start
    from told
)

select * from judged
