-- What each day cost.
-- In:    chosen, rows of net_rollups
-- Out:   one row = day
-- Units: tokens; cost_usd in USD, exact
-- NULL:  cost_usd is NULL where nothing of the day has a price; `unpriced_tokens` have none
SELECT
    day,
    sum(quantity) FILTER (WHERE meter = 'requests')::BIGINT AS requests,
    sum(quantity) FILTER (WHERE direction = 'input' AND unit = 'tokens')::BIGINT AS input_tokens,
    sum(quantity) FILTER (WHERE direction = 'input' AND caching_status = 'cached')::BIGINT AS of_these_cached,
    sum(quantity) FILTER (WHERE direction = 'output' AND unit = 'tokens')::BIGINT AS output_tokens,
    sum(cost_usd) FILTER (WHERE price_status <> 'not_charged') AS cost_usd,
    sum(quantity) FILTER (WHERE cost_usd IS NULL AND unit = 'tokens')::BIGINT AS unpriced_tokens
FROM chosen
GROUP BY day
ORDER BY day
