-- What is booked in a month of a day's usage, as it stands in the rollups.
-- In:    rollups; asked, one row: month, day
-- Out:   one row = one row of rollups, with `key`, `note` and `tags` of nobody
-- Units: as in rollups
-- NULL:  costs are NULL when and only when price_status is unpriced_*; key, note and tags always
SELECT *, NULL::VARCHAR AS key, NULL::VARCHAR AS note, NULL::VARCHAR AS tags
FROM rollups
WHERE accounting_period = (SELECT month FROM asked) AND day = (SELECT day FROM asked)
