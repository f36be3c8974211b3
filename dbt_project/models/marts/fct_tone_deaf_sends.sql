with

sends as (
    select * from {{ ref('stg_marketing_events') }}
    where type = 'sent'
),

identities as (
    select distinct
        source_customer_id,
        customer_id
    from {{ of_touched(ref('int_customer_identities')) }}
),

campaigns as (
    select * from {{ ref('stg_campaigns') }}
),

causes as (
    select * from {{ of_touched(ref('fct_suppression_causes')) }}
),

suppressions as (
    select * from {{ of_touched(ref('fct_suppressions')) }}
),

latencies as (
    select * from {{ of_touched(ref('fct_pause_latency')) }}
),

decisions as (
    select * from {{ of_touched(ref('fct_decisions')) }}
),

-- A campaign without a scope counts as promotional in every scope.
promotional as (
    select
        sends.marketing_event_id,
        coalesce(identities.customer_id, sends.customer_id) as customer_id,
        sends.campaign_id,
        campaigns.scope,
        sends.occurred_at as sent_at
    from sends
    inner join campaigns on sends.campaign_id = campaigns.campaign_id
    left join identities on sends.customer_id = identities.source_customer_id
    where campaigns.scope is null or campaigns.scope <> 'transactional'
),

-- The cause that began first of those that were going on when it was sent.
during as (
    select
        promotional.marketing_event_id,
        promotional.customer_id,
        promotional.campaign_id,
        promotional.scope,
        promotional.sent_at,
        causes.cause_id,
        causes.started_at,
        row_number() over (
            partition by promotional.marketing_event_id
            order by causes.started_at, causes.cause_id
        ) as recency
    from promotional
    inner join causes
        on promotional.customer_id = causes.customer_id
        and causes.started_at <= promotional.sent_at
        and promotional.sent_at < coalesce(causes.ended_at, causes.planned_end_at)
        and (promotional.scope is null or {{ list_holds('causes.scopes', 'promotional.scope') }})
),

held_out as (
    select distinct
        customer_id,
        cause_id
    from decisions
    where action = 'held_out'
),

-- Whether the scope was paused at all at that instant, and since when the platform was seen to know.
pauses as (
    select
        during.marketing_event_id,
        max(case when suppressions.customer_id is not null then 1 else 0 end) as is_paused,
        min(latencies.effective_at) as effective_at
    from during
    left join suppressions
        on during.customer_id = suppressions.customer_id
        and (during.scope is null or during.scope = suppressions.scope)
        and suppressions.valid_from <= during.sent_at
        and (suppressions.valid_to is null or during.sent_at < suppressions.valid_to)
    left join latencies
        on suppressions.customer_id = latencies.customer_id
        and suppressions.scope = latencies.scope
        and suppressions.valid_from = latencies.valid_from
    where during.recency = 1
    group by during.marketing_event_id
),

final as (
    select
        during.marketing_event_id,
        during.customer_id,
        during.campaign_id,
        during.scope,
        during.sent_at,
        {{ minutes_between('during.started_at', 'during.sent_at') }} as minutes_after_cause,
        case
            when held_out.customer_id is not null then 'held_out'
            when pauses.is_paused = 0 then 'allowed'
            when during.scope is null then 'unscoped'
            when pauses.effective_at is null or during.sent_at < pauses.effective_at then 'late'
            else 'drift'
        end as why,
        during.cause_id
    from during
    inner join pauses on during.marketing_event_id = pauses.marketing_event_id
    left join held_out
        on during.customer_id = held_out.customer_id
        and during.cause_id = held_out.cause_id
    where during.recency = 1
)

select * from final
