-- What a month holds, by the month that was used, model and tier: the lines of a close report.
-- In:    booked, the rows of rollups whose accounting period is the month
-- Out:   one row = charge class x month of the usage x provider x model x tier; a month's own usage first
-- Units: tokens; costs in USD, exact
-- NULL:  costs are NULL where nothing of the row has a price; `unpriced_quantity` is the part without one, in any unit
SELECT
    charge_class, left(day::VARCHAR, 7) AS usage_month, provider, model, tier,
    coalesce(sum(quantity) FILTER (WHERE meter = 'requests'), 0)::BIGINT AS requests,
    coalesce(sum(quantity) FILTER (WHERE direction = 'input' AND unit = 'tokens'), 0)::BIGINT AS input_tokens,
    coalesce(sum(quantity) FILTER (WHERE direction = 'output' AND unit = 'tokens'), 0)::BIGINT AS output_tokens,
    sum(cost_usd) FILTER (WHERE price_status <> 'not_charged') AS cost_usd,
    sum(list_cost_usd) FILTER (WHERE price_status <> 'not_charged') AS list_cost_usd,
    coalesce(sum(quantity) FILTER (WHERE cost_usd IS NULL), 0)::BIGINT AS unpriced_quantity
FROM booked
GROUP BY charge_class, usage_month, provider, model, tier
ORDER BY charge_class DESC, usage_month, provider, model NULLS FIRST, tier NULLS FIRST
