{#- Each piece of evidence with the interval it would pause by itself: to the earliest end that stands after it. -#}
with

evidence as (
    select * from {{ ref('int_evidence') }}
),

policies as (
    select * from {{ ref('stg_suppression_policies') }}
),

policy_scopes as (
    select * from {{ ref('stg_suppression_policy_scopes') }}
),

closings as (
    select * from {{ ref('int_ticket_closings') }}
),

messages as (
    select * from {{ ref('int_messages_scored') }}
    where not is_abstained
),

overrides as (
    select * from {{ ref('int_overrides') }}
    where action = 'release'
),

scope_counts as (
    select
        policy_id,
        policy_version,
        count(*) as scope_count
    from policy_scopes
    group by policy_id, policy_version
),

-- A person's release ends a cause when it frees every scope that the cause pauses; otherwise it only lifts its own scopes for a while.
releases as (
    select
        overrides.customer_id,
        overrides.starts_at,
        policy_scopes.policy_id,
        policy_scopes.policy_version
    from overrides
    inner join policy_scopes on overrides.scope = policy_scopes.scope
    inner join scope_counts
        on policy_scopes.policy_id = scope_counts.policy_id
        and policy_scopes.policy_version = scope_counts.policy_version
    group by
        overrides.customer_id,
        overrides.override_id,
        overrides.starts_at,
        policy_scopes.policy_id,
        policy_scopes.policy_version,
        scope_counts.scope_count
    having count(*) = scope_counts.scope_count
),

resolved as (
    select
        evidence.policy_id,
        evidence.policy_version,
        evidence.subject_id,
        evidence.message_id,
        min({{ ts_add('closings.closed_at', 'policies.cool_off_hours') }}) as ends_at
    from evidence
    inner join policies
        on evidence.policy_id = policies.policy_id
        and evidence.policy_version = policies.policy_version
    inner join closings
        on evidence.subject_id = closings.ticket_id
        and closings.closing = 'stopped'
        and (closings.next_live_at is null or evidence.evidence_at < closings.next_live_at)
        and (closings.next_live_at is null or closings.next_live_at >= {{ ts_add('closings.closed_at', 'policies.cool_off_hours') }})
    where evidence.subject_kind = 'ticket'
    group by evidence.policy_id, evidence.policy_version, evidence.subject_id, evidence.message_id
),

deleted as (
    select
        evidence.policy_id,
        evidence.policy_version,
        evidence.subject_id,
        evidence.message_id,
        min(closings.closed_at) as ends_at
    from evidence
    inner join closings
        on evidence.subject_id = closings.ticket_id
        and closings.closing = 'deleted'
        and (closings.next_live_at is null or evidence.evidence_at < closings.next_live_at)
    where evidence.subject_kind = 'ticket'
    group by evidence.policy_id, evidence.policy_version, evidence.subject_id, evidence.message_id
),

relieved as (
    select
        evidence.policy_id,
        evidence.policy_version,
        evidence.subject_id,
        evidence.message_id,
        min({{ ts_add('messages.created_at', 'policies.relief_after_hours') }}) as ends_at
    from evidence
    inner join policies
        on evidence.policy_id = policies.policy_id
        and evidence.policy_version = policies.policy_version
    inner join messages
        on evidence.subject_id = messages.ticket_id
        and evidence.evidence_at < messages.created_at
        and policies.relief_sentiment = messages.sentiment
        and policies.relief_min_confidence <= messages.confidence
    where evidence.subject_kind = 'ticket'
    group by evidence.policy_id, evidence.policy_version, evidence.subject_id, evidence.message_id
),

released as (
    select
        evidence.policy_id,
        evidence.policy_version,
        evidence.subject_kind,
        evidence.subject_id,
        evidence.evidence_at,
        min(releases.starts_at) as ends_at
    from evidence
    inner join releases
        on evidence.customer_id = releases.customer_id
        and evidence.policy_id = releases.policy_id
        and evidence.policy_version = releases.policy_version
        and evidence.evidence_at < releases.starts_at
    group by evidence.policy_id, evidence.policy_version, evidence.subject_kind, evidence.subject_id, evidence.evidence_at
),

candidates as (
    select
        evidence.*,
        deleted.ends_at as deleted_at,
        released.ends_at as released_at,
        -- A fact without a ticket is over when its period is.
        coalesce(resolved.ends_at, {{ ts_add('evidence.over_at', 'policies.cool_off_hours') }}) as resolved_at,
        relieved.ends_at as relieved_at,
        {{ ts_add('evidence.evidence_at', 'policies.max_days', 'days') }} as expired_at
    from evidence
    inner join policies
        on evidence.policy_id = policies.policy_id
        and evidence.policy_version = policies.policy_version
    left join deleted
        on evidence.policy_id = deleted.policy_id
        and evidence.policy_version = deleted.policy_version
        and evidence.message_id = deleted.message_id
    left join released
        on evidence.policy_id = released.policy_id
        and evidence.policy_version = released.policy_version
        and evidence.subject_kind = released.subject_kind
        and evidence.subject_id = released.subject_id
        and evidence.evidence_at = released.evidence_at
    left join resolved
        on evidence.policy_id = resolved.policy_id
        and evidence.policy_version = resolved.policy_version
        and evidence.message_id = resolved.message_id
    left join relieved
        on evidence.policy_id = relieved.policy_id
        and evidence.policy_version = relieved.policy_version
        and evidence.message_id = relieved.message_id
),

ended as (
    select
        policy_id,
        policy_version,
        subject_kind,
        subject_id,
        customer_id,
        message_id,
        evidence_at,
        can_begin,
        fact_since_at,
        contacts_count,
        deleted_at,
        released_at,
        resolved_at,
        relieved_at,
        expired_at,
        least(deleted_at, released_at, resolved_at, relieved_at, expired_at) as ends_at
    from candidates
),

explained as (
    select
        policy_id,
        policy_version,
        subject_kind,
        subject_id,
        customer_id,
        message_id,
        evidence_at,
        can_begin,
        fact_since_at,
        contacts_count,
        resolved_at,
        ends_at,
        case
            when ends_at = deleted_at then 'deleted'
            when ends_at = released_at then 'released'
            when ends_at = resolved_at then 'resolved'
            when ends_at = relieved_at then 'relieved'
            else 'expired'
        end as end_reason
    from ended
    where evidence_at < ends_at
)

select * from explained
