with

suppressions as (
    select * from {{ ref('fct_suppressions') }}
    where valid_to is null
),

final as (
    select
        customer_id,
        scope,
        valid_from as since_at,
        planned_end_at as until_at
    from suppressions
)

select * from final
