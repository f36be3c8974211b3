{#-
    What a customer goes through, whether they have written or not: causes of one kind about one matter that overlap or touch are one
    moment, whichever rules found it.
-#}
with

causes as (
    select * from {{ of_touched(ref('fct_suppression_causes')) }}
),

tickets as (
    select * from {{ of_touched(ref('int_ticket_activity')) }}
),

named as (
    select
        causes.*,
        case
            when start_condition in ('threat', 'repeat_contact') then 'escalation'
            when start_condition = 'shipment_stalled' then 'stalled_shipment'
            when start_condition = 'shipment_late' then 'late_shipment'
            when start_condition = 'marked_spam' then 'spam_complaint'
            when start_condition = 'refund' then 'refund'
            else 'complaint'
        end as kind
    from causes
),

compared as (
    select
        named.*,
        max(planned_end_at) over (
            partition by customer_id, kind, subject_id
            order by started_at, cause_id
            rows between unbounded preceding and 1 preceding
        ) as lasts_until
    from named
),

numbered as (
    select
        compared.*,
        sum(case when started_at <= lasts_until then 0 else 1 end) over (
            partition by customer_id, kind, subject_id
            order by started_at, cause_id
            rows between unbounded preceding and current row
        ) as moment_number
    from compared
),

moments as (
    select
        customer_id,
        kind,
        subject_kind,
        subject_id,
        moment_number,
        min(started_at) as opened_at,
        max(planned_end_at) as planned_close_at,
        max(case when ended_at is null then 1 else 0 end) = 1 as is_open,
        max(tier) as tier,
        {{ ordered_list('cause_id') }} as cause_ids
    from numbered
    group by customer_id, kind, subject_kind, subject_id, moment_number
),

-- The first ticket that the customer opens once the moment has begun: how much earlier than the complaint it was known.
following_tickets as (
    select
        moments.customer_id,
        moments.kind,
        moments.subject_id,
        moments.moment_number,
        min(tickets.created_at) as next_ticket_at
    from moments
    inner join tickets
        on moments.customer_id = tickets.customer_id
        and moments.opened_at <= tickets.created_at
        and moments.planned_close_at > tickets.created_at
    where moments.subject_kind <> 'ticket'
    group by moments.customer_id, moments.kind, moments.subject_id, moments.moment_number
),

final as (
    select
        {{ hash_key(['moments.kind', 'moments.subject_kind', 'moments.subject_id', ts_text('moments.opened_at', true)]) }} as moment_id,
        moments.customer_id,
        moments.kind,
        moments.tier,
        moments.opened_at,
        case when not moments.is_open then moments.planned_close_at end as closed_at,
        moments.planned_close_at,
        moments.subject_kind,
        moments.subject_id,
        moments.subject_kind = 'ticket' or following_tickets.next_ticket_at is not null as has_ticket,
        following_tickets.next_ticket_at,
        case
            when following_tickets.next_ticket_at is not null
                then {{ hours_between('moments.opened_at', 'following_tickets.next_ticket_at') }}
        end as lead_hours,
        moments.cause_ids
    from moments
    left join following_tickets
        on moments.customer_id = following_tickets.customer_id
        and moments.kind = following_tickets.kind
        and moments.subject_id = following_tickets.subject_id
        and moments.moment_number = following_tickets.moment_number
)

select * from final
