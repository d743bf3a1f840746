-- The rates that were known at each of the given card versions.
-- In:    rates_history, every rate row ever recorded, of the list and of every contract's book
--        versions, a relation of (version, known_at): a card version and when it was recorded
-- Out:   rates_history's columns with `model` named priced_model, version, starts_at (inclusive), ends_at (exclusive);
--        one row for each rate and version at which it was known
-- Units: USD per 1,000,000 units; times are naive UTC
-- NULL:  an open interval has starts_at -infinity or ends_at infinity, never NULL
CREATE OR REPLACE MACRO known_rates(versions) AS TABLE
SELECT
    r.* RENAME (model AS priced_model),
    v.version,
    coalesce(r.effective_from, '-infinity'::TIMESTAMP) AS starts_at,
    coalesce(r.effective_to, 'infinity'::TIMESTAMP) AS ends_at
FROM rates_history AS r
JOIN query_table(versions) AS v
    ON  r.rate_version <= v.version
    AND v.known_at < coalesce(r.superseded_at, 'infinity'::TIMESTAMP)
