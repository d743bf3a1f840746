-- Models in use whose shutdown date is known, the earliest first: what is used after it should not have been answered.
-- In:    chosen, rows of net_rollups; models
-- Out:   one row = provider x model
-- Units: cost_usd in USD, exact; unpriced in any unit
-- NULL:  costs are NULL where nothing has a price; requests_after and cost_after_usd where nothing was used after it
SELECT
    provider, model, shutdown_on, min(day) AS first_day, max(day) AS last_day,
    sum(quantity) FILTER (WHERE meter = 'requests')::BIGINT AS requests,
    sum(quantity) FILTER (WHERE meter = 'requests' AND day > shutdown_on)::BIGINT AS requests_after,
    sum(cost_usd) FILTER (WHERE price_status <> 'not_charged') AS cost_usd,
    sum(cost_usd) FILTER (WHERE price_status <> 'not_charged' AND day > shutdown_on) AS cost_after_usd,
    coalesce(sum(quantity) FILTER (WHERE cost_usd IS NULL AND price_status <> 'not_charged'), 0)::BIGINT AS unpriced,
    min(source) AS source
FROM (
    -- A name that is only an alias is shut down with the model it leads to.
    SELECT c.*, coalesce(own.shutdown_on, priced.shutdown_on) AS shutdown_on,
        CASE WHEN own.shutdown_on IS NULL THEN priced.source ELSE own.source END AS source
    FROM (
        SELECT *, max(priced_model) OVER (PARTITION BY provider, model, day) AS model_priced_as FROM chosen
    ) AS c
    LEFT JOIN models AS own ON own.provider = c.provider AND own.model = c.model
    LEFT JOIN models AS priced ON priced.provider = c.provider AND priced.model = c.model_priced_as
)
GROUP BY shutdown_on, provider, model
HAVING shutdown_on IS NOT NULL
ORDER BY shutdown_on, provider, model
