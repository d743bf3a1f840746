-- Check:    cached_dearer_than_uncached
-- Severity: warn
-- What:     reading from a cache costs more than not reading from it
-- Grain:    one row = one cached rate and one uncached rate in force together
-- In:       rates_history
-- Out:      finding, naming both rate_ids and rates
SELECT format('{} at {} is dearer than {} at {}',
              c.rate_id, c.rate_usd_per_million::VARCHAR, u.rate_id, u.rate_usd_per_million::VARCHAR) AS finding
FROM rates_history AS c
JOIN rates_history AS u
    ON  u.provider = c.provider AND u.model = c.model AND u.tier = c.tier AND u.meter = c.meter
    AND u.context_over_tokens = c.context_over_tokens AND u.book = c.book
    AND coalesce(u.effective_from, '-infinity'::TIMESTAMP) < coalesce(c.effective_to, 'infinity'::TIMESTAMP)
    AND coalesce(c.effective_from, '-infinity'::TIMESTAMP) < coalesce(u.effective_to, 'infinity'::TIMESTAMP)
WHERE c.superseded_at IS NULL AND u.superseded_at IS NULL
    AND c.caching_status = 'cached' AND u.caching_status = 'uncached'
    AND c.rate_usd_per_million > u.rate_usd_per_million
ORDER BY finding
