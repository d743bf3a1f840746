-- What is booked in a month of a day's usage, told apart by who caused it.
-- In:    rollups; asked, one row: month, day; attributed, rows of attributed_between of the day with `key`, `note`, `tags`
-- Out:   one row = cell of rollups x key x note. A cell that is booked in one month only is told apart by its records.
--        Of a cell with corrections the records do not say which of them was booked when, so its rows stand as they are,
--        with the note `booked with corrections`. Requests, which cost nothing, are not told apart either.
--        The sums of quantity and cost_usd are exactly those of rollups
-- Units: as in rollups
-- NULL:  costs are NULL when and only when price_status is unpriced_*; key where `note` says why
WITH
of_month AS (
    SELECT *
    FROM rollups
    WHERE accounting_period = (SELECT month FROM asked) AND day = (SELECT day FROM asked) AND meter <> 'requests'
),
cells AS (
    SELECT
        * EXCLUDE (quantity, cost_usd, list_cost_usd, accounting_period, charge_class),
        bool_and(accounting_period = (SELECT month FROM asked) AND charge_class = 'usage') AS is_whole
    FROM rollups
    WHERE day = (SELECT day FROM asked) AND meter <> 'requests'
    GROUP BY ALL
),
told_apart AS (
    SELECT
        a.day, a.account_id, a.project_id, a.provider, a.model, a.tier, a.meter, a.direction, a.caching_status,
        sum(a.quantity)::BIGINT AS quantity, a.unit, a.context_over_tokens, a.rate_usd_per_million,
        sum(a.cost_usd)::DECIMAL(38, 12) AS cost_usd, sum(a.list_cost_usd)::DECIMAL(38, 12) AS list_cost_usd,
        a.price_status, a.rate_id, a.rate_version, a.priced_model, a.source_kind, a.is_estimated,
        (SELECT month FROM asked) AS accounting_period, 'usage' AS charge_class, a.key, a.note, a.tags
    FROM attributed AS a
    JOIN cells AS c
        ON  c.day = a.day
        AND c.meter = a.meter
        AND c.caching_status = a.caching_status
        AND c.account_id IS NOT DISTINCT FROM a.account_id
        AND c.project_id IS NOT DISTINCT FROM a.project_id
        AND c.provider IS NOT DISTINCT FROM a.provider
        AND c.model IS NOT DISTINCT FROM a.model
        AND c.tier IS NOT DISTINCT FROM a.tier
        AND c.context_over_tokens = a.context_over_tokens
        AND c.rate_usd_per_million IS NOT DISTINCT FROM a.rate_usd_per_million
        AND c.price_status = a.price_status
        AND c.rate_id IS NOT DISTINCT FROM a.rate_id
        AND c.rate_version IS NOT DISTINCT FROM a.rate_version
        AND c.priced_model IS NOT DISTINCT FROM a.priced_model
        AND c.source_kind = a.source_kind
        AND c.is_estimated IS NOT DISTINCT FROM a.is_estimated
    WHERE c.is_whole
    GROUP BY ALL
),
standing AS (
    SELECT r.*, NULL::VARCHAR AS key, 'booked with corrections' AS note, NULL::VARCHAR AS tags
    FROM of_month AS r
    JOIN cells AS c
        ON  c.day = r.day
        AND c.meter = r.meter
        AND c.caching_status = r.caching_status
        AND c.account_id IS NOT DISTINCT FROM r.account_id
        AND c.project_id IS NOT DISTINCT FROM r.project_id
        AND c.provider IS NOT DISTINCT FROM r.provider
        AND c.model IS NOT DISTINCT FROM r.model
        AND c.tier IS NOT DISTINCT FROM r.tier
        AND c.context_over_tokens = r.context_over_tokens
        AND c.rate_usd_per_million IS NOT DISTINCT FROM r.rate_usd_per_million
        AND c.price_status = r.price_status
        AND c.rate_id IS NOT DISTINCT FROM r.rate_id
        AND c.rate_version IS NOT DISTINCT FROM r.rate_version
        AND c.priced_model IS NOT DISTINCT FROM r.priced_model
        AND c.source_kind = r.source_kind
        AND c.is_estimated IS NOT DISTINCT FROM r.is_estimated
    WHERE NOT c.is_whole
)
SELECT * FROM told_apart
UNION ALL BY NAME
SELECT * FROM standing
UNION ALL BY NAME
SELECT *, NULL::VARCHAR AS key, NULL::VARCHAR AS note, NULL::VARCHAR AS tags
FROM rollups
WHERE accounting_period = (SELECT month FROM asked) AND day = (SELECT day FROM asked) AND meter = 'requests'
