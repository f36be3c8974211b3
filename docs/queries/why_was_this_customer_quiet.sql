-- The causes of one person's pauses, newest first. Put the customer_id in place of the first one that has a cause.
select
    causes.started_at,
    causes.ended_at,
    causes.planned_end_at,
    causes.policy_id,
    causes.policy_version,
    causes.ticket_id,
    causes.evidence_message_id,
    causes.end_reason
from fct_suppression_causes as causes
where causes.customer_id = (select min(first_one.customer_id) from fct_suppression_causes as first_one)
order by causes.started_at desc, causes.cause_id;
