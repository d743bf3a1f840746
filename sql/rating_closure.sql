-- Whether rating lost, doubled or invented anything.
-- In:    quantities, what came in; rollups, the sums of what was rated, with summed_rows: of how many rows each is the sum
-- Out:   one row = one meter whose quantity or number of rows differs; none when everything closes
-- Units: quantities in the meter's unit; rows are those of quantities
-- NULL:  a meter that is missing on one side
WITH came_in AS (
    SELECT meter, sum(quantity) AS quantity, count(*) AS row_count FROM quantities GROUP BY meter
),
came_out AS (
    SELECT meter, sum(quantity) AS quantity, sum(summed_rows) AS row_count FROM rollups GROUP BY meter
)
SELECT
    meter,
    i.quantity AS quantity_in, o.quantity AS quantity_out,
    i.row_count AS rows_in, o.row_count AS rows_out
FROM came_in AS i
FULL JOIN came_out AS o USING (meter)
WHERE i.quantity IS DISTINCT FROM o.quantity OR i.row_count IS DISTINCT FROM o.row_count
ORDER BY meter
