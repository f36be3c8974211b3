{#-
    Which candidates fit a customer's allowance: at most `max_per_customer` within `cooldown_days`, first come first served, sent ones
    first of all. Marketing kinds share one allowance; other kinds have one each. The greedy choice is unrolled: each round takes the
    next candidate that fits. Candidates further apart than any cooldown start afresh, so the rounds bound one run of close ones only;
    what lies beyond them is withheld.
-#}
{%- set rounds = 5 -%}

with

candidates as (
    select * from {{ ref('int_trigger_candidates') }}
),

customers as (
    select * from {{ of_touched(ref('int_customers')) }}
),

suppressions as (
    select * from {{ of_touched(ref('fct_suppressions')) }}
    where scope = 'discount'
),

outcomes as (
    select
        trigger_id,
        min(sent_at) as sent_at
    from {{ ref('stg_trigger_outcomes') }}
    where status = 'done'
    group by trigger_id
),

paused_offers as (
    select distinct candidates.trigger_id
    from candidates
    inner join suppressions
        on candidates.customer_id = suppressions.customer_id
        and candidates.due_at >= suppressions.valid_from
        and candidates.due_at < suppressions.planned_end_at
    where candidates.message_class = 'marketing'
),

gated as (
    select
        candidates.*,
        outcomes.sent_at,
        outcomes.trigger_id is not null as is_sent,
        customers.has_email_consent,
        customers.has_sms_consent,
        customers.email is not null or customers.phone is not null as has_address,
        paused_offers.trigger_id is not null as are_offers_paused,
        case
            when candidates.is_over_before_due then 'cause_ended'
            when candidates.reopened_at is not null then 'reopened'
            when candidates.upset_again_at is not null and candidates.upset_again_at > candidates.due_at then 'upset_again'
            when candidates.trigger_event <> 'shipment_stalled' and candidates.upset_again_at is not null then 'upset_again'
        end as cancel_reason,
        case
            when candidates.was_upset_already then 'was_upset_already'
            when candidates.requires_fact and not candidates.has_verified_fact then 'no_verified_fact'
            when candidates.message_class = 'marketing' and candidates.has_lasting_ticket_cause then 'ticket_cause_lasts'
            when paused_offers.trigger_id is not null then 'offers_paused'
            when candidates.consent = 'email' and not customers.has_email_consent then 'no_email_consent'
            when candidates.consent = 'sms' and not customers.has_sms_consent then 'no_sms_consent'
            when candidates.message_class <> 'human' and customers.email is null and customers.phone is null then 'no_address'
        end as block_reason,
        candidates.customer_id || '|' || case when candidates.message_class = 'marketing' then 'marketing' else candidates.kind end
            as allowance_key
    from candidates
    inner join customers on candidates.customer_id = customers.customer_id
    left join outcomes on candidates.trigger_id = outcomes.trigger_id
    left join paused_offers on candidates.trigger_id = paused_offers.trigger_id
),

eligible as (
    select
        trigger_id,
        allowance_key,
        due_at,
        is_sent,
        max_per_customer,
        cooldown_days,
        lag(due_at) over (
            partition by allowance_key
            order by due_at, trigger_id
        ) as previous_due_at,
        max(cooldown_days) over (partition by allowance_key) as longest_cooldown_days
    from gated
    where is_sent or (cancel_reason is null and block_reason is null)
),

runs as (
    select
        eligible.*,
        sum(case when due_at < {{ ts_add('previous_due_at', 'longest_cooldown_days', 'days') }} then 0 else 1 end) over (
            partition by allowance_key
            order by due_at, trigger_id
            rows between unbounded preceding and current row
        ) as run_number
    from eligible
),

placed as (
    select
        runs.*,
        row_number() over (
            partition by allowance_key, run_number
            order by due_at, trigger_id
        ) as place
    from runs
),

taken_0 as (
    select
        trigger_id,
        allowance_key,
        run_number,
        due_at,
        0 as place
    from placed
    where is_sent
),

{%- for round in range(1, rounds + 1) %}

    fitting_{{ round }} as (
        select
            placed.allowance_key,
            placed.run_number,
            placed.place
        from placed
        left join taken_{{ round - 1 }} as taken
            on placed.allowance_key = taken.allowance_key
            and taken.due_at > {{ ts_add('placed.due_at', '-placed.cooldown_days', 'days') }}
            and taken.due_at < {{ ts_add('placed.due_at', 'placed.cooldown_days', 'days') }}
        left join (
            select
                allowance_key,
                run_number,
                max(place) as place
            from taken_{{ round - 1 }}
            group by allowance_key, run_number
        ) as latest
            on placed.allowance_key = latest.allowance_key
            and placed.run_number = latest.run_number
        where not placed.is_sent and placed.place > coalesce(latest.place, 0)
        group by placed.allowance_key, placed.run_number, placed.place, placed.max_per_customer
        having count(taken.trigger_id) < coalesce(placed.max_per_customer, 1)
    ),

    next_{{ round }} as (
        select
            allowance_key,
            run_number,
            min(place) as place
        from fitting_{{ round }}
        group by allowance_key, run_number
    ),

    taken_{{ round }} as (
        select * from taken_{{ round - 1 }}
        union all
        select
            placed.trigger_id,
            placed.allowance_key,
            placed.run_number,
            placed.due_at,
            placed.place
        from placed
        inner join next_{{ round }} as next_place
            on placed.allowance_key = next_place.allowance_key
            and placed.run_number = next_place.run_number
            and placed.place = next_place.place
    ),

{%- endfor %}

allowed as (
    select
        gated.*,
        taken.trigger_id is not null as is_allowed
    from gated
    left join taken_{{ rounds }} as taken on gated.trigger_id = taken.trigger_id
)

select * from allowed
