-- What was set aside, where it stands, and why; docs/fates.md explains each reason.
-- In:    rejects
-- Out:   one row = input x fate x reason
-- Units: records
SELECT
    input_name, fate, reason, count(*) AS records, min(line_number) AS first_line, max(line_number) AS last_line
FROM rejects
GROUP BY input_name, fate, reason
ORDER BY ALL
