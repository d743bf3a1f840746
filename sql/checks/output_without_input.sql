-- Check:    output_without_input
-- Severity: warn
-- What:     a model's output has a rate and none of its inputs has: a row may be missing
-- Grain:    one row = one provider x model x tier
-- In:       rates_history; meters
-- Out:      finding, naming the model and tier
SELECT format('{}/{} has output rates and no input rate in tier {}', r.provider, r.model, r.tier) AS finding
FROM rates_history AS r
JOIN meters AS m ON m.meter = r.meter AND m.caching_status = r.caching_status
WHERE r.superseded_at IS NULL
GROUP BY r.provider, r.model, r.tier
HAVING bool_or(r.meter = 'output') AND NOT bool_or(m.direction = 'input')
ORDER BY finding
