-- What has no price, and why: the list to work down.
-- In:    chosen, rows of net_rollups
-- Out:   one row = price status x provider x model x tier x meter x caching status
-- Units: quantity in `unit`
-- NULL:  model or tier is NULL where an aggregate is not grouped by it
SELECT
    price_status, provider, model, tier, meter, caching_status,
    min(day) AS first_day, max(day) AS last_day, sum(quantity)::BIGINT AS quantity, unit
FROM chosen
WHERE cost_usd IS NULL
GROUP BY price_status, provider, model, tier, meter, caching_status, unit
ORDER BY price_status, quantity DESC, provider, model, tier, meter, caching_status
