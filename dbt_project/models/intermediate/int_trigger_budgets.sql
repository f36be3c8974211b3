{#-
    The place of each trigger in its rule's day and month. Budgets are shared by customers, so a pass places every trigger of the
    months in which a touched customer has, or had, one.
-#}
with

allowances as (
    select * from {{ ref('int_trigger_allowances') }}
),

months as (
    select
        policy_id,
        due_month
    from {{ ref('stg_touched_months') }}
    union
    select
        policy_id,
        date_trunc('month', due_at) as due_month
    from {{ of_touched(ref('int_trigger_allowances')) }}
),

placed as (
    select
        allowances.*,
        row_number() over (
            partition by allowances.policy_id, allowances.is_allowed, cast(allowances.due_at as date)
            order by case when allowances.is_sent then 0 else 1 end, allowances.due_at, allowances.trigger_id
        ) as place_in_day,
        row_number() over (
            partition by allowances.policy_id, allowances.is_allowed, months.due_month
            order by case when allowances.is_sent then 0 else 1 end, allowances.due_at, allowances.trigger_id
        ) as place_in_month
    from allowances
    inner join months
        on allowances.policy_id = months.policy_id
        and date_trunc('month', allowances.due_at) = months.due_month
)

select * from placed
