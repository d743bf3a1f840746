-- Apply prices to items: the cost of each.
-- In:    items, a relation made by the macro keyed, with provider, model, tier, meter, caching_status and quantity
--        prices, a relation made by the macro prices for the keys of these items; meters
-- Out:   items' columns without the key columns and rate_versions, and direction, unit, context_over_tokens,
--        rate_usd_per_million, cost_usd, list_cost_usd, price_status, rate_id, rate_version, priced_model;
--        exactly one row for each item
-- Units: rates in USD per 1,000,000 units, DECIMAL(18,6); costs in USD, DECIMAL(38,12), exact and never rounded
-- NULL:  rate, costs and priced_model are NULL when and only when price_status is unpriced_*;
--        what is never charged costs 0 and has no rate
CREATE OR REPLACE MACRO charged(items, prices) AS TABLE
SELECT
    i.* EXCLUDE (
        rate_versions, stretch_at, highest_band, is_aggregate, may_hide_cached, day_versions, contract_account
    ),
    m.direction,
    m.unit,
    coalesce(p.context_over_tokens, 0) AS context_over_tokens,
    p.rate_usd_per_million,
    -- Never "/ 1000000": that is a DOUBLE.
    (CASE WHEN m.is_charged THEN i.quantity::BIGINT * p.rate_usd_per_million * 0.000001 ELSE 0 END)::DECIMAL(38, 12)
        AS cost_usd,
    (CASE WHEN m.is_charged THEN i.quantity::BIGINT * p.list_usd_per_million * 0.000001 ELSE 0 END)::DECIMAL(38, 12)
        AS list_cost_usd,
    CASE WHEN m.is_charged THEN p.price_status ELSE 'not_charged' END AS price_status,
    p.rate_id,
    p.rate_version,
    -- The model under which the rate was found: none without a rate.
    CASE WHEN p.rate_id IS NOT NULL THEN p.priced_model END AS priced_model
FROM query_table(items) AS i
JOIN meters AS m ON m.meter = i.meter AND m.caching_status = i.caching_status
LEFT JOIN query_table(prices) AS p
    ON  p.provider IS NOT DISTINCT FROM i.provider
    AND p.model IS NOT DISTINCT FROM i.model
    AND p.tier IS NOT DISTINCT FROM i.tier
    AND p.meter = i.meter
    AND p.caching_status = i.caching_status
    AND p.stretch_at = i.stretch_at
    AND p.highest_band = i.highest_band
    AND p.is_aggregate = i.is_aggregate
    AND p.may_hide_cached = i.may_hide_cached
    AND p.day_versions = i.day_versions
    AND p.contract_account IS NOT DISTINCT FROM i.contract_account
