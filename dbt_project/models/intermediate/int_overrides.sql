with

overrides as (
    select * from {{ ref('stg_overrides') }}
),

identities as (
    select * from {{ of_touched(ref('int_customer_identities')) }}
),

current_pass as (
    select * from {{ ref('stg_current_pass') }}
),

joined as (
    select
        overrides.override_id,
        coalesce(identities.customer_id, overrides.customer_id) as customer_id,
        overrides.action,
        overrides.scope,
        overrides.reason,
        overrides.actor,
        overrides.starts_at,
        overrides.ends_at
    from overrides
    inner join current_pass on overrides.starts_at <= current_pass.as_of
    left join identities on overrides.customer_id = identities.source_customer_id
    where overrides.starts_at < overrides.ends_at
)

select * from joined
