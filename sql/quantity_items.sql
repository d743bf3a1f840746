-- Quantities as items to rate: each with the card versions its day was rated with.
-- In:    quantities, the table of etl/schema.py
--        healed, (day, rate_version): later versions at which something of that day found its rate
-- Out:   the columns of quantities without rate_version, and rate_versions; one row for each row of quantities
-- Units: as in quantities
-- NULL:  a day that was never rated has no rate_versions: it takes the newest
SELECT
    q.* EXCLUDE (rate_version),
    CASE
        WHEN q.rate_version IS NOT NULL THEN list_prepend(q.rate_version, coalesce(h.versions, []))
    END AS rate_versions
FROM quantities AS q
LEFT JOIN (
    SELECT day, list_sort(list(DISTINCT rate_version)) AS versions FROM healed GROUP BY day
) AS h ON h.day = q.day
