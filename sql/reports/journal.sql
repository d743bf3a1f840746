-- The accrual as journal lines in cents: an expense for each cost centre, and their sum as a liability to the provider.
-- In:    chosen, the rows of rollups that are booked in the month, up to the day
-- Out:   one row = one line; debits equal credits for each month and provider, because the liability is the sum of the
--        rounded expenses
-- Units: debit_usd and credit_usd in USD, rounded half away from zero to cents; exact_usd is what was rounded
-- NULL:  cost_centre of the liability, and of usage without a project; the empty side of a line
SELECT
    accounting_period, if(is_liability, 'accrued liability', 'expense') AS ledger_account, provider, cost_centre,
    if((amount_usd < 0) = is_liability, abs(amount_usd), NULL) AS debit_usd,
    if((amount_usd < 0) = is_liability, NULL, abs(amount_usd)) AS credit_usd,
    if(is_liability, -exact_usd, exact_usd) AS exact_usd
FROM (
    SELECT
        accounting_period, provider, cost_centre, grouping(cost_centre) = 1 AS is_liability,
        sum(exact_usd) AS exact_usd, sum(cents_usd)::DECIMAL(38, 2) AS amount_usd
    FROM (
        SELECT
            accounting_period, provider, project_id AS cost_centre,
            sum(cost_usd) AS exact_usd, round(sum(cost_usd), 2)::DECIMAL(38, 2) AS cents_usd
        FROM chosen
        WHERE cost_usd IS NOT NULL AND price_status <> 'not_charged'
        GROUP BY ALL
    )
    GROUP BY GROUPING SETS ((accounting_period, provider, cost_centre), (accounting_period, provider))
)
ORDER BY accounting_period, provider, is_liability, cost_centre NULLS FIRST
