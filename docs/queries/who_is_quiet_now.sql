-- Who gets no sales mail at the moment, why, and until when at the latest.
select
    pauses.customer_id,
    states.state,
    states.reasons,
    pauses.since_at,
    pauses.until_at
from sync_suppression_segment as pauses
inner join dim_customer_states as states on pauses.customer_id = states.customer_id
where pauses.scope = 'sales'
order by pauses.until_at, pauses.customer_id;
