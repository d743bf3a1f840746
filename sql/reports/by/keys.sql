-- What each key cost, dearest first.
-- In:    attributed, rows of attributed_between with `key` and `note`
-- Out:   one row = key x note
-- Units: tokens; cost_usd in USD, exact
-- NULL:  key where none is known, `note` says why; cost_usd where nothing of the row has a price
SELECT
    key,
    sum(quantity) FILTER (WHERE meter = 'requests')::BIGINT AS requests,
    sum(quantity) FILTER (WHERE direction = 'input' AND unit = 'tokens')::BIGINT AS input_tokens,
    sum(quantity) FILTER (WHERE direction = 'output' AND unit = 'tokens')::BIGINT AS output_tokens,
    sum(cost_usd) FILTER (WHERE price_status <> 'not_charged')::DECIMAL(38, 12) AS cost_usd,
    sum(quantity) FILTER (WHERE cost_usd IS NULL)::BIGINT AS unpriced,
    note
FROM attributed
GROUP BY key, note
ORDER BY cost_usd DESC NULLS LAST, key NULLS LAST, note
