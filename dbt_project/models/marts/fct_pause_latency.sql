with

suppressions as (
    select * from {{ of_touched(ref('fct_suppressions')) }}
),

causes as (
    select * from {{ of_touched(ref('fct_suppression_causes')) }}
),

messages as (
    select * from {{ ref('int_messages_scored') }}
),

scores as (
    select
        message_id,
        min(scored_at) as scored_at
    from {{ ref('stg_message_scores') }}
    group by message_id
),

effects as (
    select * from {{ ref('stg_pause_effects') }}
),

-- What a suppression starts with: the first message of the cause that starts at that very instant.
starts as (
    select
        suppressions.customer_id,
        suppressions.scope,
        suppressions.valid_from,
        suppressions.valid_to,
        min(causes.evidence_message_id) as message_id
    from suppressions
    left join causes
        on suppressions.customer_id = causes.customer_id
        and suppressions.valid_from = causes.started_at
        and {{ list_holds('causes.scopes', 'suppressions.scope') }}
    group by suppressions.customer_id, suppressions.scope, suppressions.valid_from, suppressions.valid_to
),

-- The first time that a destination held the pause while it was due.
ranked as (
    select
        starts.customer_id,
        starts.scope,
        starts.valid_from,
        effects.destination,
        effects.decided_at,
        effects.pushed_at,
        effects.effective_at,
        row_number() over (
            partition by starts.customer_id, starts.scope, starts.valid_from
            order by effects.effective_at, effects.destination, effects.intent_id
        ) as recency
    from starts
    inner join effects
        on starts.customer_id = effects.customer_id
        and starts.scope = effects.scope
        and starts.valid_from <= effects.decided_at
        and (starts.valid_to is null or effects.decided_at < starts.valid_to)
),

final as (
    select
        messages.created_at as message_created_at,
        messages.received_at,
        scores.scored_at,
        ranked.decided_at,
        ranked.pushed_at,
        ranked.effective_at,
        {{ minutes_between('coalesce(messages.created_at, starts.valid_from)', 'ranked.effective_at') }} as minutes,
        starts.customer_id,
        starts.scope,
        starts.valid_from,
        starts.message_id,
        ranked.destination
    from starts
    left join messages on starts.message_id = messages.message_id
    left join scores on starts.message_id = scores.message_id
    left join ranked
        on starts.customer_id = ranked.customer_id
        and starts.scope = ranked.scope
        and starts.valid_from = ranked.valid_from
        and ranked.recency = 1
)

select * from final
