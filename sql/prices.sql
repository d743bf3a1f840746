-- Find the price of each key: the model it is priced under, its context band, the rate in force, and the price status.
-- In:    keys, a relation of exactly provider, model, tier, meter, caching_status and the key columns of the macro
--            keyed, without doubles and without meters that are never charged
--        rates_history, aliases_history, contracts_history, rate_versions; the macros known_rates and priced_models
-- Out:   the keys' columns and priced_model, context_over_tokens, rate_id, rate_usd_per_million, rate_version,
--        list_usd_per_million, price_status; exactly one row for each key
-- Units: rates in USD per 1,000,000 units, DECIMAL(18,6)
-- NULL:  the rates, rate_id and rate_version are NULL when and only when price_status is unpriced_*;
--        priced_model is NULL when the model is unknown
--
-- Where a contract is in force, its book is looked up as the list is, and what the book does not have costs the list's rate.
CREATE OR REPLACE MACRO prices(keys) AS TABLE
WITH
numbered AS MATERIALIZED (
    SELECT row_number() OVER () AS key_id, * FROM query_table(keys)
),
-- A day keeps the versions it was rated with; what they leave unpriced is tried at the newest, unless 0 is among them.
tries_at_list AS MATERIALIZED (
    SELECT k.*, v.rate_version AS version, v.recorded_at AS known_at
    FROM numbered AS k
    JOIN (SELECT *, max(rate_version) OVER () AS newest FROM rate_versions) AS v
        ON list_contains(k.day_versions, v.rate_version)
            OR (v.rate_version = v.newest AND NOT list_contains(k.day_versions, 0))
),
-- An account's own contract beats one for every account; two at once are refused before: checks/overlapping_contracts.
contracted AS (
    SELECT t.key_id, t.version, arg_min(c.book, c.account_id IS NULL) AS book
    FROM tries_at_list AS t
    JOIN contracts_history AS c
        ON  (c.account_id IS NULL OR c.account_id = t.contract_account)
        AND c.rate_version <= t.version AND t.known_at < coalesce(c.superseded_at, 'infinity'::TIMESTAMP)
        AND coalesce(c.effective_from, '-infinity'::TIMESTAMP) <= t.stretch_at
        AND t.stretch_at < coalesce(c.effective_to, 'infinity'::TIMESTAMP)
    GROUP BY t.key_id, t.version
),
tries AS MATERIALIZED (
    SELECT *, 'list' AS book FROM tries_at_list
    UNION ALL
    SELECT * FROM tries_at_list JOIN contracted USING (key_id, version)
),
names AS MATERIALIZED (
    SELECT DISTINCT provider, model, stretch_at, version, known_at, book FROM tries WHERE model IS NOT NULL
),
versions AS MATERIALIZED (
    SELECT DISTINCT version, known_at FROM names
),
found AS MATERIALIZED (
    SELECT * FROM priced_models('names')
),
rates AS MATERIALIZED (
    SELECT * FROM known_rates('versions') SEMI JOIN found USING (provider, priced_model)
),
tiers AS (
    SELECT DISTINCT version, book, provider, priced_model, tier, true AS model_has_tier FROM rates
),
-- A model has a band when any of its rates, in whatever tier, is in force there. A contract's book that is silent about a
-- band of the list leaves it at the list's price, as it does with whatever else it does not have.
bands AS (
    SELECT f.version, f.book, f.provider, f.priced_model, f.stretch_at, list(DISTINCT context_over_tokens) AS model_bands
    FROM (SELECT DISTINCT version, book, provider, priced_model, stretch_at FROM found) AS f
    JOIN rates AS r
        ON  (r.version, r.provider, r.priced_model) = (f.version, f.provider, f.priced_model)
        AND r.book IN (f.book, 'list')
    WHERE context_over_tokens > 0 AND starts_at <= stretch_at AND stretch_at < ends_at
    GROUP BY ALL
),
banded AS (
    SELECT
        t.*,
        priced_model,
        -- The largest threshold exceeded prices the whole request.
        -- An aggregate does not tell how its requests exceeded it, and takes the lowest band.
        CASE WHEN t.is_aggregate THEN 0
             ELSE coalesce(list_max(list_filter(model_bands, lambda b: b <= t.highest_band)), 0)
        END AS context_over_tokens,
        t.is_aggregate AND model_bands IS NOT NULL AS may_hide_long_context,
        coalesce(model_has_tier, false) AS model_has_tier
    FROM tries AS t
    LEFT JOIN found USING (version, book, provider, model, stretch_at)
    LEFT JOIN bands USING (version, book, provider, priced_model, stretch_at)
    LEFT JOIN tiers USING (version, book, provider, priced_model, tier)
),
matched AS (
    SELECT
        b.key_id,
        b.version,
        b.book,
        -- Two rates in force at once would be a matter of luck, so they are refused; an aggregate cannot fan out.
        CASE WHEN count(*) > 1
             THEN error('two rates are in force at once: ' || string_agg(r.rate_id, ' and ' ORDER BY r.rate_id))
             ELSE min(r.rate_id)
        END AS rate_id,
        min(r.rate_usd_per_million) AS rate_usd_per_million,
        min(r.rate_version) AS rate_version,
        -- A percentage off a rate that rests on a judgement rests on it, too.
        bool_or(r.status = 'inferred' OR r.status = 'contract' AND r.confidence = 'inferred') AS is_inferred
    FROM banded AS b
    JOIN rates AS r USING (version, book, provider, priced_model, tier, meter, caching_status, context_over_tokens)
    WHERE r.starts_at <= b.stretch_at AND b.stretch_at < r.ends_at   -- half-open
    GROUP BY b.key_id, b.version, b.book
),
cached_rates AS (
    SELECT b.key_id, b.version, b.book, min(r.rate_usd_per_million) AS cached_usd_per_million
    FROM banded AS b
    JOIN rates AS r USING (version, book, provider, priced_model, tier, meter, context_over_tokens)
    WHERE b.may_hide_cached AND b.meter = 'input' AND b.caching_status = 'uncached' AND r.caching_status = 'cached'
        AND r.starts_at <= b.stretch_at AND b.stretch_at < r.ends_at
    GROUP BY b.key_id, b.version, b.book
),
first_rates AS (
    SELECT
        version, book, provider, priced_model, tier, meter, caching_status, context_over_tokens,
        min(starts_at) AS first_starts_at
    FROM rates
    GROUP BY ALL
),
judged AS (
    SELECT
        b.key_id,
        b.version,
        b.book,
        b.priced_model,
        b.context_over_tokens,
        m.rate_id,
        m.rate_usd_per_million,
        m.rate_version,
        CASE
            WHEN b.priced_model IS NULL THEN 'unpriced_unknown_model'
            WHEN m.rate_id IS NULL AND b.tier = 'provisioned' THEN 'unpriced_provisioned'
            WHEN m.rate_id IS NULL AND b.tier = 'complimentary' THEN 'unpriced_complimentary'
            WHEN NOT b.model_has_tier THEN 'unpriced_unknown_tier'
            WHEN m.rate_id IS NULL AND f.first_starts_at > b.stretch_at THEN 'unpriced_before_first_rate'
            WHEN m.rate_id IS NULL THEN 'unpriced_no_rate'
            WHEN b.may_hide_long_context THEN 'priced_lower_bound'
            WHEN c.cached_usd_per_million < m.rate_usd_per_million THEN 'priced_upper_bound'
            WHEN m.is_inferred THEN 'priced_inferred'
            ELSE 'priced'
        END AS price_status
    FROM banded AS b
    LEFT JOIN matched AS m USING (key_id, version, book)
    LEFT JOIN cached_rates AS c USING (key_id, version, book)
    LEFT JOIN first_rates AS f
        USING (version, book, provider, priced_model, tier, meter, caching_status, context_over_tokens)
),
-- Of each try the contract's rate, else the list's; beside it the list's, which is the contract's where the list has none.
settled AS (
    SELECT
        a.* EXCLUDE (book),
        coalesce(l.rate_usd_per_million, a.rate_usd_per_million) AS list_usd_per_million
    FROM judged AS a
    JOIN (SELECT key_id, version, rate_usd_per_million FROM judged WHERE book = 'list') AS l USING (key_id, version)
    QUALIFY row_number() OVER (
        PARTITION BY key_id, version ORDER BY a.book = 'list' OR a.rate_id IS NULL, a.book <> 'list'
    ) = 1
)
-- Of the tries of a key: the earliest version that prices it, else what the newest one says.
SELECT k.* EXCLUDE (key_id), j.* EXCLUDE (key_id, version)
FROM numbered AS k
JOIN settled AS j USING (key_id)
QUALIFY row_number() OVER (
    PARTITION BY key_id
    ORDER BY rate_id IS NULL, CASE WHEN rate_id IS NULL THEN -version ELSE version END
) = 1
