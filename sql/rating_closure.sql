-- Whether rating lost, doubled or invented anything.
-- In:    quantities, what came in; rated_quantities, the same row by row with prices; rollups, the sums
-- Out:   one row = one meter whose quantity or number of rows differs; none when everything closes
-- Units: quantities in the meter's unit; rows are those of quantities and of rated_quantities
-- NULL:  a meter that is missing on one side
WITH came_in AS (
    SELECT meter, sum(quantity) AS quantity, count(*) AS row_count FROM quantities GROUP BY meter
),
came_out AS (
    SELECT meter, sum(quantity) AS quantity, count(*) AS row_count FROM rated_quantities GROUP BY meter
),
summed AS (
    SELECT meter, sum(quantity) AS quantity FROM rollups GROUP BY meter
)
SELECT
    meter,
    i.quantity AS quantity_in, o.quantity AS quantity_rated, s.quantity AS quantity_summed,
    i.row_count AS rows_in, o.row_count AS rows_rated
FROM came_in AS i
FULL JOIN came_out AS o USING (meter)
FULL JOIN summed AS s USING (meter)
WHERE i.quantity IS DISTINCT FROM o.quantity
    OR i.quantity IS DISTINCT FROM s.quantity
    OR i.row_count IS DISTINCT FROM o.row_count
ORDER BY meter
