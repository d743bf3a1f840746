-- Check:    overlapping_rates
-- Severity: fail
-- What:     two rates of the same thing are in force at once: which one applies would be a matter of luck
-- Grain:    one row = one pair of rates that follow each other by their start and overlap
-- In:       rates_history
-- Out:      finding, naming both rate_ids; of many overlapping rates at least one pair of neighbours
WITH ordered AS (
    SELECT
        rate_id,
        effective_to,
        lead(rate_id) OVER same_thing AS next_rate_id,
        lead(coalesce(effective_from, '-infinity'::TIMESTAMP)) OVER same_thing AS next_starts_at
    FROM rates_history
    WHERE superseded_at IS NULL
    WINDOW same_thing AS (
        PARTITION BY provider, model, tier, meter, caching_status, context_over_tokens, book
        ORDER BY effective_from NULLS FIRST, effective_to NULLS LAST, rate_id
    )
)
SELECT format('{} and {} are both in force from {}', rate_id, next_rate_id,
              CASE WHEN isfinite(next_starts_at) THEN next_starts_at::VARCHAR ELSE 'ever' END) AS finding
FROM ordered
WHERE next_starts_at < coalesce(effective_to, 'infinity'::TIMESTAMP)   -- the end is exclusive: rates may meet
ORDER BY finding
