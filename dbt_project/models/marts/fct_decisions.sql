with

causes as (
    select * from {{ of_touched(ref('fct_suppression_causes')) }}
),

policies as (
    select * from {{ ref('stg_suppression_policies') }}
),

messages as (
    select * from {{ ref('int_messages_scored') }}
),

-- Budgets are shared: what one customer is owed may change what another gets.
triggers as (
    select fct_recovery_triggers.*
    from {{ ref('fct_recovery_triggers') }} as fct_recovery_triggers
    inner join {{ ref('int_trigger_budgets') }} as placed on fct_recovery_triggers.trigger_id = placed.trigger_id
),

trigger_causes as (
    select
        triggers.trigger_id,
        scores.model_version
    from triggers
    inner join {{ ref('fct_suppression_causes') }} as causes on triggers.cause_id = causes.cause_id
    inner join {{ ref('fct_message_scores') }} as scores on causes.evidence_message_id = scores.message_id
    where scores.is_in_force
),

overrides as (
    select
        override_id,
        customer_id,
        action,
        actor,
        reason,
        starts_at,
        ends_at,
        {{ ordered_list('scope') }} as scopes
    from {{ ref('int_overrides') }}
    group by override_id, customer_id, action, actor, reason, starts_at, ends_at
),

pauses as (
    select
        {{ hash_key(["'pause'", 'causes.cause_id']) }} as decision_id,
        causes.customer_id,
        'pause' as action,
        case
            when policies.start_kind = 'sentiment' then 'sentiment_' || policies.start_sentiment || ',confidence_reached,ticket_live'
            when causes.ticket_id is not null then 'fact_' || policies.start_fact || ',ticket_live'
            else 'fact_' || policies.start_fact
        end as reason_codes,
        {{ json_object([
            ('subject_kind', 'causes.subject_kind', 'text'),
            ('subject_id', 'causes.subject_id', 'text'),
            ('message_id', 'causes.evidence_message_id', 'text'),
            ('sentiment', 'messages.sentiment', 'text'),
            ('confidence', 'messages.confidence', 'number'),
            ('min_confidence', 'policies.start_min_confidence', 'number'),
            ('days', 'policies.start_days', 'number'),
            ('count', 'policies.start_count', 'number'),
            ('top_reasons', "nullif(messages.top_reasons, '')", 'json'),
        ]) }} as evidence,
        causes.policy_id,
        causes.policy_version,
        messages.model_version,
        {{ hash_key([
            'causes.policy_id', 'causes.policy_version', 'causes.subject_kind', 'causes.subject_id', ts_text('causes.started_at', true),
            'causes.evidence_message_id', 'messages.body_hash', 'messages.sentiment', 'messages.confidence', 'messages.model_version',
            'policies.start_min_confidence', 'policies.start_days', 'policies.start_count',
        ]) }} as inputs_hash,
        causes.started_at as decided_at,
        causes.cause_id,
        cast(null as {{ type_text() }}) as trigger_id,
        cast(null as {{ type_text() }}) as override_id
    from causes
    inner join policies
        on causes.policy_id = policies.policy_id
        and causes.policy_version = policies.policy_version
    left join messages on causes.evidence_message_id = messages.message_id
),

recoveries as (
    select
        {{ hash_key(["'recovery'", 'triggers.trigger_id']) }} as decision_id,
        triggers.customer_id,
        case when triggers.status in ('due', 'sent', 'expired') then 'recover' else 'withhold' end as action,
        triggers.trigger_event || ',' || case
            when triggers.status in ('blocked', 'cancelled', 'held_out') then triggers.status_reason
            else 'owed'
        end as reason_codes,
        {{ json_object([
            ('kind', 'triggers.kind', 'text'),
            ('cause_id', 'triggers.cause_id', 'text'),
            ('ticket_id', 'triggers.ticket_id', 'text'),
            ('shipment_id', 'triggers.shipment_id', 'text'),
            ('called_for_at', 'triggers.base_at', 'time'),
            ('offer', 'triggers.offer', 'text'),
        ]) }} as evidence,
        triggers.policy_id,
        triggers.policy_version,
        trigger_causes.model_version,
        {{ hash_key([
            'triggers.policy_id', 'triggers.policy_version', 'triggers.kind', 'triggers.cause_id', ts_text('triggers.base_at', true),
            ts_text('triggers.due_at', true), ts_text('triggers.expires_at', true), 'triggers.offer',
            "case when triggers.status in ('blocked', 'cancelled', 'held_out') then triggers.status_reason end",
        ]) }} as inputs_hash,
        triggers.due_at as decided_at,
        triggers.cause_id,
        triggers.trigger_id,
        cast(null as {{ type_text() }}) as override_id
    from triggers
    left join trigger_causes on triggers.trigger_id = trigger_causes.trigger_id
),

by_hand as (
    select
        {{ hash_key(["'override'", 'override_id']) }} as decision_id,
        customer_id,
        action,
        'person' as reason_codes,
        {{ json_object([
            ('actor', 'actor', 'text'),
            ('scopes', 'scopes', 'text'),
            ('ends_at', 'ends_at', 'time'),
        ]) }} as evidence,
        cast(null as {{ type_text() }}) as policy_id,
        cast(null as integer) as policy_version,
        cast(null as {{ type_text() }}) as model_version,
        {{ hash_key(['override_id', 'action', 'scopes', ts_text('starts_at', true), ts_text('ends_at', true)]) }} as inputs_hash,
        starts_at as decided_at,
        cast(null as {{ type_text() }}) as cause_id,
        cast(null as {{ type_text() }}) as trigger_id,
        override_id
    from overrides
),

final as (
    select * from pauses
    union all
    select * from recoveries
    union all
    select * from by_hand
)

select * from final
