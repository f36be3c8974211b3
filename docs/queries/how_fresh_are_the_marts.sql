-- The instant that everything here was computed for. Compare it with the clock before you trust a chart.
select
    pass_sequence,
    as_of,
    contract_version
from roomtone_publication;
