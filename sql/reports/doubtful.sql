-- What rests on rates that sources hardly support or dispute, dearest first.
-- In:    chosen, rows of net_rollups; rates_history
-- Out:   one row = confidence x rate
-- Units: quantity in `unit`; rates in USD per 1,000,000 units; costs in USD, exact
-- NULL:  never
SELECT
    r.confidence, c.provider, c.model, c.tier, c.meter, c.caching_status,
    min(c.day) AS first_day, max(c.day) AS last_day, sum(c.quantity)::BIGINT AS quantity, c.unit,
    c.rate_usd_per_million, sum(c.cost_usd) AS cost_usd, r.source
FROM chosen AS c
JOIN rates_history AS r USING (rate_id)
WHERE r.confidence IN ('low', 'conflict')
GROUP BY r.confidence, c.provider, c.model, c.tier, c.meter, c.caching_status, c.unit, c.rate_usd_per_million, r.source
ORDER BY cost_usd DESC, c.provider, c.model, c.tier, c.meter, c.caching_status
