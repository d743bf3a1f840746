-- What each model cost on each day, for the charts of the HTML page.
-- In:    chosen, rows of net_rollups
-- Out:   one row = day x model
-- Units: cost_usd in USD, exact; tokens
-- NULL:  model where an aggregate is not grouped by it; cost_usd where nothing of the row has a price
SELECT
    day, model, sum(cost_usd)::DECIMAL(38, 12) AS cost_usd,
    coalesce(sum(quantity) FILTER (WHERE meter = 'input' AND caching_status = 'uncached'), 0)::BIGINT AS uncached_tokens,
    coalesce(sum(quantity) FILTER (WHERE meter = 'input' AND caching_status = 'cached'), 0)::BIGINT AS cached_tokens,
    coalesce(sum(quantity) FILTER (WHERE meter = 'input' AND caching_status LIKE 'cache_write%'), 0)::BIGINT
        AS cache_write_tokens,
    coalesce(sum(quantity) FILTER (WHERE meter = 'output'), 0)::BIGINT AS output_tokens
FROM chosen
WHERE price_status <> 'not_charged'
GROUP BY day, model
ORDER BY day, model NULLS FIRST
