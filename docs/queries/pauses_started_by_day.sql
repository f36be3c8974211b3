-- How many causes of a pause began on each day, by rule, and how they ended.
select
    cast(started_at as date) as day,
    policy_id,
    count(*) as causes,
    sum(case when ended_at is null then 1 else 0 end) as still_lasting,
    sum(case when end_reason = 'expired' then 1 else 0 end) as expired
from fct_suppression_causes
group by cast(started_at as date), policy_id
order by day, policy_id;
