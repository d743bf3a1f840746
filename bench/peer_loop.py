"""Price a log with a library by others, one call for each record, and print what it took as JSON.

    peer_loop.py genai-prices|litellm|tokencost LOG

It runs in the environment of requirements-bench.txt, without Costroll. Each call is given everything that the library
takes: cached tokens, the service tier and the time where it has a parameter for them. The clock starts when the library
is imported and its prices are loaded, so that a small sample stands for many records; reading a line with `json` is
counted.
Nothing is fetched: the prices are those that the installed packages carry.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from importlib import metadata
from typing import Any

Cost = Decimal | float


@dataclass(frozen=True)
class Call:
    """One chat completion, as a caller of a price library has it in hand; tokens, and epoch seconds."""

    model: str
    tier: str
    at: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int


def genai_prices() -> Callable[[Call], Cost]:
    from genai_prices import Usage, calc_price

    def price(call: Call) -> Cost:
        usage = Usage(
            input_tokens=call.prompt_tokens, cache_read_tokens=call.cached_tokens, output_tokens=call.output_tokens
        )
        at = datetime.fromtimestamp(call.at, UTC)
        context = {"service_tier": call.tier}
        found = calc_price(usage, call.model, provider_id="openai", genai_request_timestamp=at, price_context=context)
        return found.total_price

    return price


def litellm() -> Callable[[Call], Cost]:
    from litellm import cost_per_token

    def price(call: Call) -> Cost:
        prompt, completion = cost_per_token(
            model=call.model,
            custom_llm_provider="openai",
            prompt_tokens=call.prompt_tokens,
            cache_read_input_tokens=call.cached_tokens,
            completion_tokens=call.output_tokens,
            service_tier=call.tier,
        )
        return float(prompt + completion)

    return price


def tokencost() -> Callable[[Call], Cost]:
    from tokencost import calculate_cost_by_tokens as cost_of

    def price(call: Call) -> Cost:
        uncached: Decimal = cost_of(call.prompt_tokens - call.cached_tokens, call.model, "input")
        cached: Decimal = cost_of(call.cached_tokens, call.model, "cached")
        output: Decimal = cost_of(call.output_tokens, call.model, "output")
        return uncached + cached + output

    return price


PEERS: dict[str, Callable[[], Callable[[Call], Cost]]] = {
    "genai-prices": genai_prices,
    "litellm": litellm,
    "tokencost": tokencost,
}


def call_of(record: dict[str, Any]) -> Call:
    usage = record["usage"]
    tokens = usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"], usage["completion_tokens"]
    return Call(record["model"], record["service_tier"], record["created"], *tokens)


def main() -> None:
    name, log = sys.argv[1:]
    price = PEERS[name]()
    totals: dict[str, Cost] = {}
    records = 0
    with open(log, encoding="utf-8") as file:
        first = file.readline()
        price(call_of(json.loads(first)))  # some load their prices at the first call
        file.seek(0)
        wall, cpu = time.perf_counter(), time.process_time()
        for line in file:
            call = call_of(json.loads(line))
            cost: Any = price(call)
            totals[call.tier] = totals[call.tier] + cost if call.tier in totals else cost
            records += 1
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    costs = {tier: str(cost) for tier, cost in totals.items()}
    kind = type(next(iter(totals.values()))).__name__
    result = {"version": metadata.version(name), "records": records, "wall_seconds": wall, "cpu_seconds": cpu}
    print(json.dumps({**result, "money": kind, "costs_by_tier": costs}))


if __name__ == "__main__":
    main()
