-- The meter registry for SQL: what is counted, in which unit, and how caching divides it.
-- In:    nothing; the rows repeat etl/meters.py, and a test holds the two equal
-- Out:   usage_column, meter, caching_status, direction, unit, is_charged; one row = meter x caching status it can have
-- NULL:  usage_column is NULL for requests: the USAGE column `requests` is not split by caching status
SELECT *
FROM (VALUES
    ('input_uncached_tokens', 'input', 'uncached', 'input', 'tokens', true),
    ('input_cached_tokens', 'input', 'cached', 'input', 'tokens', true),
    ('input_cache_write_tokens', 'input', 'cache_write', 'input', 'tokens', true),
    ('input_cache_write_5m_tokens', 'input', 'cache_write_5m', 'input', 'tokens', true),
    ('input_cache_write_1h_tokens', 'input', 'cache_write_1h', 'input', 'tokens', true),
    ('input_cache_write_12h_tokens', 'input', 'cache_write_12h', 'input', 'tokens', true),
    ('output_tokens', 'output', 'not_applicable', 'output', 'tokens', true),
    ('audio_input_uncached_tokens', 'audio_input', 'uncached', 'input', 'tokens', true),
    ('audio_input_cached_tokens', 'audio_input', 'cached', 'input', 'tokens', true),
    ('audio_output_tokens', 'audio_output', 'not_applicable', 'output', 'tokens', true),
    ('image_input_uncached_tokens', 'image_input', 'uncached', 'input', 'tokens', true),
    ('image_input_cached_tokens', 'image_input', 'cached', 'input', 'tokens', true),
    ('image_output_tokens', 'image_output', 'not_applicable', 'output', 'tokens', true),
    ('video_input_uncached_tokens', 'video_input', 'uncached', 'input', 'tokens', true),
    ('video_input_cached_tokens', 'video_input', 'cached', 'input', 'tokens', true),
    ('video_output_tokens', 'video_output', 'not_applicable', 'output', 'tokens', true),
    ('training_tokens', 'training', 'not_applicable', 'input', 'tokens', true),
    ('web_search_calls', 'web_search_calls', 'not_applicable', 'count', 'calls', true),
    ('file_search_calls', 'file_search_calls', 'not_applicable', 'count', 'calls', true),
    ('code_interpreter_sessions', 'code_interpreter_sessions', 'not_applicable', 'count', 'sessions', true),
    ('transcription_seconds', 'transcription_seconds', 'not_applicable', 'input', 'seconds', true),
    ('speech_characters', 'speech_characters', 'not_applicable', 'input', 'characters', true),
    ('generated_images', 'generated_images', 'not_applicable', 'output', 'images', true),
    (NULL, 'requests', 'uncached', 'count', 'requests', false),
    (NULL, 'requests', 'cached', 'count', 'requests', false),
    (NULL, 'requests', 'not_applicable', 'count', 'requests', false)
) AS registry (usage_column, meter, caching_status, direction, unit, is_charged)
