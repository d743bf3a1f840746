-- Find the model under which a name is priced: the exact id, else its alias, else the base of a fine-tuned model.
-- In:    names, a relation of (provider, model, stretch_at, version, known_at, book), without doubles: a name, when it
--            was used, the card version that is asked, when that was recorded, and whose rates count beside the list's
--        aliases_history; rates_history through the macro known_rates
-- Out:   provider, model, stretch_at, version, book, priced_model; at most one row for each name
-- Units: times are naive UTC
-- NULL:  never; a name that leads to no rates has no row. There is no guessing by similar names
CREATE OR REPLACE MACRO priced_models(names) AS TABLE
WITH
versions AS MATERIALIZED (
    SELECT DISTINCT version, known_at FROM query_table(names)
),
rated_models AS MATERIALIZED (
    SELECT DISTINCT version, provider, book AS rate_book, priced_model AS candidate FROM known_rates('versions')
),
looked_up AS (
    SELECT *, 1 AS preference, model AS name FROM query_table(names)
    UNION ALL
    -- ft:gpt-4o-mini-2024-07-18:org::id is priced as ft:gpt-4o-mini-2024-07-18
    SELECT *, 3 AS preference, regexp_extract(model, '^(ft:[^:]+):', 1) AS name
    FROM query_table(names)
    WHERE model LIKE 'ft:%:%'
),
candidates AS (
    SELECT * RENAME (name AS candidate) FROM looked_up
    UNION ALL BY NAME
    SELECT l.* EXCLUDE (name, preference), l.preference + 1 AS preference, a.model AS candidate
    FROM looked_up AS l
    JOIN aliases_history AS a
        ON  a.provider = l.provider AND a.alias = l.name
        AND a.rate_version <= l.version
        AND l.known_at < coalesce(a.superseded_at, 'infinity'::TIMESTAMP)
        AND coalesce(a.effective_from, '-infinity'::TIMESTAMP) <= l.stretch_at   -- inclusive
        AND l.stretch_at < coalesce(a.effective_to, 'infinity'::TIMESTAMP)       -- exclusive
)
SELECT
    provider, model, stretch_at, version, book,
    -- An exact id with any rate at all never falls through to its alias.
    -- An alias that leads to two models is refused before: see checks/overlapping_aliases.
    arg_min(candidate, (preference, candidate)) AS priced_model
FROM candidates
SEMI JOIN rated_models AS r
    ON  r.version = candidates.version AND r.provider = candidates.provider AND r.candidate = candidates.candidate
    AND r.rate_book IN ('list', candidates.book)
GROUP BY provider, model, stretch_at, version, book
