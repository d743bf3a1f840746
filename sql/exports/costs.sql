-- What is booked in a month of a day's usage, as a table for a ledger or a spreadsheet.
-- In:    booked, rows of exports/booked or exports/booked_by; asked, one row: month, day
-- Out:   one row = day x account x project x provider x model x tier x meter x caching status x key x price status x
--        charge class x is_estimated; requests, which cost nothing, are left out
-- Units: quantity in `unit`; costs in USD, exact
-- NULL:  costs are NULL when and only when price_status is unpriced_*; key where `note` says why
SELECT
    accounting_period, charge_class, day, account_id, project_id, provider, model, tier, meter, caching_status, key,
    note, sum(quantity)::BIGINT AS quantity, unit, sum(cost_usd)::DECIMAL(38, 12) AS cost_usd,
    sum(list_cost_usd)::DECIMAL(38, 12) AS list_cost_usd, price_status, is_estimated
FROM booked
WHERE price_status <> 'not_charged'
GROUP BY ALL
ORDER BY ALL
