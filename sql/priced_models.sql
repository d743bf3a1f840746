-- Find the model under which a name is priced: the exact id, else its alias, else the base of a fine-tuned model.
-- In:    names, a relation of (provider, model, stretch_at, known_at_version, known_at), without doubles
--        aliases_history; rates_history through known_rates
-- Out:   provider, model, stretch_at, known_at_version, priced_model; at most one row for each name
-- NULL:  a name that leads to no rates has no row; there is no guessing by similar names
CREATE OR REPLACE MACRO priced_models(names) AS TABLE
WITH
versions AS MATERIALIZED (
    SELECT DISTINCT known_at_version, known_at FROM query_table(names)
),
rated_models AS MATERIALIZED (
    SELECT DISTINCT known_at_version, provider, model AS candidate FROM known_rates('versions')
),
looked_up AS (
    SELECT *, 1 AS preference, model AS name FROM query_table(names)
    UNION ALL
    -- ft:gpt-4o-mini-2024-07-18:org::id is priced as ft:gpt-4o-mini-2024-07-18
    SELECT *, 3 AS preference, regexp_extract(model, '^(ft:[^:]+):', 1) AS name FROM query_table(names)
    WHERE model LIKE 'ft:%:%'
),
candidates AS (
    SELECT * EXCLUDE (name), name AS candidate FROM looked_up
    UNION ALL
    SELECT l.* EXCLUDE (name, preference), l.preference + 1 AS preference, a.model AS candidate
    FROM looked_up AS l
    JOIN aliases_history AS a
        ON  a.provider = l.provider AND a.alias = l.name
        AND a.rate_version <= l.known_at_version
        AND l.known_at < coalesce(a.superseded_at, 'infinity'::TIMESTAMP)
        AND coalesce(a.effective_from, '-infinity'::TIMESTAMP) <= l.stretch_at   -- inclusive
        AND l.stretch_at < coalesce(a.effective_to, 'infinity'::TIMESTAMP)       -- exclusive
)
SELECT
    provider, model, stretch_at, known_at_version,
    -- an exact id with any rate at all never falls through to its alias; ties cannot be, see checks/overlapping_aliases
    arg_min(candidate, preference) AS priced_model
FROM candidates
SEMI JOIN rated_models USING (known_at_version, provider, candidate)
GROUP BY provider, model, stretch_at, known_at_version
