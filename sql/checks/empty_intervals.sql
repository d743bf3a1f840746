-- Check:    empty_intervals
-- Severity: fail
-- What:     a rate or an alias ends before or when it begins, so it would never apply
-- Grain:    one row = one rate or alias
-- In:       rates_history, aliases_history
-- Out:      finding, naming the rate_id or the alias
SELECT format('{} begins {} and ends {}: the end is exclusive and must be later',
              name, effective_from, effective_to) AS finding
FROM (
    SELECT rate_id AS name, effective_from, effective_to FROM rates_history WHERE superseded_at IS NULL
    UNION ALL
    SELECT format('alias {}/{}', provider, alias), effective_from, effective_to
    FROM aliases_history
    WHERE superseded_at IS NULL
)
WHERE effective_to <= effective_from
ORDER BY finding
