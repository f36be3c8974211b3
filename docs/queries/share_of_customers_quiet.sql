-- Which share of all customers is quiet now, by scope: what a campaign of that scope does not reach.
select
    scopes.scope,
    count(distinct pauses.customer_id) as quiet_customers,
    (select count(*) from dim_customers) as customers,
    count(distinct pauses.customer_id) * 1.0 / (select count(*) from dim_customers) as quiet_share
from (select distinct scope from fct_suppressions) as scopes
left join sync_suppression_segment as pauses on scopes.scope = pauses.scope
group by scopes.scope
order by scopes.scope;
