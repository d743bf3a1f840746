-- Check:    overlapping_aliases
-- Severity: fail
-- What:     an alias leads to two models at once
-- Grain:    one row = one pair of entries of an alias that follow each other by their start and overlap
-- In:       aliases_history
-- Out:      finding, naming the alias and both targets
WITH ordered AS (
    SELECT
        provider, alias, model, effective_to,
        lead(model) OVER same_alias AS next_model,
        lead(coalesce(effective_from, '-infinity'::TIMESTAMP)) OVER same_alias AS next_starts_at
    FROM aliases_history
    WHERE superseded_at IS NULL
    WINDOW same_alias AS (
        PARTITION BY provider, alias
        ORDER BY effective_from NULLS FIRST, effective_to NULLS LAST, model
    )
)
SELECT format('{}/{} leads both to {} and to {} from {}', provider, alias, model, next_model,
              CASE WHEN isfinite(next_starts_at) THEN next_starts_at::VARCHAR ELSE 'ever' END) AS finding
FROM ordered
WHERE next_starts_at < coalesce(effective_to, 'infinity'::TIMESTAMP)
ORDER BY finding
