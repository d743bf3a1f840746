-- Check:    versions_out_of_order
-- Severity: fail
-- What:     a version recorded no later than the one before it, or a rate of no version: what was known when is unclear
-- Grain:    one row = one version or one rate
-- In:       rate_versions, rates_history
-- Out:      finding, naming the version or the rate_id
SELECT format('version {} was recorded no later than version {}', rate_version, before) AS finding
FROM (
    SELECT rate_version, recorded_at,
           lag(rate_version) OVER (ORDER BY rate_version) AS before,
           lag(recorded_at) OVER (ORDER BY rate_version) AS before_at
    FROM rate_versions
)
WHERE recorded_at <= before_at
UNION ALL
SELECT format('{} belongs to version {}, which does not exist', r.rate_id, r.rate_version)
FROM rates_history AS r
ANTI JOIN rate_versions AS v ON v.rate_version = r.rate_version
ORDER BY finding
