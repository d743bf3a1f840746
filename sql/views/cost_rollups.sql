-- What each model cost on each day, by tier and caching status.
-- In:    net_rollups
-- Out:   one row = day x model x tier x caching status
--          requests            requests made; they stand under cached or uncached
--          input_tokens        text input: meter input
--          output_tokens       text output with reasoning: meter output
--          other_tokens        audio, image, video and training tokens
--          cost_usd            of everything that has a price, also what is not counted in tokens
--          list_cost_usd       the same at list price; differs only under a contract
--          unpriced_quantity   units without a price, whatever they are
--          cost_is_complete    whether everything has a price
-- Units: tokens; USD, exact
-- NULL:  costs are NULL when nothing in the row has a price; the requests in it, which cost 0, do not hide that
WITH sums AS (
    SELECT
        day,
        model,
        tier,
        caching_status,
        coalesce(sum(quantity) FILTER (meter = 'requests'), 0)::BIGINT AS requests,
        coalesce(sum(quantity) FILTER (meter = 'input'), 0)::BIGINT AS input_tokens,
        coalesce(sum(quantity) FILTER (meter = 'output'), 0)::BIGINT AS output_tokens,
        coalesce(sum(quantity) FILTER (unit = 'tokens' AND meter NOT IN ('input', 'output')), 0)::BIGINT
            AS other_tokens,
        sum(cost_usd)::DECIMAL(38, 12) AS cost_usd,
        sum(list_cost_usd)::DECIMAL(38, 12) AS list_cost_usd,
        coalesce(sum(quantity) FILTER (price_status LIKE 'unpriced%'), 0)::BIGINT AS unpriced_quantity,
        unpriced_quantity = 0 AS cost_is_complete,
        bool_or(price_status LIKE 'priced%') AS has_price
    FROM net_rollups
    GROUP BY day, model, tier, caching_status
)
SELECT * EXCLUDE (has_price) REPLACE (
    CASE WHEN has_price OR cost_is_complete THEN cost_usd END AS cost_usd,
    CASE WHEN has_price OR cost_is_complete THEN list_cost_usd END AS list_cost_usd
)
FROM sums
ORDER BY day, model NULLS FIRST, tier NULLS FIRST, caching_status
