-- Check:    empty_intervals
-- Severity: fail
-- What:     a rate, an alias or a contract ends before or when it begins, so it would never apply
-- Grain:    one row = one rate, alias or contract
-- In:       rates_history, aliases_history, contracts_history
-- Out:      finding, naming the rate_id or the alias
SELECT format('{} begins {} and ends {}: the end is exclusive and must be later',
              name, effective_from, effective_to) AS finding
FROM (
    SELECT rate_id AS name, effective_from, effective_to FROM rates_history WHERE superseded_at IS NULL
    UNION ALL
    SELECT format('alias {}/{}', provider, alias), effective_from, effective_to
    FROM aliases_history
    WHERE superseded_at IS NULL
    UNION ALL
    SELECT format('contract {} of account {}', book, coalesce(account_id, 'any')), effective_from, effective_to
    FROM contracts_history
    WHERE superseded_at IS NULL
)
WHERE effective_to <= effective_from
ORDER BY finding
