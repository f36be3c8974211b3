-- What customers write about, and in which mood; only scores that decisions use.
select
    intent,
    count(*) as messages,
    avg(case when sentiment = 'negative' then 1.0 else 0.0 end) as negative_share,
    avg(case when is_abstained then 1.0 else 0.0 end) as abstained_share
from fct_message_scores
where is_in_force
group by intent
order by messages desc, intent;
