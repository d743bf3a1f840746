-- Reduce what can change an item's price to few distinct values: its key.
-- In:    items, a relation with at least account_id, rated_at, prompt_over_tokens, source_kind, cached_is_split and
--            rate_versions (the card versions its day was rated with; NULL: none yet)
--        rates_history, aliases_history, contracts_history
-- Out:   items' columns and stretch_at, highest_band, is_aggregate, may_hide_cached, day_versions, contract_account;
--        one row an item. With provider, model, tier, meter and caching_status these six decide the price
-- Units: stretch_at is the start, naive UTC, of a stretch of time in which no rate, alias or contract changes
-- NULL:  contract_account is NULL unless the item's account ever had a contract of its own; the others are never NULL
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
    coalesce(i.rate_versions, []::BIGINT[]) AS day_versions,
    -- Few accounts have a contract; all others share one key.
    CASE WHEN list_contains(k.accounts, i.account_id) THEN i.account_id END AS contract_account
FROM query_table(items) AS i
CROSS JOIN (
    SELECT coalesce(list(DISTINCT account_id) FILTER (WHERE account_id IS NOT NULL), []) AS accounts
    FROM contracts_history
) AS k
CROSS JOIN (SELECT coalesce(list(DISTINCT context_over_tokens), []) AS thresholds FROM rates_history) AS t
LEFT JOIN (
    SELECT changed_at::DATE AS change_day, list(DISTINCT changed_at) AS instants
    FROM (
        SELECT unnest([effective_from, effective_to]) AS changed_at FROM rates_history
        UNION ALL
        SELECT unnest([effective_from, effective_to]) AS changed_at FROM aliases_history
        UNION ALL
        SELECT unnest([effective_from, effective_to]) AS changed_at FROM contracts_history
    )
    WHERE changed_at <> date_trunc('day', changed_at)
    GROUP BY change_day
) AS c ON c.change_day = i.rated_at::DATE
