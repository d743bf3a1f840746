-- The list rates that were known at each of the given card versions.
-- In:    rates_history, every rate row ever recorded
--        versions, a relation of (known_at_version, known_at): a card version and when it was recorded
-- Out:   rates_history's columns and known_at_version; one row for each rate and version at which it was known,
--        with starts_at (inclusive) and ends_at (exclusive) for comparing
-- Units: USD per 1,000,000 units; times are naive UTC
-- NULL:  an open interval has starts_at -infinity or ends_at infinity, never NULL
CREATE OR REPLACE MACRO known_rates(versions) AS TABLE
SELECT
    v.known_at_version,
    r.*,
    coalesce(r.effective_from, '-infinity'::TIMESTAMP) AS starts_at,
    coalesce(r.effective_to, 'infinity'::TIMESTAMP) AS ends_at
FROM rates_history AS r
JOIN query_table(versions) AS v
    ON  r.rate_version <= v.known_at_version
    AND v.known_at < coalesce(r.superseded_at, 'infinity'::TIMESTAMP)
WHERE r.book = 'list'
