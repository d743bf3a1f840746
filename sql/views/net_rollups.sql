-- The rollups with their corrections added in: what each day holds now, whenever it was booked.
-- In:    rollups
-- Out:   one row = day x account x project x provider x model x tier x meter x caching status x rate, as in the rollups,
--        without accounting_period and charge_class; what corrections take back in full has no row
-- Units: quantity in `unit`; costs in USD, exact
-- NULL:  costs are NULL when and only when price_status is unpriced_*
SELECT
    * EXCLUDE (quantity, cost_usd, list_cost_usd, accounting_period, charge_class),
    sum(quantity)::BIGINT AS quantity,
    sum(cost_usd)::DECIMAL(38, 12) AS cost_usd,
    sum(list_cost_usd)::DECIMAL(38, 12) AS list_cost_usd
FROM rollups
GROUP BY ALL
HAVING sum(quantity) <> 0
