-- What is booked in each month: its own usage, and corrections of closed months before it.
-- In:    chosen, rows of rollups
-- Out:   one row = accounting period x charge class x month of the usage
-- Units: tokens; cost_usd in USD, exact
-- NULL:  cost_usd is NULL where nothing of the row has a price; `unpriced_tokens` have none
SELECT
    accounting_period, charge_class, left(day::VARCHAR, 7) AS usage_month, count(DISTINCT day) AS days,
    sum(quantity) FILTER (WHERE meter = 'requests')::BIGINT AS requests,
    sum(quantity) FILTER (WHERE direction = 'input' AND unit = 'tokens')::BIGINT AS input_tokens,
    sum(quantity) FILTER (WHERE direction = 'output' AND unit = 'tokens')::BIGINT AS output_tokens,
    sum(cost_usd) FILTER (WHERE price_status <> 'not_charged') AS cost_usd,
    nullif(sum(quantity) FILTER (WHERE cost_usd IS NULL AND unit = 'tokens'), 0)::BIGINT AS unpriced_tokens
FROM chosen
GROUP BY accounting_period, charge_class, usage_month
ORDER BY accounting_period, charge_class DESC, usage_month
