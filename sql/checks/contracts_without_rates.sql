-- Check:    contracts_without_rates
-- Severity: fail
-- What:     a contract whose book has no rate: it would change no price
-- Grain:    one row = one contract
-- In:       contracts_history, rates_history
-- Out:      finding, naming the account and the book
SELECT format('the contract of account {} is book {}, which has no rate', coalesce(c.account_id, 'any'), c.book)
    AS finding
FROM contracts_history AS c
ANTI JOIN (SELECT book FROM rates_history WHERE superseded_at IS NULL) AS r ON r.book = c.book
WHERE c.superseded_at IS NULL
ORDER BY finding
