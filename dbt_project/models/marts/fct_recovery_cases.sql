{#- Each cause that made a customer seriously upset, and what it got: every case has one outcome, also the one that got nothing. -#}
{#- Budgets are shared: what one customer is owed may change what another's case got. -#}
{%- set moved = 'cause_id in ' ~ causes_of_others(ref('int_trigger_budgets')) -%}
with

causes as (
    select * from {{ of_touched(ref('fct_suppression_causes'), or_where=moved) }}
    where tier >= 2
),

triggers as (
    select * from {{ of_touched(ref('fct_recovery_triggers'), or_where=moved) }}
),

judged as (
    select
        cause_id,
        kind,
        status,
        case
            when status = 'sent' then 'acted'
            when status = 'due' then 'owed'
            when status = 'held_out' then 'held_out'
            when status = 'expired' then 'expired'
            when status_reason in ('allowance_used', 'daily_budget_spent', 'monthly_budget_spent') then 'capped'
            when status_reason in ('no_email_consent', 'no_sms_consent', 'no_address') then 'not_reachable'
            else 'withheld'
        end as outcome,
        status_reason
    from triggers
),

ranked as (
    select
        judged.*,
        row_number() over (
            partition by cause_id
            order by
                case outcome
                    when 'acted' then 1 when 'owed' then 2 when 'held_out' then 3 when 'expired' then 4
                    when 'capped' then 5 when 'not_reachable' then 6 else 7
                end,
                kind
        ) as outcome_rank
    from judged
),

counted as (
    select
        cause_id,
        count(*) as count_triggers,
        sum(case when outcome in ('acted', 'owed') then 1 else 0 end) as count_given
    from judged
    group by cause_id
),

final as (
    select
        causes.cause_id,
        causes.customer_id,
        causes.policy_id,
        causes.tier,
        causes.ticket_id,
        causes.started_at,
        causes.ended_at,
        coalesce(ranked.outcome, 'missed') as outcome,
        case
            when ranked.outcome is null and causes.ended_at is null then 'nothing_owed_yet'
            when ranked.outcome is null then 'no_rule_applies'
            else ranked.status_reason
        end as reason,
        ranked.kind,
        coalesce(counted.count_triggers, 0) as count_triggers,
        cast(coalesce(counted.count_given, 0) as bigint) as count_given
    from causes
    left join ranked on causes.cause_id = ranked.cause_id and ranked.outcome_rank = 1
    left join counted on causes.cause_id = counted.cause_id
)

select * from final
