{%- set moved = 'cause_id in ' ~ causes_of_others(ref('int_trigger_budgets')) -%}
{%- set evidence_of_others = 'select evidence_message_id from causes_called_for where customer_id not in ' ~ touched_ids() -%}
{#-
    Every decision with its inputs, all of them: `policies/execute.py` takes each one again from this text alone and must come to the
    same action. What the decision does not depend on (wording, owner, the time of the run) is not among them.
-#}
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

starts as (
    select
        cause_id,
        fact_since_at,
        contacts_count
    from {{ ref('int_causes') }}
),

-- Budgets are shared: what one customer is owed may change what another gets.
triggers as (
    select
        placed.*,
        owed.status,
        owed.status_reason
    from {{ ref('int_trigger_budgets') }} as placed
    inner join {{ ref('fct_recovery_triggers') }} as owed on placed.trigger_id = owed.trigger_id
),

causes_called_for as (
    select
        cause_id,
        customer_id,
        evidence_message_id
    from {{ of_touched(ref('fct_suppression_causes'), or_where=moved) }}
),

scores as (
    select * from {{ of_touched(ref('fct_message_scores'), or_where='message_id in (' ~ evidence_of_others ~ ')') }}
),

trigger_causes as (
    select
        triggers.trigger_id,
        scores.model_version
    from triggers
    inner join causes_called_for as causes on triggers.cause_id = causes.cause_id
    inner join scores on causes.evidence_message_id = scores.message_id
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
        {{ json_object([
            ('decision', "'pause'", 'text'),
            ('policy_id', 'causes.policy_id', 'text'),
            ('policy_version', 'causes.policy_version', 'number'),
            ('start_kind', 'policies.start_kind', 'text'),
            ('start_sentiment', 'policies.start_sentiment', 'text'),
            ('start_min_confidence', 'policies.start_min_confidence', 'number'),
            ('start_fact', 'policies.start_fact', 'text'),
            ('start_days', 'policies.start_days', 'number'),
            ('start_count', 'policies.start_count', 'number'),
            ('tier', 'causes.tier', 'number'),
            ('scopes', 'causes.scopes', 'text'),
            ('subject_kind', 'causes.subject_kind', 'text'),
            ('subject_id', 'causes.subject_id', 'text'),
            ('evidence_at', 'causes.started_at', 'instant'),
            ('fact_since_at', 'starts.fact_since_at', 'instant'),
            ('contacts', 'starts.contacts_count', 'number'),
            ('message_id', 'causes.evidence_message_id', 'text'),
            ('body_hash', 'messages.body_hash', 'text'),
            ('is_ticket_live', 'messages.is_ticket_live', 'json'),
            ('model_version', 'messages.model_version', 'text'),
            ('is_abstained', 'messages.is_abstained', 'json'),
            ('sentiment', 'messages.sentiment', 'text'),
            ('confidence', 'messages.confidence', 'number'),
            ('has_threat', 'messages.has_threat', 'json'),
        ]) }} as inputs,
        causes.policy_id,
        causes.policy_version,
        messages.model_version,
        causes.started_at as decided_at,
        causes.cause_id,
        cast(null as {{ type_text() }}) as trigger_id,
        cast(null as {{ type_text() }}) as override_id
    from causes
    inner join policies
        on causes.policy_id = policies.policy_id
        and causes.policy_version = policies.policy_version
    inner join starts on causes.cause_id = starts.cause_id
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
        {{ json_object([
            ('decision', "'recovery'", 'text'),
            ('policy_id', 'triggers.policy_id', 'text'),
            ('policy_version', 'triggers.policy_version', 'number'),
            ('kind', 'triggers.kind', 'text'),
            ('message_class', 'triggers.message_class', 'text'),
            ('offer', 'triggers.offer', 'text'),
            ('trigger_event', 'triggers.trigger_event', 'text'),
            ('cause_id', 'triggers.cause_id', 'text'),
            ('tier', 'triggers.tier', 'number'),
            ('base_at', 'triggers.base_at', 'instant'),
            ('due_at', 'triggers.due_at', 'instant'),
            ('expires_at', 'triggers.expires_at', 'instant'),
            ('is_sent', 'triggers.is_sent', 'json'),
            ('is_over_before_due', 'triggers.is_over_before_due', 'json'),
            ('reopened_at', 'triggers.reopened_at', 'instant'),
            ('upset_again_at', 'triggers.upset_again_at', 'instant'),
            ('was_upset_already', 'triggers.was_upset_already', 'json'),
            ('requires_fact', 'triggers.requires_fact', 'json'),
            ('has_verified_fact', 'triggers.has_verified_fact', 'json'),
            ('has_lasting_ticket_cause', 'triggers.has_lasting_ticket_cause', 'json'),
            ('are_offers_paused', 'triggers.are_offers_paused', 'json'),
            ('consent', 'triggers.consent', 'text'),
            ('has_email_consent', 'triggers.has_email_consent', 'json'),
            ('has_sms_consent', 'triggers.has_sms_consent', 'json'),
            ('has_address', 'triggers.has_address', 'json'),
            ('is_within_allowance', 'triggers.is_allowed', 'json'),
            ('place_in_day', 'triggers.place_in_day', 'number'),
            ('budget_per_day', 'triggers.budget_per_day', 'number'),
            ('place_in_month', 'triggers.place_in_month', 'number'),
            ('budget_per_month', 'triggers.budget_per_month', 'number'),
        ]) }} as inputs,
        triggers.policy_id,
        triggers.policy_version,
        trigger_causes.model_version,
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
        {{ json_object([
            ('decision', "'override'", 'text'),
            ('override_id', 'override_id', 'text'),
            ('action', 'action', 'text'),
            ('scopes', 'scopes', 'text'),
            ('starts_at', 'starts_at', 'instant'),
            ('ends_at', 'ends_at', 'instant'),
        ]) }} as inputs,
        cast(null as {{ type_text() }}) as policy_id,
        cast(null as integer) as policy_version,
        cast(null as {{ type_text() }}) as model_version,
        starts_at as decided_at,
        cast(null as {{ type_text() }}) as cause_id,
        cast(null as {{ type_text() }}) as trigger_id,
        override_id
    from overrides
),

decided as (
    select * from pauses
    union all
    select * from recoveries
    union all
    select * from by_hand
),

final as (
    select
        decision_id,
        customer_id,
        action,
        reason_codes,
        evidence,
        policy_id,
        policy_version,
        model_version,
        md5(inputs) as inputs_hash,
        decided_at,
        cause_id,
        trigger_id,
        override_id,
        inputs
    from decided
)

select * from final
