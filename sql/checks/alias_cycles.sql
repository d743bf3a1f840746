-- Check:    alias_cycles
-- Severity: fail
-- What:     aliases in force at the same time lead in a circle
-- Grain:    one row = one name on a circle, with the way round from it
-- In:       aliases_history
-- Out:      finding, such as `openai: a → b → a`
WITH RECURSIVE
steps AS (
    SELECT provider, alias, model,
           coalesce(effective_from, '-infinity'::TIMESTAMP) AS starts_at,
           coalesce(effective_to, 'infinity'::TIMESTAMP) AS ends_at
    FROM aliases_history
    WHERE superseded_at IS NULL
),
ways AS (
    SELECT provider, [alias, model] AS names, starts_at, ends_at FROM steps
    UNION ALL
    SELECT w.provider, list_append(w.names, s.model), greatest(w.starts_at, s.starts_at), least(w.ends_at, s.ends_at)
    FROM ways AS w
    JOIN steps AS s
        ON  s.provider = w.provider AND s.alias = w.names[-1]
        AND greatest(w.starts_at, s.starts_at) < least(w.ends_at, s.ends_at)
    WHERE len(list_distinct(w.names)) = len(w.names)   -- a way that has met a name twice goes no further
)
SELECT DISTINCT format('{}: {}', provider, array_to_string(names, ' → ')) AS finding
FROM ways
WHERE names[1] = names[-1]
ORDER BY finding
