{#- Ten thousand days from 2020 on, which the semantic layer joins measures to. -#}
with

digits as (
    select cast(digit as integer) as digit
    from (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as numbers (digit)
),

numbers as (
    select ones.digit + 10 * tens.digit + 100 * hundreds.digit + 1000 * thousands.digit as number
    from digits as ones
    cross join digits as tens
    cross join digits as hundreds
    cross join digits as thousands
),

days as (
    select cast({{ ts_add("timestamp '2020-01-01 00:00:00'", 'number', 'days') }} as date) as date_day
    from numbers
)

select * from days
