-- Check:    unknown_meters
-- Severity: fail
-- What:     a rate for something that is not counted, or never charged: it would never apply
-- Grain:    one row = one rate
-- In:       rates_history; meters
-- Out:      finding, naming the rate_id
SELECT format('{}: meter {} with caching status {} is not charged', r.rate_id, r.meter, r.caching_status) AS finding
FROM rates_history AS r
ANTI JOIN (SELECT * FROM meters WHERE is_charged) AS m ON m.meter = r.meter AND m.caching_status = r.caching_status
WHERE r.superseded_at IS NULL
ORDER BY finding
