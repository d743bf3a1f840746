-- Check:    overlapping_contracts
-- Severity: fail
-- What:     two contracts of an account are in force at once: which one applies would be a matter of luck
-- Grain:    one row = one pair of contracts that follow each other by their start and overlap
-- In:       contracts_history
-- Out:      finding, naming the account and both books
WITH ordered AS (
    SELECT
        account_id, book, effective_to,
        lead(book) OVER same_account AS next_book,
        lead(coalesce(effective_from, '-infinity'::TIMESTAMP)) OVER same_account AS next_starts_at
    FROM contracts_history
    WHERE superseded_at IS NULL
    WINDOW same_account AS (
        PARTITION BY account_id
        ORDER BY effective_from NULLS FIRST, effective_to NULLS LAST, book
    )
)
SELECT format('account {} has both {} and {} from {}', coalesce(account_id, 'any'), book, next_book,
              CASE WHEN isfinite(next_starts_at) THEN next_starts_at::VARCHAR ELSE 'ever' END) AS finding
FROM ordered
WHERE next_starts_at < coalesce(effective_to, 'infinity'::TIMESTAMP)   -- the end is exclusive: contracts may meet
ORDER BY finding
