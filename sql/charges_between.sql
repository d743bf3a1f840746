-- Every record's charges on some days: what each of its quantities costs, and at which rate.
-- In:    from_day, inclusive; to_day, exclusive
--        usage, one row for each record; days, (day, rate_version, is_as_known), the card versions each day was rated with;
--        meters; the macros keyed, prices and charged, and what they read
-- Out:   one row = record x meter x caching status with a quantity; nothing is stored, it is rated as it is read
--          day ... is_estimated, prompt_tokens, input_sha256, line_number: of the record
--          meter, caching_status, direction, quantity, unit: what is counted, and how much of it
--          context_over_tokens ... priced_model: as in the rollups
--        The sum of cost_usd is exactly that of the rollups of these days
-- Units: quantity in `unit`; rates in USD per 1,000,000 units; costs in USD, exact
-- NULL:  rate and costs are NULL when and only when price_status is unpriced_*.
--        Requests are not charged and have no rows here
CREATE OR REPLACE MACRO charges_between(from_day, to_day) AS TABLE
WITH
records AS NOT MATERIALIZED (
    SELECT
        u.*,
        u.occurred_at AS rated_at,
        -- "strictly above b" is "at least b" for one token less
        greatest(u.prompt_tokens - 1, 0) AS prompt_over_tokens,
        u.input_cached_tokens IS NOT NULL AS cached_is_split,
        d.rate_versions
    FROM usage AS u
    LEFT JOIN (
        -- 0 is no version: it says that the newest one is not to be tried
        SELECT day, list_sort(list(DISTINCT rate_version)) || if(any_value(is_as_known), [0], []) AS rate_versions
        FROM days
        GROUP BY day
    ) AS d ON d.day = u.day
    WHERE u.day >= from_day AND u.day < to_day
),
-- Not kept in memory: the log is read once for the few columns that decide a price, and again for what was asked.
items AS NOT MATERIALIZED (
    SELECT
        c.day, c.occurred_at, c.account_id, c.project_id, c.api_key_id, c.user_id, c.workflow_id,
        c.provider, c.source, c.source_kind, c.request_id, c.model, c.tier, c.tier_is_assumed, c.is_estimated,
        c.prompt_tokens, c.input_sha256, c.line_number,
        m.meter, m.caching_status, c.quantity,
        c.rate_versions, c.stretch_at, c.highest_band, c.is_aggregate, c.may_hide_cached, c.day_versions, c.contract_account
    FROM (
        UNPIVOT (FROM keyed('records'))
        ON
            input_uncached_tokens, input_cached_tokens, input_cache_write_tokens, input_cache_write_5m_tokens,
            input_cache_write_1h_tokens, input_cache_write_12h_tokens, output_tokens, audio_input_uncached_tokens,
            audio_input_cached_tokens, audio_output_tokens, image_input_uncached_tokens, image_input_cached_tokens,
            image_output_tokens, video_input_uncached_tokens, video_input_cached_tokens, video_output_tokens,
            training_tokens, web_search_calls, file_search_calls, code_interpreter_sessions, transcription_seconds,
            speech_characters, generated_images
        INTO NAME usage_column VALUE quantity   -- a column that is NULL makes no row
    ) AS c
    JOIN meters AS m USING (usage_column)
    WHERE c.quantity <> 0
),
keys AS MATERIALIZED (
    SELECT DISTINCT
        provider, model, tier, meter, caching_status,
        stretch_at, highest_band, is_aggregate, may_hide_cached, day_versions, contract_account
    FROM items
),
key_prices AS MATERIALIZED (
    SELECT * FROM prices('keys')
)
SELECT * FROM charged('items', 'key_prices')
