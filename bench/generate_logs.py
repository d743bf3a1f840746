#!/usr/bin/env python3
"""Write a large, plain OpenAI usage log (JSON Lines) for benchmarks and big tests, repeatable from its seed.

    generate_logs.py 2_000_000 chat.jsonl
    generate_logs.py 500_000 mixed.jsonl.zst --shape mixed --duplicates 0.01 --damaged 0.001

The traffic resembles that of a busy team: five models, log-normal prompts and answers, cached prompts in steps of 128
tokens, some flex and priority. ROWS counts the sound records; --duplicates adds repeats of that share of the lines
later in the file, --damaged cuts that share of the lines in the middle. OUT ending in .gz or .zst is compressed.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

ROWS_PER_CHUNK = 100_000

MODELS = np.array(
    [
        "gpt-4o-mini-2024-07-18",
        "gpt-4o-2024-08-06",
        "gpt-4.1-mini-2025-04-14",
        "gpt-5-mini-2025-08-07",
        "o4-mini-2025-04-16",
    ]
)
MODEL_SHARES = (0.5, 0.2, 0.15, 0.1, 0.05)
FIRST_REASONING_MODEL = 3  # the last two models reason, and only they are sold as flex
TIERS = np.array(["default", "flex", "priority"])
TIER_SHARES = (4 / 6, 1 / 6, 1 / 6)
CACHE_STEP, FEWEST_CACHEABLE, CACHED_SHARE = 128, 1024, 0.4

# Each function writes the line of one record from: number, epoch seconds, model, tier, prompt, output, cached and
# reasoning tokens, project, user, and the instant as text.


def chat(
    n: int, at: int, model: str, tier: str, p: int, o: int, c: int, r: int, project: int, user: int, _: str
) -> str:
    return (
        f'{{"id":"chatcmpl-{n:024x}","object":"chat.completion","created":{at},"model":"{model}","service_tier":"{tier}",'
        f'"system_fingerprint":"fp_560af6e559","usage":{{"prompt_tokens":{p},"completion_tokens":{o},'
        f'"total_tokens":{p + o},"prompt_tokens_details":{{"cached_tokens":{c},"audio_tokens":0}},'
        f'"completion_tokens_details":{{"reasoning_tokens":{r},"audio_tokens":0,"accepted_prediction_tokens":0,'
        f'"rejected_prediction_tokens":0}}}},"metadata":{{"project_id":"proj_{project:02d}","user":"user-{user:04d}"}}}}\n'
    )


def responses(
    n: int, at: int, model: str, tier: str, p: int, o: int, c: int, r: int, project: int, user: int, _: str
) -> str:
    return (
        f'{{"id":"resp_{n:024x}","object":"response","created_at":{at},"status":"completed","error":null,'
        f'"incomplete_details":null,"model":"{model}","output":[],"service_tier":"{tier}","usage":{{"input_tokens":{p},'
        f'"input_tokens_details":{{"cached_tokens":{c}}},"output_tokens":{o},"output_tokens_details":'
        f'{{"reasoning_tokens":{r}}},"total_tokens":{p + o}}},'
        f'"metadata":{{"project_id":"proj_{project:02d}","user":"user-{user:04d}"}}}}\n'
    )


def batch(*values: Any) -> str:
    n, body = values[0], chat(*values)[:-1]
    response = f'{{"status_code":200,"request_id":"req_{n:x}","body":{body}}}'
    return f'{{"id":"batch_req_{n:x}","custom_id":"doc-{n}","response":{response},"error":null}}\n'


def wrapped(*values: Any) -> str:
    n, project, time_text, body = values[0], values[8], values[10], chat(*values)[:-1]
    around = f'"timestamp":"{time_text}Z","request_id":"req_{n:x}","status":200,"project":"proj_{project:02d}"'
    return f'{{{around},"response":{body}}}\n'


LineFunction = Callable[..., str]
SHAPES: dict[str, LineFunction] = {"chat": chat, "responses": responses, "batch": batch, "wrapped": wrapped}


def token_counts(
    rng: np.random.Generator, rows: int, *, median: int, spread: float, least: int, most: int
) -> np.ndarray[Any, Any]:
    """Log-normal counts between two bounds."""
    return np.clip(rng.lognormal(np.log(median), spread, rows).round().astype(np.int64), least, most)


def columns(rng: np.random.Generator, rows: int, days: int, start: int) -> dict[str, np.ndarray[Any, Any]]:
    """The numbers of all records, in order of time."""
    model = rng.choice(len(MODELS), rows, p=MODEL_SHARES).astype(np.int8)
    tier = rng.choice(len(TIERS), rows, p=TIER_SHARES).astype(np.int8)
    tier[(tier == 1) & (model < FIRST_REASONING_MODEL)] = 0
    prompt = token_counts(rng, rows, median=1100, spread=1.2, least=8, most=128_000)
    output = token_counts(rng, rows, median=245, spread=1.0, least=1, most=16_384)
    blocks = np.maximum(prompt // CACHE_STEP, 1)
    cached = rng.integers(1, blocks + 1) * CACHE_STEP
    cached[(prompt < FEWEST_CACHEABLE) | (rng.random(rows) >= CACHED_SHARE)] = 0
    return {
        "at": np.sort(rng.integers(start, start + days * 86_400, rows)),
        "model": model,
        "tier": tier,
        "prompt": prompt,
        "output": output,
        "cached": cached,
        "reasoning": np.where(model >= FIRST_REASONING_MODEL, output // 2, 0),
        "project": rng.integers(0, 20, rows).astype(np.int16),
        "user": rng.integers(0, 5000, rows).astype(np.int16),
    }


def records(table: dict[str, np.ndarray[Any, Any]], chunk: slice, first_number: int) -> Iterator[tuple[Any, ...]]:
    """One tuple for each record of the chunk, in the order that the line functions expect."""
    part = {name: column[chunk] for name, column in table.items()}
    numbers = range(first_number, first_number + len(part["at"]))
    lists = (
        *(part["at"], MODELS[part["model"]], TIERS[part["tier"]], part["prompt"], part["output"], part["cached"]),
        *(part["reasoning"], part["project"], part["user"], np.datetime_as_string(part["at"].astype("datetime64[s]"))),
    )
    return zip(numbers, *(column.tolist() for column in lists), strict=True)


def line_functions(shape: str, rng: np.random.Generator, rows: int) -> list[LineFunction]:
    """The function that writes each record's line."""
    if shape != "mixed":
        return [SHAPES[shape]] * rows
    functions = list(SHAPES.values())
    return [functions[i] for i in rng.integers(0, len(functions), rows).tolist()]


def write_logs(out: IO[bytes], options: argparse.Namespace) -> int:
    """Write all lines and return how many there are."""
    rng = np.random.default_rng(options.seed)
    table = columns(rng, options.rows, options.days, options.start)
    lines_written = 0
    late: list[str] = []  # repeats of the previous chunk's lines
    for begin in range(0, options.rows, ROWS_PER_CHUNK):
        size = min(ROWS_PER_CHUNK, options.rows - begin)
        number = options.seed * 10**12 + begin  # no two seeds share an id
        rows = records(table, slice(begin, begin + size), number)
        functions = line_functions(options.shape, rng, size)
        lines = [line(*row) for line, row in zip(functions, rows, strict=True)]
        for i in np.flatnonzero(rng.random(size) < options.damaged).tolist():
            lines[i] = lines[i][: len(lines[i]) // 2] + "\n"
        repeats = [lines[i] for i in np.flatnonzero(rng.random(size) < options.duplicates).tolist()]
        is_last = begin + size == options.rows
        written = lines + late + (repeats if is_last else [])
        out.write("".join(written).encode())
        late, lines_written = repeats, lines_written + len(written)
    return lines_written


def open_output(path: Path) -> IO[bytes]:
    """The file, compressed as its name says; compressed files are equal from run to run."""
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.GzipFile(path, "wb", compresslevel=3, mtime=0))
    if path.suffix == ".zst":
        import zstandard

        return cast(
            "IO[bytes]", zstandard.open(path, "wb", cctx=zstandard.ZstdCompressor(level=3, write_checksum=True))
        )
    return path.open("wb", buffering=1 << 20)


def main() -> None:
    summary, _, details = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=int, metavar="ROWS")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument(
        "--start", type=int, default=1_761_955_200, help="first instant in epoch seconds; 2025-11-01 unless given"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--duplicates", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--damaged", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--shape", choices=(*SHAPES, "mixed"), default="chat")
    options = parser.parse_args()
    began = time.perf_counter()
    with open_output(options.out) as out:
        lines = write_logs(out, options)
    seconds = time.perf_counter() - began
    size = options.out.stat().st_size
    print(f"{lines:,} lines, {size:,} bytes, {seconds:.1f} s: {options.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
