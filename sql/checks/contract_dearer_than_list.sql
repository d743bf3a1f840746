-- Check:    contract_dearer_than_list
-- Severity: warn
-- What:     a negotiated rate is above the list rate in force at the same time
-- Grain:    one row = one contract rate and one list rate in force together
-- In:       rates_history
-- Out:      finding, naming both rate_ids and rates
SELECT format('{} at {} is dearer than {} at {}',
              c.rate_id, c.rate_usd_per_million::VARCHAR, s.rate_id, s.rate_usd_per_million::VARCHAR) AS finding
FROM rates_history AS c
JOIN rates_history AS s
    ON  s.provider = c.provider AND s.model = c.model AND s.tier = c.tier AND s.meter = c.meter
    AND s.caching_status = c.caching_status AND s.context_over_tokens = c.context_over_tokens
    AND coalesce(s.effective_from, '-infinity'::TIMESTAMP) < coalesce(c.effective_to, 'infinity'::TIMESTAMP)
    AND coalesce(c.effective_from, '-infinity'::TIMESTAMP) < coalesce(s.effective_to, 'infinity'::TIMESTAMP)
WHERE c.superseded_at IS NULL AND s.superseded_at IS NULL
    AND c.book <> 'list' AND s.book = 'list' AND c.rate_usd_per_million > s.rate_usd_per_million
ORDER BY finding
