-- Check:    spelt_twice
-- Severity: warn
-- What:     providers, models of one, or tiers that differ in upper and lower case only: usage has one of the
--           spellings, and finds no rate of the other
-- Grain:    one row = one name
-- In:       rates_history
-- Out:      finding, naming the spellings
WITH known AS (
    SELECT provider, model, tier FROM rates_history WHERE superseded_at IS NULL
),
names AS (
    SELECT 'provider' AS kind, provider AS name, '' AS place FROM known
    UNION
    SELECT 'model' AS kind, model AS name, ' of ' || lower(provider) AS place FROM known
    UNION
    SELECT 'tier' AS kind, tier AS name, '' AS place FROM known
)
SELECT format('{}{} has rates as {}', kind, place, array_to_string(list_sort(list(name)), ' and as ')) AS finding
FROM names
GROUP BY kind, place, lower(name)
HAVING count(*) > 1
ORDER BY finding
