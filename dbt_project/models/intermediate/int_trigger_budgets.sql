{#-
    The place of each trigger in its rule's day and month. Budgets are shared by customers: where what touched customers are owed has
    changed, a pass places the month's triggers anew, and computes others' whose place has become another one. A place is counted no
    further than one past the budget, so that these are never more than the budget holds, however many ask.
-#}
with

allowances as (
    select * from {{ ref('int_trigger_allowances') }}
),

stood as (
    select * from {{ ref('stg_placed_triggers') }}
),

present as (
    select
        trigger_id,
        policy_id,
        due_at,
        is_sent
    from {{ of_touched(ref('int_trigger_allowances')) }}
    where is_allowed
),

past as (
    select
        trigger_id,
        policy_id,
        due_at,
        is_sent
    from {{ of_touched('stood') }}
),

differing as (
    (
        select * from present
        except
        select * from past
    )
    union all
    (
        select * from past
        except
        select * from present
    )
),

months as (
    select distinct
        policy_id,
        date_trunc('month', due_at) as due_month
    from differing
),

counted as (
    select
        allowances.trigger_id,
        allowances.budget_per_day,
        allowances.budget_per_month,
        row_number() over (
            partition by allowances.policy_id, cast(allowances.due_at as date)
            order by case when allowances.is_sent then 0 else 1 end, allowances.due_at, allowances.trigger_id
        ) as place_in_day,
        row_number() over (
            partition by allowances.policy_id, months.due_month
            order by case when allowances.is_sent then 0 else 1 end, allowances.due_at, allowances.trigger_id
        ) as place_in_month
    from allowances
    inner join months
        on allowances.policy_id = months.policy_id
        and date_trunc('month', allowances.due_at) = months.due_month
    where allowances.is_allowed
),

placed as (
    select
        trigger_id,
        cast(least(place_in_day, budget_per_day + 1) as bigint) as place_in_day,
        cast(least(place_in_month, budget_per_month + 1) as bigint) as place_in_month
    from counted
),

moved as (
    select placed.trigger_id
    from placed
    inner join stood on placed.trigger_id = stood.trigger_id
    where
        stood.customer_id not in {{ touched_ids() }}
        and (placed.place_in_day <> stood.place_in_day or placed.place_in_month <> stood.place_in_month)
),

concerned as (
    select
        int_trigger_allowances.*,
        coalesce(placed.place_in_day, stood.place_in_day) as place_in_day,
        coalesce(placed.place_in_month, stood.place_in_month) as place_in_month
    from {{ of_touched(ref('int_trigger_allowances'), or_where='trigger_id in (select trigger_id from moved)') }}
    left join placed on int_trigger_allowances.trigger_id = placed.trigger_id
    left join stood on int_trigger_allowances.trigger_id = stood.trigger_id and int_trigger_allowances.is_allowed
)

select * from concerned
