-- What each model cost in each tier, dearest first.
-- In:    chosen, rows of net_rollups
-- Out:   one row = provider x model x tier
-- Units: tokens; cost_usd in USD, exact
-- NULL:  cost_usd is NULL where nothing of the row has a price; `unpriced_tokens` have none
SELECT
    provider, model, tier,
    sum(quantity) FILTER (WHERE meter = 'requests')::BIGINT AS requests,
    sum(quantity) FILTER (WHERE direction = 'input' AND unit = 'tokens')::BIGINT AS input_tokens,
    sum(quantity) FILTER (WHERE direction = 'output' AND unit = 'tokens')::BIGINT AS output_tokens,
    sum(cost_usd) FILTER (WHERE price_status <> 'not_charged') AS cost_usd,
    sum(quantity) FILTER (WHERE cost_usd IS NULL AND unit = 'tokens')::BIGINT AS unpriced_tokens
FROM chosen
GROUP BY provider, model, tier
ORDER BY cost_usd DESC NULLS LAST, provider, model, tier
