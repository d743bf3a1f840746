-- What the days cost, by day, model, tier and caching status: the default report.
-- In:    chosen, rows of net_rollups
-- Out:   one row = day x model x tier x caching status; requests are not shown, as they cost nothing
-- Units: quantity in tokens, unless `unit` says otherwise; cost_usd in USD, exact
-- NULL:  cost_usd is NULL where nothing of the row has a price; `unpriced` is the part of the quantity without one
SELECT
    day, model, tier, caching_status,
    sum(quantity)::BIGINT AS quantity, unit, sum(cost_usd) AS cost_usd,
    nullif(coalesce(sum(quantity) FILTER (WHERE cost_usd IS NULL), 0), 0)::BIGINT AS unpriced,
    string_agg(DISTINCT price_status, ', ' ORDER BY price_status) FILTER (WHERE price_status <> 'priced') AS note
FROM chosen
WHERE price_status <> 'not_charged'
GROUP BY day, model, tier, caching_status, unit
ORDER BY ALL
