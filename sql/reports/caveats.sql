-- What of a sum is not exact, or rests on something else than a published rate and a reported count.
-- In:    chosen, rows of net_rollups
-- Out:   at most one row; a cost may stand in several columns
-- Units: USD, exact
-- NULL:  nothing of that kind
SELECT
    sum(cost_usd) FILTER (is_estimated) AS estimated_usd,
    sum(cost_usd) FILTER (price_status = 'priced_lower_bound') AS lower_bound_usd,
    sum(cost_usd) FILTER (price_status = 'priced_upper_bound') AS upper_bound_usd,
    sum(cost_usd) FILTER (price_status = 'priced_inferred') AS inferred_usd
FROM chosen
