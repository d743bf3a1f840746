-- Reduce what can change an item's price to few distinct values: its key.
-- In:    items, a relation with at least rated_at, prompt_over_tokens, source_kind, cached_is_split and
--            rate_versions (the card versions its day was rated with; NULL: none yet)
--        rates_history, aliases_history
-- Out:   items' columns and stretch_at, highest_band, is_aggregate, may_hide_cached, day_versions; one row an item.
--        With provider, model, tier, meter and caching_status these five decide the price
-- Units: stretch_at is the start, naive UTC, of a stretch of time in which no rate or alias changes
-- NULL:  none of the new columns is NULL
CREATE OR REPLACE MACRO keyed(items) AS TABLE
-- No common table expressions: with one in it DuckDB would keep all items in memory where this is used twice.
SELECT
    i.*,
    -- Between the changes during its day, and between midnights, nothing changes.
    coalesce(
        list_max(list_filter(c.instants, lambda t: t <= i.rated_at)),
        date_trunc('day', i.rated_at)
    ) AS stretch_at,
    coalesce(list_max(list_filter(t.thresholds, lambda b: b <= i.prompt_over_tokens)), 0) AS highest_band,
    coalesce(i.source_kind = 'aggregate', false) AS is_aggregate,
    coalesce(NOT i.cached_is_split, false) AS may_hide_cached,
    coalesce(i.rate_versions, []::BIGINT[]) AS day_versions
FROM query_table(items) AS i
CROSS JOIN (SELECT coalesce(list(DISTINCT context_over_tokens), []) AS thresholds FROM rates_history) AS t
LEFT JOIN (
    SELECT changed_at::DATE AS change_day, list(DISTINCT changed_at) AS instants
    FROM (
        SELECT unnest([effective_from, effective_to]) AS changed_at FROM rates_history
        UNION ALL
        SELECT unnest([effective_from, effective_to]) AS changed_at FROM aliases_history
    )
    WHERE changed_at <> date_trunc('day', changed_at)
    GROUP BY change_day
) AS c ON c.change_day = i.rated_at::DATE
