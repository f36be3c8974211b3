-- A returned row is a cause whose start would still move with another round over the policy versions: raise `rounds` in int_causes.
select cause_id
from {{ ref('int_causes') }}
where not is_settled
