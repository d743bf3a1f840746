-- What each key cost on each day.
-- In:    attributed, rows of attributed_between with `key` and `note`
-- Out:   one row = day x key x note
-- Units: tokens; cost_usd in USD, exact
-- NULL:  key where none is known, `note` says why; cost_usd where nothing of the row has a price
SELECT
    day, key,
    sum(quantity) FILTER (WHERE meter = 'requests')::BIGINT AS requests,
    sum(quantity) FILTER (WHERE direction = 'input' AND unit = 'tokens')::BIGINT AS input_tokens,
    sum(quantity) FILTER (WHERE direction = 'output' AND unit = 'tokens')::BIGINT AS output_tokens,
    sum(cost_usd) FILTER (WHERE price_status <> 'not_charged')::DECIMAL(38, 12) AS cost_usd,
    sum(quantity) FILTER (WHERE cost_usd IS NULL)::BIGINT AS unpriced,
    note
FROM attributed
GROUP BY day, key, note
ORDER BY day, key NULLS LAST, note
