-- Check:    far_from_neighbour
-- Severity: warn
-- What:     a rate is at least eight times the one that follows or precedes it: a mistake of the unit is likelier
-- Grain:    one row = one pair of rates of the same thing that follow each other
-- In:       rates_history
-- Out:      finding, naming both rate_ids and rates
WITH ordered AS (
    SELECT
        rate_id,
        rate_usd_per_million AS rate,
        lead(rate_id) OVER same_thing AS next_rate_id,
        lead(rate_usd_per_million) OVER same_thing AS next_rate
    FROM rates_history
    WHERE superseded_at IS NULL
    WINDOW same_thing AS (
        PARTITION BY provider, model, tier, meter, caching_status, context_over_tokens, book
        ORDER BY effective_from NULLS FIRST, rate_id
    )
)
SELECT format('{} at {} and {} at {} are far apart', rate_id, rate::VARCHAR, next_rate_id, next_rate::VARCHAR)
    AS finding
FROM ordered
WHERE rate > 0 AND next_rate > 0 AND (next_rate >= 8 * rate OR rate >= 8 * next_rate)   -- 0 is free, not a mistake
ORDER BY finding
