with

identities as (
    select * from {{ of_touched(ref('int_customer_identities')) }}
),

final as (
    select
        source_customer_id,
        customer_id,
        source,
        link_rule,
        source_customer_id = customer_id as is_first_record,
        created_at as first_seen_at
    from identities
)

select * from final
