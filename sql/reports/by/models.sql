-- What each key cost with each model in each tier, dearest first.
-- In:    attributed, rows of attributed_between with `key` and `note`
-- Out:   one row = key x note x provider x model x tier
-- Units: tokens; cost_usd in USD, exact
-- NULL:  key where none is known, `note` says why; cost_usd where nothing of the row has a price
SELECT
    key, provider, model, tier,
    sum(quantity) FILTER (WHERE meter = 'requests')::BIGINT AS requests,
    sum(quantity) FILTER (WHERE direction = 'input' AND unit = 'tokens')::BIGINT AS input_tokens,
    sum(quantity) FILTER (WHERE direction = 'output' AND unit = 'tokens')::BIGINT AS output_tokens,
    sum(cost_usd) FILTER (WHERE price_status <> 'not_charged')::DECIMAL(38, 12) AS cost_usd,
    sum(quantity) FILTER (WHERE cost_usd IS NULL)::BIGINT AS unpriced,
    note
FROM attributed
GROUP BY key, note, provider, model, tier
ORDER BY cost_usd DESC NULLS LAST, key NULLS LAST, provider, model, tier, note
