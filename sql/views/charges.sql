-- Every record's charges: what each of its quantities costs, and at which rate.
-- In:    the macro charges_between, which is faster where only some days are wanted
-- Out:   one row = record x meter x caching status with a quantity; the sum of cost_usd is exactly that of the rollups.
--        The columns are those of charges_between
-- Units: quantity in `unit`; rates in USD per 1,000,000 units; costs in USD, exact
-- NULL:  rate and costs are NULL when and only when price_status is unpriced_*
SELECT * FROM charges_between('-infinity'::DATE, 'infinity'::DATE)
