-- Records beyond what their model can take or give: a wrong count, a wrong model, or several answers in one record.
-- In:    chosen, rows of net_rollups; usage, inputs, models
-- Out:   one row = record x limit; aggregates have none, as they do not tell how long their requests were
-- Units: tokens
-- NULL:  never, but input_name where the input is not known any more
SELECT
    u.day, u.provider, u.model, found."limit", found.allowed_tokens, found.tokens,
    i.input_name, u.line_number, u.request_id
FROM usage AS u
JOIN (
    SELECT n.provider, n.model,
        coalesce(own.context_window_tokens, priced.context_window_tokens) AS context_window_tokens,
        coalesce(own.max_output_tokens, priced.max_output_tokens) AS max_output_tokens
    FROM (
        SELECT provider, model, arg_max(priced_model, day) AS priced_model FROM chosen GROUP BY provider, model
    ) AS n
    LEFT JOIN models AS own ON own.provider = n.provider AND own.model = n.model
    LEFT JOIN models AS priced ON priced.provider = n.provider AND priced.model = n.priced_model
) AS l ON l.provider = u.provider AND l.model = u.model
CROSS JOIN LATERAL (
    SELECT 'context window' AS "limit", l.context_window_tokens AS allowed_tokens, u.prompt_tokens AS tokens
    UNION ALL
    SELECT 'maximum output', l.max_output_tokens, u.output_tokens
) AS found
LEFT JOIN (
    SELECT input_sha256, min(input_name) AS input_name FROM inputs GROUP BY input_sha256
) AS i ON i.input_sha256 = u.input_sha256
WHERE found.tokens > found.allowed_tokens
    AND u.source_kind = 'request'
    AND u.day IN (SELECT day FROM chosen)
ORDER BY u.day, u.provider, u.model, found."limit", i.input_name, u.line_number
