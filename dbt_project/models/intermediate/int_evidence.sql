{#- Every instant at which a version of a suppression rule finds its `start` met, from the version's publication on. -#}
with

messages as (
    select * from {{ ref('int_messages_scored') }}
    where is_ticket_live and customer_id is not null
),

policies as (
    select * from {{ ref('stg_suppression_policies') }}
),

fact_periods as (
    select * from {{ ref('int_fact_periods') }}
),

contacts as (
    select
        customer_id,
        created_at
    from {{ ref('int_messages_scored') }}
    where is_contact_start
),

current_pass as (
    select * from {{ ref('stg_current_pass') }}
),

meeting_sentiment as (
    select
        policies.policy_id,
        policies.policy_version,
        messages.message_id,
        cast(null as bigint) as contacts_count
    from messages
    inner join policies
        on messages.sentiment = policies.start_sentiment
        and messages.confidence >= policies.start_min_confidence
    where policies.start_kind = 'sentiment' and not messages.is_abstained
),

meeting_threat as (
    select
        policies.policy_id,
        policies.policy_version,
        messages.message_id,
        cast(null as bigint) as contacts_count
    from messages
    inner join policies on policies.start_fact = 'threat'
    where messages.has_threat
),

meeting_repeat_contact as (
    select
        policies.policy_id,
        policies.policy_version,
        messages.message_id,
        count(*) as contacts_count
    from messages
    inner join policies on policies.start_fact = 'repeat_contact'
    inner join contacts
        on messages.customer_id = contacts.customer_id
        and messages.created_at >= contacts.created_at
        and contacts.created_at > {{ ts_add('messages.created_at', '-policies.start_days', 'days') }}
    where messages.is_contact_start
    group by policies.policy_id, policies.policy_version, messages.message_id, policies.start_count
    having count(*) >= policies.start_count
),

meeting_messages as (
    select * from meeting_sentiment
    union all
    select * from meeting_threat
    union all
    select * from meeting_repeat_contact
),

message_evidence as (
    select
        meeting_messages.policy_id,
        meeting_messages.policy_version,
        'ticket' as subject_kind,
        messages.ticket_id as subject_id,
        messages.customer_id,
        messages.message_id,
        messages.created_at as evidence_at,
        cast(null as timestamp) as over_at,
        cast(null as timestamp) as fact_since_at,
        meeting_messages.contacts_count,
        true as is_first_version
    from meeting_messages
    inner join messages on meeting_messages.message_id = messages.message_id
),

-- A period meets `start` at the first instant of the version's time at which it has lasted `days`.
period_evidence as (
    select
        policies.policy_id,
        policies.policy_version,
        policies.applies_from,
        policies.applies_to,
        fact_periods.subject_kind,
        fact_periods.subject_id,
        fact_periods.customer_id,
        fact_periods.holds_from,
        fact_periods.holds_until,
        greatest({{ ts_add('fact_periods.holds_from', 'coalesce(policies.start_days, 0)', 'days') }}, policies.applies_from) as evidence_at
    from fact_periods
    inner join policies on fact_periods.fact = policies.start_fact
),

met_periods as (
    select
        period_evidence.*,
        -- One period begins one cause at most, under the first version that finds it.
        row_number() over (
            partition by policy_id, subject_kind, subject_id, holds_from
            order by case when applies_to is null or evidence_at < applies_to then 0 else 1 end, evidence_at, policy_version
        ) as version_rank
    from period_evidence
    inner join current_pass on period_evidence.evidence_at <= current_pass.as_of
    where holds_until is null or evidence_at < holds_until or (holds_until = holds_from and evidence_at = holds_from)
),

fact_evidence as (
    select
        policy_id,
        policy_version,
        subject_kind,
        subject_id,
        customer_id,
        cast(null as {{ type_text() }}) as message_id,
        evidence_at,
        holds_until as over_at,
        holds_from as fact_since_at,
        cast(null as bigint) as contacts_count,
        version_rank = 1 as is_first_version
    from met_periods
),

all_evidence as (
    select * from message_evidence
    union all
    select * from fact_evidence
),

dated as (
    select
        all_evidence.policy_id,
        all_evidence.policy_version,
        all_evidence.subject_kind,
        all_evidence.subject_id,
        all_evidence.customer_id,
        all_evidence.message_id,
        all_evidence.evidence_at,
        all_evidence.over_at,
        all_evidence.fact_since_at,
        all_evidence.contacts_count,
        -- A version begins causes only while it is in force; later evidence still prolongs the causes that began under it.
        all_evidence.is_first_version
        and (policies.applies_to is null or all_evidence.evidence_at < policies.applies_to) as can_begin
    from all_evidence
    inner join policies
        on all_evidence.policy_id = policies.policy_id
        and all_evidence.policy_version = policies.policy_version
    where policies.applies_from is null or all_evidence.evidence_at >= policies.applies_from
)

select * from dated
