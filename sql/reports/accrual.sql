-- What a month has cost up to a day: the accrual for what is not invoiced yet, by cost centre.
-- In:    chosen, the rows of rollups that are booked in the month, up to the day
-- Out:   one row = month of booking x provider x cost centre (project) x charge class
-- Units: USD, exact; unpriced in any unit
-- NULL:  cost_centre is NULL for usage without a project; cost_usd where nothing of the row has a price
SELECT
    accounting_period, provider, project_id AS cost_centre, charge_class,
    min(day) AS first_day, max(day) AS last_day, count(DISTINCT day) AS days,
    sum(cost_usd) AS cost_usd,
    coalesce(sum(quantity) FILTER (WHERE cost_usd IS NULL), 0)::BIGINT AS unpriced
FROM chosen
WHERE price_status <> 'not_charged'
GROUP BY ALL
ORDER BY accounting_period, provider, cost_centre NULLS FIRST, charge_class DESC
