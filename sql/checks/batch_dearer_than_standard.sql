-- Check:    batch_dearer_than_standard
-- Severity: warn
-- What:     batch costs more than standard at the same time; providers sell it at a discount.
--           Cached input is left out: a provider may deny batch the caching discount
-- Grain:    one row = one batch rate and one standard rate in force together
-- In:       rates_history
-- Out:      finding, naming both rate_ids and rates
SELECT format('{} at {} is dearer than {} at {}',
              b.rate_id, b.rate_usd_per_million::VARCHAR, s.rate_id, s.rate_usd_per_million::VARCHAR) AS finding
FROM rates_history AS b
JOIN rates_history AS s
    ON  s.provider = b.provider AND s.model = b.model AND s.meter = b.meter AND s.caching_status = b.caching_status
    AND s.context_over_tokens = b.context_over_tokens AND s.book = b.book
    AND coalesce(s.effective_from, '-infinity'::TIMESTAMP) < coalesce(b.effective_to, 'infinity'::TIMESTAMP)
    AND coalesce(b.effective_from, '-infinity'::TIMESTAMP) < coalesce(s.effective_to, 'infinity'::TIMESTAMP)
WHERE b.superseded_at IS NULL AND s.superseded_at IS NULL
    AND b.tier = 'batch' AND s.tier = 'standard' AND b.rate_usd_per_million > s.rate_usd_per_million
    AND b.caching_status <> 'cached'
ORDER BY finding
