with

causes as (
    select * from {{ ref('int_causes') }}
),

policies as (
    select * from {{ ref('stg_suppression_policies') }}
),

policy_scopes as (
    select * from {{ ref('stg_suppression_policy_scopes') }}
),

current_pass as (
    select * from {{ ref('stg_current_pass') }}
),

scope_lists as (
    select
        policy_id,
        policy_version,
        {{ ordered_list('scope') }} as scopes
    from policy_scopes
    group by policy_id, policy_version
),

final as (
    select
        causes.cause_id,
        causes.customer_id,
        causes.policy_id,
        causes.policy_version,
        case when causes.subject_kind = 'ticket' then causes.subject_id end as ticket_id,
        case when causes.subject_kind = 'shipment' then causes.subject_id end as shipment_id,
        policies.tier,
        scope_lists.scopes,
        causes.started_at,
        case when causes.ends_at <= current_pass.as_of then causes.ends_at end as ended_at,
        causes.ends_at as planned_end_at,
        case when causes.ends_at <= current_pass.as_of then causes.end_reason end as end_reason,
        causes.evidence_message_id,
        causes.end_reason as planned_end_reason,
        coalesce(policies.start_fact, policies.start_sentiment) as start_condition,
        causes.subject_kind,
        causes.subject_id,
        causes.latest_evidence_message_id,
        causes.latest_evidence_at,
        causes.evidence_count
    from causes
    inner join policies
        on causes.policy_id = policies.policy_id
        and causes.policy_version = policies.policy_version
    inner join scope_lists
        on causes.policy_id = scope_lists.policy_id
        and causes.policy_version = scope_lists.policy_version
    cross join current_pass
)

select * from final
