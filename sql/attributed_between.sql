-- What each key, user and workflow cost on some days; what can no longer be told apart stands as it is.
-- In:    from_day, inclusive; to_day, exclusive
--        the macro charges_between; usage, one row for each record; net_rollups; expired_days
-- Out:   one row = day x account x project x API key x user x workflow x cell of net_rollups
--          is_expired   the day's records are gone (`costroll gc`): the part of net_rollups that no record explains
--        The sums of quantity and cost_usd over a day are exactly those of net_rollups. Of requests, caching_status
--        is not told
-- Units: quantity in `unit`; rates in USD per 1,000,000 units; costs in USD, exact
-- NULL:  costs are NULL when and only when price_status is unpriced_*; api_key_id, user_id and workflow_id where the
--        record names none, and always where is_expired
CREATE OR REPLACE MACRO attributed_between(from_day, to_day) AS TABLE
WITH
known AS (
    SELECT
        day, account_id, project_id, api_key_id, user_id, workflow_id, provider, model, tier, meter, direction,
        caching_status, unit, context_over_tokens, rate_usd_per_million, price_status, rate_id, rate_version,
        priced_model, source_kind, is_estimated,
        sum(quantity)::BIGINT AS quantity,
        sum(cost_usd)::DECIMAL(38, 12) AS cost_usd,
        sum(list_cost_usd)::DECIMAL(38, 12) AS list_cost_usd
    FROM charges_between(from_day, to_day)
    GROUP BY ALL
    UNION ALL
    SELECT
        day, account_id, project_id, api_key_id, user_id, workflow_id, provider, model, tier, 'requests', 'count',
        NULL, 'requests', 0, NULL, 'not_charged', NULL, NULL, NULL, source_kind, is_estimated,
        sum(requests)::BIGINT, 0, 0
    FROM usage
    WHERE day >= from_day AND day < to_day AND requests <> 0
    GROUP BY ALL
),
both_sides AS (
    SELECT
        day, account_id, project_id, provider, model, tier, meter, direction,
        CASE WHEN meter <> 'requests' THEN caching_status END AS caching_status,
        unit, context_over_tokens, rate_usd_per_million, price_status, rate_id, rate_version, priced_model,
        source_kind, is_estimated, quantity, cost_usd, list_cost_usd
    FROM net_rollups
    WHERE day >= from_day AND day < to_day AND day IN (SELECT day FROM expired_days)
    UNION ALL
    SELECT
        * EXCLUDE (api_key_id, user_id, workflow_id, quantity, cost_usd, list_cost_usd),
        -quantity, -cost_usd, -list_cost_usd
    FROM known
    WHERE day IN (SELECT day FROM expired_days)
),
expired AS (
    SELECT
        * EXCLUDE (quantity, cost_usd, list_cost_usd),
        sum(quantity)::BIGINT AS quantity,
        sum(cost_usd)::DECIMAL(38, 12) AS cost_usd,
        sum(list_cost_usd)::DECIMAL(38, 12) AS list_cost_usd
    FROM both_sides
    GROUP BY ALL
    HAVING sum(quantity) <> 0
)
SELECT *, false AS is_expired FROM known
UNION ALL BY NAME
SELECT *, true AS is_expired FROM expired
