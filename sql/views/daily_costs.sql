-- What each model cost on each day, the parts side by side.
-- In:    net_rollups
-- Out:   one row = day x provider x model x tier
--          requests                   requests made
--          input_tokens               text input = uncached + cached + cache writes, the next three
--          input_uncached_tokens, input_cached_tokens, input_cache_write_tokens
--          output_tokens              text output with reasoning
--          other_tokens               audio, image, video and training tokens
--          input_uncached_cost_usd, input_cached_cost_usd, input_cache_write_cost_usd, output_cost_usd
--          other_cost_usd             everything else: other tokens, calls, sessions, seconds, characters, images
--          cost_usd                   = the five costs before it, as far as there is a price
--          list_cost_usd              the same at list price; differs only under a contract
--          estimated_cost_usd         the part of cost_usd whose tokens Costroll counted, as no usage was logged
--          unpriced_quantity          units without a price, whatever they are
--          cost_is_complete           whether everything has a price
-- Units: tokens; USD, exact
-- NULL:  a part's cost is NULL when it does not occur or has no price; cost_usd is NULL when nothing has one.
--        The requests in it, which cost 0, do not hide that
WITH parts AS (
    SELECT
        *,
        CASE
            WHEN meter = 'input' AND caching_status LIKE 'cache\_write%' ESCAPE '\' THEN 'input_cache_write'
            WHEN meter = 'input' THEN 'input_' || caching_status
            WHEN meter = 'output' THEN 'output'
            WHEN meter = 'requests' THEN 'requests'
            ELSE 'other'
        END AS part
    FROM net_rollups
),
sums AS (
    SELECT
        day,
        provider,
        model,
        tier,
        coalesce(sum(quantity) FILTER (part = 'requests'), 0)::BIGINT AS requests,
        coalesce(sum(quantity) FILTER (meter = 'input'), 0)::BIGINT AS input_tokens,
        coalesce(sum(quantity) FILTER (part = 'input_uncached'), 0)::BIGINT AS input_uncached_tokens,
        coalesce(sum(quantity) FILTER (part = 'input_cached'), 0)::BIGINT AS input_cached_tokens,
        coalesce(sum(quantity) FILTER (part = 'input_cache_write'), 0)::BIGINT AS input_cache_write_tokens,
        coalesce(sum(quantity) FILTER (part = 'output'), 0)::BIGINT AS output_tokens,
        coalesce(sum(quantity) FILTER (part = 'other' AND unit = 'tokens'), 0)::BIGINT AS other_tokens,
        (sum(cost_usd) FILTER (part = 'input_uncached'))::DECIMAL(38, 12) AS input_uncached_cost_usd,
        (sum(cost_usd) FILTER (part = 'input_cached'))::DECIMAL(38, 12) AS input_cached_cost_usd,
        (sum(cost_usd) FILTER (part = 'input_cache_write'))::DECIMAL(38, 12) AS input_cache_write_cost_usd,
        (sum(cost_usd) FILTER (part = 'output'))::DECIMAL(38, 12) AS output_cost_usd,
        (sum(cost_usd) FILTER (part = 'other'))::DECIMAL(38, 12) AS other_cost_usd,
        sum(cost_usd)::DECIMAL(38, 12) AS cost_usd,
        sum(list_cost_usd)::DECIMAL(38, 12) AS list_cost_usd,
        coalesce(sum(cost_usd) FILTER (is_estimated), 0)::DECIMAL(38, 12) AS estimated_cost_usd,
        coalesce(sum(quantity) FILTER (price_status LIKE 'unpriced%'), 0)::BIGINT AS unpriced_quantity,
        unpriced_quantity = 0 AS cost_is_complete,
        bool_or(price_status LIKE 'priced%') AS has_price
    FROM parts
    GROUP BY day, provider, model, tier
)
SELECT * EXCLUDE (has_price) REPLACE (
    CASE WHEN has_price OR cost_is_complete THEN cost_usd END AS cost_usd,
    CASE WHEN has_price OR cost_is_complete THEN list_cost_usd END AS list_cost_usd
)
FROM sums
ORDER BY day, provider, model NULLS FIRST, tier NULLS FIRST
