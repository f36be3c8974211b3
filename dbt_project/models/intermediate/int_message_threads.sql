{#-
    What came before a customer's message: whether it says again what was said, by meaning, how often they got in touch, where the tone
    goes, and how long nobody had answered. Of earlier messages the latest alone are compared.
-#}
{%- set compared = var('repeat_most_compared') -%}
with

messages as (
    select * from {{ ref('int_messages_scored') }}
    where customer_id is not null
),

replies as (
    select * from {{ ref('stg_messages') }}
    where author = 'agent' and is_public
),

concepts as (
    select * from {{ ref('stg_message_concepts') }}
),

asking as (
    select
        message_id,
        ticket_id,
        customer_id,
        body_hash,
        created_at,
        row_number() over (
            partition by customer_id
            order by created_at, message_id
        ) as place,
        lag(created_at) over (
            partition by customer_id
            order by created_at, message_id
        ) as previous_at,
        lead(created_at) over (
            partition by customer_id
            order by created_at, message_id
        ) as next_at
    from messages
    where is_asking
),

-- Who wrote but once has nothing to compare. A message meets those on its own shelf and on the one before.
said as (
    select
        asking.message_id,
        asking.ticket_id,
        asking.customer_id,
        asking.created_at,
        asking.place,
        asking.place - mod(asking.place, {{ compared }}) as shelf,
        concepts.concept,
        concepts.weight
    from asking
    inner join concepts
        on asking.message_id = concepts.message_id
        and asking.body_hash = concepts.body_hash
    where
        asking.previous_at >= {{ ts_add('asking.created_at', -30, 'days') }}
        or asking.next_at <= {{ ts_add('asking.created_at', 30, 'days') }}
),

said_before as (
    select
        message_id,
        ticket_id,
        customer_id,
        created_at,
        place,
        shelf,
        concept,
        weight
    from said
    union all
    select
        message_id,
        ticket_id,
        customer_id,
        created_at,
        place,
        shelf + {{ compared }} as shelf,
        concept,
        weight
    from said
),

repetitions as (
    select
        said.message_id,
        said.ticket_id,
        said.created_at,
        said_before.ticket_id as earlier_ticket_id,
        said_before.created_at as earlier_at
    from said
    inner join said_before
        on said.customer_id = said_before.customer_id
        and said.concept = said_before.concept
        and said.shelf = said_before.shelf
        and said.place > said_before.place
        and said.place <= said_before.place + {{ compared }}
        and said_before.created_at >= {{ ts_add('said.created_at', -30, 'days') }}
    group by
        said.message_id,
        said.ticket_id,
        said.created_at,
        said_before.message_id,
        said_before.ticket_id,
        said_before.created_at
    having sum(said.weight * said_before.weight) >= {{ var('repeat_least_likeness') }}
),

repeats as (
    select
        message_id,
        sum(
            case when earlier_at >= {{ ts_add('created_at', '-' ~ var('repeat_count_days'), 'days') }} then 1 else 0 end
        ) as repeat_count,
        count(*) as repeat_count_30d,
        sum(case when earlier_ticket_id <> ticket_id then 1 else 0 end) as repeat_count_elsewhere_30d
    from repetitions
    group by message_id
),

toned as (
    select
        message_id,
        customer_id,
        created_at,
        p_negative,
        min(created_at) over (partition by customer_id) as first_at
    from messages
    where p_negative is not null
),

-- Whole numbers, so that sums do not depend on their order: tones in ten-thousandths, time in minutes of the customer's own.
tones as (
    select
        message_id,
        customer_id,
        created_at,
        cast(round(p_negative * 10000) as bigint) as tone,
        cast(floor({{ minutes_between('first_at', 'created_at') }}) as bigint) as minutes
    from toned
),

tone_sums as (
    select
        message_id,
        cast(count(*) over recent as {{ type_f64() }}) as n,
        cast(sum(minutes) over recent as {{ type_f64() }}) as sum_t,
        cast(sum(minutes * minutes) over recent as {{ type_f64() }}) as sum_tt,
        cast(sum(tone) over recent as {{ type_f64() }}) as sum_y,
        cast(sum(minutes * tone) over recent as {{ type_f64() }}) as sum_ty
    from tones
    window recent as (
        partition by customer_id
        order by created_at
        range between interval '30 days' preceding and current row
    )
),

slopes as (
    select
        message_id,
        case
            when n * sum_tt - sum_t * sum_t < 0.5 then 0
            else (n * sum_ty - sum_t * sum_y) / (n * sum_tt - sum_t * sum_t) * 1440 / 10000
        end as tone_slope
    from tone_sums
),

-- An answer at the very instant of a message is no answer to it.
turns as (
    select
        ticket_id,
        message_id,
        created_at,
        0 as replies
    from messages
    union all
    select
        ticket_id,
        null as message_id,
        created_at,
        1 as replies
    from replies
),

rounds as (
    select
        ticket_id,
        message_id,
        created_at,
        sum(replies) over (
            partition by ticket_id
            order by created_at
            range between unbounded preceding and current row
        ) as count_replies
    from turns
),

waits as (
    select
        message_id,
        created_at,
        min(created_at) over (partition by ticket_id, count_replies) as waiting_since_at
    from rounds
    where message_id is not null
),

contacts as (
    select
        message_id,
        customer_id,
        sum(case when is_contact_start then 1 else 0 end) over (
            partition by customer_id
            order by created_at
            range between interval '7 days' preceding and current row
        ) as count_contacts_7d,
        sum(case when is_contact_start then 1 else 0 end) over (
            partition by customer_id
            order by created_at
            range between interval '30 days' preceding and current row
        ) as count_contacts_30d
    from messages
),

joined as (
    select
        contacts.message_id,
        contacts.customer_id,
        cast(coalesce(repeats.repeat_count, 0) as bigint) as repeat_count,
        cast(coalesce(repeats.repeat_count_30d, 0) as bigint) as repeat_count_30d,
        cast(coalesce(repeats.repeat_count_elsewhere_30d, 0) as bigint) as repeat_count_elsewhere_30d,
        cast(contacts.count_contacts_7d as bigint) as count_contacts_7d,
        cast(contacts.count_contacts_30d as bigint) as count_contacts_30d,
        cast(coalesce(slopes.tone_slope, 0) as {{ type_f64() }}) as tone_slope,
        cast({{ hours_between('waits.waiting_since_at', 'waits.created_at') }} as {{ type_f64() }}) as unanswered_hours
    from contacts
    inner join waits on contacts.message_id = waits.message_id
    left join repeats on contacts.message_id = repeats.message_id
    left join slopes on contacts.message_id = slopes.message_id
)

select * from joined
