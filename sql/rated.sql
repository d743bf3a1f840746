-- Rate items: give each its context band, the rate in force at its instant, its cost and its price status.
-- In:    items, a relation of what the macro keyed asks for, and provider, model, tier, meter, caching_status, quantity
--        meters; the macros keyed, prices and charged, and what they read
-- Out:   what the macro charged gives; exactly one row for each item
-- Units: rates in USD per 1,000,000 units; costs in USD, exact and never rounded
-- NULL:  rate and costs are NULL when and only when price_status is unpriced_*
--
-- Prices depend on few things, so they are found once for each combination of those (a key) and joined back:
-- the work grows with days and models, not with items.
CREATE OR REPLACE MACRO rated(items) AS TABLE
WITH
keyed_items AS MATERIALIZED (
    SELECT * FROM keyed(items)
),
keys AS MATERIALIZED (
    SELECT DISTINCT
        provider, model, tier, meter, caching_status,
        stretch_at, highest_band, is_aggregate, may_hide_cached, day_versions, contract_account
    FROM keyed_items
    WHERE meter IN (SELECT meter FROM meters WHERE is_charged)
),
key_prices AS MATERIALIZED (
    SELECT * FROM prices('keys')
)
SELECT * FROM charged('keyed_items', 'key_prices')
