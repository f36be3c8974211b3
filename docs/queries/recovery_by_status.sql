-- What is owed to customers and what became of it.
select
    kind,
    status,
    count(*) as triggers,
    min(due_at) as first_due_at
from fct_recovery_triggers
group by kind, status
order by kind, status;
