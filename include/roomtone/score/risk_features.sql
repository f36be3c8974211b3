-- What was known of each customer at each of `moments`; every comparison is with what lies strictly before it.
with instants as (
    select row_number() over () - 1 as place, customer_id, occurred_at from moments
),

mood as (
    select
        instants.place,
        max(case when messages.occurred_at >= instants.occurred_at - interval 14 day then messages.p_negative end)
            as tone_worst_14d,
        arg_max(messages.p_negative, messages.occurred_at) as tone_last_30d,
        avg(messages.p_negative) as tone_mean_30d,
        max(messages.threat) as threat_30d,
        count(case when messages.occurred_at >= instants.occurred_at - interval 7 day then 1 end) as contacts_7d,
        count(messages.occurred_at) as contacts_30d,
        date_diff('second', max(messages.occurred_at), any_value(instants.occurred_at)) / 86400.0 as days_since_contact
    from instants
    inner join messages
        on instants.customer_id = messages.customer_id
        and messages.occurred_at < instants.occurred_at
        and messages.occurred_at >= instants.occurred_at - interval 30 day
    group by instants.place
),

waiting as (
    select instants.place, count(*) as open_tickets
    from instants
    inner join tickets
        on instants.customer_id = tickets.customer_id
        and tickets.live_from < instants.occurred_at
        and (tickets.live_to is null or tickets.live_to >= instants.occurred_at)
    group by instants.place
),

last_words as (
    select instants.place, instants.occurred_at, messages.ticket_id, max(messages.occurred_at) as written_at
    from instants
    inner join messages
        on instants.customer_id = messages.customer_id
        and messages.occurred_at < instants.occurred_at
        and messages.occurred_at >= instants.occurred_at - interval 30 day
    group by instants.place, instants.occurred_at, messages.ticket_id
),

unanswered as (
    select place, max(date_diff('second', written_at, occurred_at)) / 3600.0 as unanswered_hours
    from last_words
    where not exists (
        select 1 from replies
        where replies.ticket_id = last_words.ticket_id
            and replies.occurred_at > last_words.written_at
            and replies.occurred_at < last_words.occurred_at
    )
    group by place
),

bought as (
    select
        instants.place,
        count(*) as orders_count,
        ln(1 + greatest(sum(orders.total), 0)) as value_log,
        date_diff('second', max(orders.occurred_at), any_value(instants.occurred_at)) / 86400.0 as days_since_order
    from instants
    inner join orders on instants.customer_id = orders.customer_id and orders.occurred_at < instants.occurred_at
    group by instants.place
),

late as (
    select instants.place, count(*) as late_shipments
    from instants
    inner join shipments
        on instants.customer_id = shipments.customer_id
        and shipments.promised_at < instants.occurred_at
        and (shipments.delivered_at is null or shipments.delivered_at >= instants.occurred_at)
    group by instants.place
),

mailed as (
    select
        instants.place,
        count(case when promotions.type = 'sent' and promotions.occurred_at >= instants.occurred_at - interval 7 day then 1 end)
            as promotions_7d,
        count(case when promotions.type = 'sent' and promotions.occurred_at >= instants.occurred_at - interval 30 day then 1 end)
            as promotions_30d,
        date_diff(
            'second', max(case when promotions.type = 'sent' then promotions.occurred_at end), any_value(instants.occurred_at)
        ) / 86400.0 as days_since_promotion,
        count(case when promotions.type = 'opened' then 1 end)
            / greatest(count(case when promotions.type = 'sent' then 1 end), 1)::double as opened_share_90d
    from instants
    inner join promotions
        on instants.customer_id = promotions.customer_id
        and promotions.occurred_at < instants.occurred_at
        and promotions.occurred_at >= instants.occurred_at - interval 90 day
    group by instants.place
)

select
    coalesce(tone_worst_14d, 0) as tone_worst_14d,
    coalesce(tone_last_30d, 0) as tone_last_30d,
    coalesce(tone_mean_30d, 0) as tone_mean_30d,
    coalesce(threat_30d, 0) as threat_30d,
    coalesce(contacts_7d, 0) as contacts_7d,
    coalesce(contacts_30d, 0) as contacts_30d,
    least(coalesce(days_since_contact, 90), 90) as days_since_contact,
    coalesce(open_tickets, 0) as open_tickets,
    least(coalesce(unanswered_hours, 0), 24 * 90) as unanswered_hours,
    coalesce(orders_count, 0) as orders_count,
    coalesce(value_log, 0) as value_log,
    least(coalesce(days_since_order, 90), 90) as days_since_order,
    coalesce(late_shipments, 0) as late_shipments,
    coalesce(promotions_7d, 0) as promotions_7d,
    coalesce(promotions_30d, 0) as promotions_30d,
    least(coalesce(days_since_promotion, 90), 90) as days_since_promotion,
    least(coalesce(opened_share_90d, 0), 1) as opened_share_90d
from instants
left join mood using (place)
left join waiting using (place)
left join unanswered using (place)
left join bought using (place)
left join late using (place)
left join mailed using (place)
order by place
