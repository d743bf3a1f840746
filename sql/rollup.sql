-- Sum rated quantities into rollups.
-- In:    rated_quantities, what the macro rated() says of each row of the quantities
-- Out:   the ROLLUP table of etl/schema.py, sorted by its whole key; one row = day x account x project x provider
--        x model x tier x meter x caching status x context band x rate x price status x source kind x estimated
--        x accounting period x charge class
--        and summed_rows, of how many rows of rated_quantities it is the sum
-- Units: quantity in `unit`; costs in USD, DECIMAL(38,12), exact
-- NULL:  first in the sort; costs are NULL when and only when price_status is unpriced_*
SELECT
    day, account_id, project_id, provider, model, tier, meter, direction, caching_status,
    sum(quantity)::BIGINT AS quantity,   -- the sum is a HUGEINT, which Parquet would store as DOUBLE
    unit, context_over_tokens, rate_usd_per_million,
    sum(cost_usd)::DECIMAL(38, 12) AS cost_usd,
    sum(list_cost_usd)::DECIMAL(38, 12) AS list_cost_usd,
    price_status, rate_id, rate_version, priced_model, source_kind, is_estimated, accounting_period, charge_class,
    count(*) AS summed_rows
FROM rated_quantities
GROUP BY ALL
ORDER BY
    day NULLS FIRST, account_id NULLS FIRST, project_id NULLS FIRST, provider NULLS FIRST, model NULLS FIRST,
    tier NULLS FIRST, meter NULLS FIRST, direction NULLS FIRST, caching_status NULLS FIRST, unit NULLS FIRST,
    context_over_tokens NULLS FIRST, rate_usd_per_million NULLS FIRST, price_status NULLS FIRST,
    rate_id NULLS FIRST, rate_version NULLS FIRST, priced_model NULLS FIRST, source_kind NULLS FIRST,
    is_estimated NULLS FIRST, accounting_period NULLS FIRST, charge_class NULLS FIRST
