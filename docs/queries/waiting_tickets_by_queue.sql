-- Live tickets by queue: how many, how long the customer who has waited longest waits, how many are too late.
select
    queue,
    count(*) as live_tickets,
    max(waiting_hours) as longest_wait_hours,
    sum(case when has_waited_too_long then 1 else 0 end) as waited_too_long,
    max(tier) as worst_tier
from fct_tickets
where is_live
group by queue
order by worst_tier desc, queue;
