#!/usr/bin/env python3
"""The bound of `make bench`: what a strict reading cannot do without, and nothing else.

    bound.py LOG

DuckDB hands over, as undecoded text, every field that decides a chat record's identity, fate and price, and a thread
beside it hashes every byte. Typed columns would be faster, but take 1.5 for 2, true for 1 and "12" for 12 without a
word. Nothing is decoded, judged, settled, rated, written, synced or read back here.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from pathlib import Path

import duckdb

FIELDS = """
SELECT
    id, object, created, model, service_tier, usage.prompt_tokens, usage.completion_tokens,
    usage.prompt_tokens_details.cached_tokens, usage.prompt_tokens_details.audio_tokens AS audio_input,
    usage.prompt_tokens_details.image_tokens, usage.prompt_tokens_details.cache_write_tokens,
    usage.prompt_tokens_details.cache_write_tokens_details.ttl_12h_tokens,
    usage.completion_tokens_details.reasoning_tokens, usage.completion_tokens_details.audio_tokens AS audio_output,
    metadata.project_id, metadata.user_id, metadata."user", metadata.workflow_id
FROM read_json(?, format = 'newline_delimited', ignore_errors = false, columns = {
    id: 'JSON', object: 'JSON', created: 'JSON', model: 'JSON', service_tier: 'JSON',
    usage: 'STRUCT(
        prompt_tokens JSON, completion_tokens JSON,
        prompt_tokens_details STRUCT(
            cached_tokens JSON, audio_tokens JSON, image_tokens JSON, cache_write_tokens JSON,
            cache_write_tokens_details STRUCT(ttl_12h_tokens JSON)),
        completion_tokens_details STRUCT(reasoning_tokens JSON, audio_tokens JSON))',
    metadata: 'STRUCT(project_id JSON, user_id JSON, "user" JSON, workflow_id JSON)'})
"""
BATCH_ROWS = 100_000


def hash_of(log: Path) -> str:
    """SHA-256 of every byte."""
    digest, block = hashlib.sha256(), bytearray(1 << 20)
    with log.open("rb", buffering=0) as file:
        while size := file.readinto(block):
            digest.update(memoryview(block)[:size])
    return digest.hexdigest()


def main() -> None:
    log = Path(sys.argv[1])
    hashing = threading.Thread(target=hash_of, args=(log,))
    hashing.start()
    con = duckdb.connect()
    con.execute("SET arrow_output_version = '1.4'; SET produce_arrow_string_view = true")
    batches = con.sql(FIELDS, params=[str(log)]).to_arrow_reader(BATCH_ROWS)
    print(sum(batch.num_rows for batch in batches), "rows")
    hashing.join()


if __name__ == "__main__":
    main()
