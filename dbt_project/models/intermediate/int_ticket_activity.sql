with

versions as (
    select * from {{ ref('stg_ticket_versions') }}
),

statuses as (
    select * from {{ ref('int_ticket_statuses') }}
),

messages as (
    select * from {{ ref('stg_messages') }}
),

scores as (
    select * from {{ ref('int_messages_scored') }}
),

identities as (
    select * from {{ of_touched(ref('int_customer_identities')) }}
),

tickets as (
    select
        versions.ticket_id,
        identities.customer_id,
        versions.source,
        versions.channel,
        versions.status,
        versions.priority,
        versions.assignee_id,
        versions.order_id,
        nullif(versions.merged_into, versions.ticket_id) as merged_into,
        versions.created_at
    from versions
    inner join identities on versions.customer_id = identities.source_customer_id
    where versions.is_latest
),

compared_statuses as (
    select
        ticket_id,
        valid_from,
        is_live,
        status,
        lag(is_live) over (
            partition by ticket_id
            order by valid_from
        ) as was_live
    from statuses
),

status_changes as (
    select
        ticket_id,
        sum(case when is_live and not was_live then 1 else 0 end) as count_reopens,
        max(case when not is_live and coalesce(was_live, true) then valid_from end) as last_stopped_at,
        max(case when status in ('solved', 'closed') and coalesce(was_live, true) then valid_from end) as last_solved_at
    from compared_statuses
    group by ticket_id
),

compared_assignees as (
    select
        ticket_id,
        assignee_id,
        lag(assignee_id) over (
            partition by ticket_id
            order by version_at
        ) as previous_assignee_id
    from versions
    where assignee_id is not null
),

assignee_changes as (
    select
        ticket_id,
        sum(case when assignee_id <> previous_assignee_id then 1 else 0 end) as count_reassignments
    from compared_assignees
    group by ticket_id
),

-- A turn is what the customer writes between two public replies.
turns as (
    select
        messages.ticket_id,
        messages.message_id,
        messages.author,
        messages.is_public,
        messages.created_at,
        sum(case when messages.author = 'agent' and messages.is_public then 1 else 0 end) over (
            partition by messages.ticket_id
            order by messages.created_at, messages.message_id
            rows between unbounded preceding and current row
        ) as turn
    from messages
),

replies as (
    select
        ticket_id,
        min(created_at) as first_reply_at,
        max(turn) as last_reply_turn
    from turns
    where author = 'agent' and is_public
    group by ticket_id
),

customer_turns as (
    select
        turns.ticket_id,
        turns.turn,
        turns.created_at,
        scores.urgency,
        scores.urgency_score,
        scores.intent,
        scores.sentiment,
        case scores.urgency when 'high' then 2 when 'normal' then 1 when 'low' then 0 end as urgency_rank,
        max(turns.turn) over (partition by turns.ticket_id) as last_turn,
        row_number() over (
            partition by turns.ticket_id
            order by turns.created_at desc, turns.message_id desc
        ) as recency
    from turns
    left join scores on turns.message_id = scores.message_id
    where turns.author = 'customer'
),

last_turns as (
    select
        ticket_id,
        max(turn) as turn,
        min(created_at) as turn_began_at,
        max(created_at) as last_customer_message_at,
        max(urgency_rank) as urgency_rank,
        max(urgency_score) as urgency_score,
        max(case when recency = 1 then intent end) as intent,
        max(case when recency = 1 then sentiment end) as sentiment
    from customer_turns
    where turn = last_turn
    group by ticket_id
),

joined as (
    select
        tickets.ticket_id,
        tickets.customer_id,
        tickets.source,
        tickets.channel,
        tickets.status,
        tickets.priority,
        tickets.assignee_id,
        tickets.order_id,
        tickets.merged_into,
        tickets.created_at,
        tickets.status in ('new', 'open', 'pending', 'hold') and tickets.merged_into is null as is_live,
        replies.first_reply_at,
        case when tickets.status in ('solved', 'closed') then coalesce(status_changes.last_solved_at, status_changes.last_stopped_at) end
            as resolved_at,
        cast(coalesce(status_changes.count_reopens, 0) as bigint) as count_reopens,
        cast(coalesce(assignee_changes.count_reassignments, 0) as bigint) as count_reassignments,
        last_turns.last_customer_message_at,
        -- The customer waits for whoever has not answered the last turn yet.
        case when last_turns.turn >= coalesce(replies.last_reply_turn, 0) then last_turns.turn_began_at end as waiting_since_at,
        last_turns.urgency_rank,
        last_turns.urgency_score,
        last_turns.intent,
        last_turns.sentiment
    from tickets
    left join status_changes on tickets.ticket_id = status_changes.ticket_id
    left join assignee_changes on tickets.ticket_id = assignee_changes.ticket_id
    left join replies on tickets.ticket_id = replies.ticket_id
    left join last_turns on tickets.ticket_id = last_turns.ticket_id
)

select * from joined
