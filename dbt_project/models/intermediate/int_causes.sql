{#-
    Causes are the islands of their evidence's intervals. While a cause lasts, no later version of its rule begins another on the
    same subject, so a version's first cause depends on how far the last cause of the versions before it reaches. Each round
    settles one more change of version that a cause lasts through; `causes_are_settled` fails should a history need more.
-#}
{%- set rounds = 5 -%}

with

evidence as (
    select * from {{ ref('int_evidence_intervals') }}
),

policies as (
    select * from {{ ref('stg_suppression_policies') }}
),

compared as (
    select
        evidence.*,
        max(ends_at) over (
            partition by policy_id, policy_version, subject_kind, subject_id
            order by evidence_at, message_id
            rows between unbounded preceding and 1 preceding
        ) as lasts_until
    from evidence
),

-- Half-open: evidence at the very end of a cause no longer belongs to it.
islands as (
    select
        compared.*,
        sum(case when evidence_at < lasts_until then 0 else 1 end) over (
            partition by policy_id, policy_version, subject_kind, subject_id
            order by evidence_at, message_id
            rows between unbounded preceding and current row
        ) as island
    from compared
),

causes_0 as (
    select
        policy_id,
        policy_version,
        subject_kind,
        subject_id,
        island,
        min(case when can_begin then evidence_at end) as started_at,
        max(ends_at) as ends_at
    from islands
    group by policy_id, policy_version, subject_kind, subject_id, island
),

{%- for round in range(1, rounds + 1) %}

    held_{{ round }} as (
        select
            policies.policy_id,
            policies.policy_version,
            causes.subject_kind,
            causes.subject_id,
            max(causes.ends_at) as held_until
        from causes_{{ round - 1 }} as causes
        inner join policies
            on causes.policy_id = policies.policy_id
            and causes.policy_version <> policies.policy_version
            and causes.started_at < policies.applies_from
            and causes.ends_at > policies.applies_from
        group by policies.policy_id, policies.policy_version, causes.subject_kind, causes.subject_id
    ),

    causes_{{ round }} as (
        select
            islands.policy_id,
            islands.policy_version,
            islands.subject_kind,
            islands.subject_id,
            islands.island,
            min(
                case
                    when islands.can_begin and (held.held_until is null or islands.evidence_at >= held.held_until) then islands.evidence_at
                end
            ) as started_at,
            max(islands.ends_at) as ends_at
        from islands
        left join held_{{ round }} as held
            on islands.policy_id = held.policy_id
            and islands.policy_version = held.policy_version
            and islands.subject_kind = held.subject_kind
            and islands.subject_id = held.subject_id
        group by islands.policy_id, islands.policy_version, islands.subject_kind, islands.subject_id, islands.island
    ),

{%- endfor %}

ranked as (
    select
        islands.*,
        causes.started_at,
        previous.started_at as started_at_in_previous_round,
        row_number() over (
            partition by islands.policy_id, islands.policy_version, islands.subject_kind, islands.subject_id, islands.island
            order by islands.evidence_at, islands.message_id
        ) as evidence_rank,
        row_number() over (
            partition by islands.policy_id, islands.policy_version, islands.subject_kind, islands.subject_id, islands.island
            order by islands.evidence_at desc, islands.message_id desc
        ) as latest_evidence_rank,
        row_number() over (
            partition by islands.policy_id, islands.policy_version, islands.subject_kind, islands.subject_id, islands.island
            order by islands.ends_at desc, islands.evidence_at desc, islands.message_id desc
        ) as end_rank
    from islands
    inner join causes_{{ rounds }} as causes
        on islands.policy_id = causes.policy_id
        and islands.policy_version = causes.policy_version
        and islands.subject_kind = causes.subject_kind
        and islands.subject_id = causes.subject_id
        and islands.island = causes.island
        and islands.evidence_at >= causes.started_at
    left join causes_{{ rounds - 1 }} as previous
        on islands.policy_id = previous.policy_id
        and islands.policy_version = previous.policy_version
        and islands.subject_kind = previous.subject_kind
        and islands.subject_id = previous.subject_id
        and islands.island = previous.island
),

causes as (
    select
        {{ hash_key(['policy_id', 'subject_kind', 'subject_id', ts_text('started_at', true)]) }} as cause_id,
        customer_id,
        policy_id,
        policy_version,
        subject_kind,
        subject_id,
        started_at,
        max(ends_at) as ends_at,
        max(case when end_rank = 1 then end_reason end) as end_reason,
        max(case when latest_evidence_rank = 1 then resolved_at end) as resolved_at,
        max(case when evidence_rank = 1 then message_id end) as evidence_message_id,
        max(case when evidence_rank = 1 then fact_since_at end) as fact_since_at,
        max(case when evidence_rank = 1 then contacts_count end) as contacts_count,
        max(case when latest_evidence_rank = 1 then message_id end) as latest_evidence_message_id,
        max(evidence_at) as latest_evidence_at,
        count(*) as evidence_count,
        min(case when started_at = started_at_in_previous_round then 1 else 0 end) = 1 as is_settled
    from ranked
    group by customer_id, policy_id, policy_version, subject_kind, subject_id, island, started_at
)

select * from causes
