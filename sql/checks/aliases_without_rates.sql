-- Check:    aliases_without_rates
-- Severity: fail
-- What:     an alias leads to a model that has no rate: aliases are followed once, never from alias to alias
-- Grain:    one row = one alias entry
-- In:       aliases_history, rates_history
-- Out:      finding, naming the alias and its target
SELECT format('{}/{} leads to {}, which has no rate', a.provider, a.alias, a.model) AS finding
FROM aliases_history AS a
ANTI JOIN (SELECT provider, model FROM rates_history WHERE superseded_at IS NULL) AS r
    ON r.provider = a.provider AND r.model = a.model
WHERE a.superseded_at IS NULL
ORDER BY finding
