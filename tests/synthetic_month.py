"""A month of an invented company: its logs, and what its provider counts and bills, made apart from the package.

Nothing here knows `etl/`: prices are typed from OpenAI's price list of June 2025, amounts are worked out request by
request in `Decimal`, and the files are written as text. The logs and the bill differ by `CAUSES`, each of which can be
left out; what each is worth is summed on the way.

    python -m tests.synthetic_month FOLDER [REQUESTS]     writes logs/, cost_*.csv, completions_usage_*.csv, causes.json
"""

from __future__ import annotations

import json
import random
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

FIRST = int(datetime(2025, 6, 1, tzinfo=UTC).timestamp())
DAYS = 30
DAY_SECONDS = 86_400
FOUR_O_MINI, FOUR_ONE, FOUR_ONE_MINI = "gpt-4o-mini-2024-07-18", "gpt-4.1-2025-04-14", "gpt-4.1-mini-2025-04-14"
O3, O4_MINI = "o3-2025-04-16", "o4-mini-2025-04-16"
# USD per million tokens: uncached, cached, output.
PRICES = {
    (FOUR_O_MINI, "standard"): ("0.15", "0.075", "0.60"),
    (FOUR_O_MINI, "batch"): ("0.075", "0.075", "0.30"),
    (FOUR_ONE, "standard"): ("2", "0.5", "8"),
    (FOUR_ONE, "priority"): ("3.5", "0.875", "14"),
    (FOUR_ONE_MINI, "standard"): ("0.4", "0.1", "1.6"),
    (FOUR_ONE_MINI, "batch"): ("0.2", "0.2", "0.8"),
    (O3, "standard"): ("2", "0.5", "8"),
    (O3, "flex"): ("1", "0.25", "4"),
    (O4_MINI, "standard"): ("1.1", "0.275", "4.4"),
    (O4_MINI, "flex"): ("0.55", "0.138", "2.2"),
}
# Until the ninth of June o3 cost five times as much; our card knows that, so nobody should stumble over it.
O3_BEFORE = 5
O3_CHEAPER_ON = 10
PRIORITY_SINCE = 26

CAUSES = ("complimentary", "midnight_batch", "price_change", "tool_fees", "lost_log", "file_twice")
FREE_DAY, BATCH_DAY, LOST_DAY, PRICE_DAY, TWICE_DAY = 5, 9, 17, 20, 21
LOST_LOG, COPIED_LOG = f"2025-06-{LOST_DAY}_proj_agents_chat.jsonl", f"2025-06-{TWICE_DAY}_proj_search_chat.jsonl"
MANY = 30_000
NEW_PRICES = ("0.30", "0.08", "1.20")
SEARCHES = {3: 7, 11: 13}
SEARCH_USD = Decimal("0.01")
# Every tenth request of a service is in a batch.
BATCH_EVERY = 10

CHOICES = ((FOUR_O_MINI, "standard"), (FOUR_ONE, "standard"), (FOUR_ONE_MINI, "standard"), (O3, "standard"),
           (O3, "flex"), (O4_MINI, "standard"), (O4_MINI, "flex"), (FOUR_ONE, "priority"))  # fmt: skip
COST_HEADER = (
    "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,quantity_unit,line_item,"
    "user_id,api_key_id,project_id,organization_id,project_name,organization_name,user_email,api_source"
)
USAGE_HEADER = (
    "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,model,batch,"
    "service_tier,input_tokens,output_tokens,input_cached_tokens,input_uncached_tokens"
)
GATEWAY_HEADER = (
    "occurred_at,request_id,provider,project_id,model,tier,input_uncached_tokens,input_cached_tokens,output_tokens"
)
WORDS = ("input", "cached input", "output")


@dataclass(frozen=True)
class Call:
    """One request as it happened.

    Attributes:
        day: of June, when it was made; `billed_day`: under which the provider bills it.
        tokens: uncached, cached, output.
    """

    number: int
    at: int
    day: int
    billed_day: int
    project: str
    model: str
    tier: str
    tokens: tuple[int, int, int]
    is_free: bool = False

    def worth(self) -> Decimal:
        """At the prices that our card has."""
        return cost(self.tokens, PRICES[self.model, self.tier], O3_BEFORE if is_dear(self) else 1)

    def billed(self, *, changed: bool) -> tuple[Decimal, Decimal, Decimal]:
        """What the provider asks for each kind of token."""
        if self.is_free:
            return Decimal(0), Decimal(0), Decimal(0)
        prices = PRICES[self.model, self.tier]
        if changed and self.billed_day >= PRICE_DAY and (self.model, self.tier) == (FOUR_ONE_MINI, "standard"):
            prices = NEW_PRICES
        times = O3_BEFORE if is_dear(self) else 1
        first, second, third = (
            count * Decimal(price) * times / 1_000_000 for count, price in zip(self.tokens, prices, strict=True)
        )
        return first, second, third


def is_dear(call: Call) -> bool:
    return call.model == O3 and call.day < O3_CHEAPER_ON


def cost(tokens: tuple[int, ...], prices: tuple[str, ...], times: int) -> Decimal:
    return sum(
        (count * Decimal(price) * times / 1_000_000 for count, price in zip(tokens, prices, strict=True)), Decimal(0)
    )


@dataclass
class Month:
    """What was written.

    Attributes:
        logs, bill, usage: the folder and the two files.
        worth: cause -> ours less theirs, USD, exact.
        requests: those that happened.
    """

    logs: Path
    bill: Path
    usage: Path
    worth: dict[str, Decimal] = field(default_factory=dict)
    requests: int = 0


def calls(requests: int, causes: Collection[str]) -> Iterator[Call]:
    """The month's requests, in order; causes change only when a batch is billed and what is free."""
    rng = random.Random(20250601)
    per_day = requests // DAYS
    for number in range(per_day * DAYS):
        day, place = number // per_day + 1, number % per_day
        project = ("proj_search", "proj_agents")[place % 2]
        model, tier = CHOICES[rng.randrange(len(CHOICES) - (day < PRIORITY_SINCE))]
        if place % BATCH_EVERY < 2:  # one for each project
            model, tier = (FOUR_O_MINI, FOUR_ONE_MINI)[rng.randrange(2)], "batch"
        cached = 0 if tier == "batch" else 128 * rng.randrange(0, 12)
        tokens = (rng.randrange(200, 3000), cached, rng.randrange(20, 900))
        at = FIRST + (day - 1) * DAY_SECONDS + place * (DAY_SECONDS - 1) // per_day
        # The last quarter of that day's batches is done after midnight.
        is_late = tier == "batch" and day == BATCH_DAY and place >= per_day * 3 // 4 and "midnight_batch" in causes
        is_free = (
            day == FREE_DAY
            and (model, tier, project) == (FOUR_O_MINI, "standard", "proj_search")
            and place < per_day // 2
            and "complimentary" in causes
        )
        yield Call(number, at, day, day + is_late, project, model, tier, tokens, is_free)


def write(folder: Path, requests: int = 3_000, causes: Collection[str] = CAUSES) -> Month:
    """Write logs, bill and usage export."""
    month = Month(folder / "logs", folder / "cost_2025-06-01_2025-07-01.csv", folder / "completions_usage_2025-06.csv")
    month.logs.mkdir(parents=True, exist_ok=True)
    worth = dict.fromkeys(causes, Decimal(0))
    logs: dict[str, list[Call]] = defaultdict(list)
    bill: dict[tuple[object, ...], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    usage: dict[tuple[object, ...], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for call in calls(requests, causes):
        month.requests += 1
        logs[log_of(call, by_day=requests >= MANY)].append(call)
        amounts = call.billed(changed="price_change" in causes)
        for word, amount, quantity in zip(WORDS, amounts, call.tokens, strict=True):
            if quantity:
                entry = bill[call.billed_day, call.project, call.model, call.tier, word, call.is_free]
                entry[0] += amount
                entry[1] += quantity
        counted = usage[call.billed_day, call.project, call.model, call.tier, call.is_free]
        for at, quantity in enumerate((1, *call.tokens)):
            counted[at] += quantity
        if call.is_free:
            worth["complimentary"] += call.worth()
        elif sum(amounts) != call.worth():
            worth["price_change"] += call.worth() - sum(amounts)
    for name, own in logs.items():
        if name == LOST_LOG and "lost_log" in causes:
            worth["lost_log"] -= sum((call.worth() for call in own), Decimal(0))
            continue
        (month.logs / name).write_text("".join(f"{line(call)}\n" for call in own))
        if name == COPIED_LOG and "file_twice" in causes:
            worth["file_twice"] += sum((call.worth() for call in own), Decimal(0))
            rows = "".join(f"{gateway_line(call)}\n" for call in own)
            (month.logs / "gateway.csv").write_text(f"{GATEWAY_HEADER}\n{rows}")
    if "tool_fees" in causes:
        worth["tool_fees"] = -SEARCH_USD * sum(SEARCHES.values())
    month.bill.write_text("".join(f"{line}\n" for line in bill_lines(bill, searched="tool_fees" in causes)))
    month.usage.write_text("".join(f"{line}\n" for line in usage_lines(usage)))
    month.worth = worth
    return month


def log_of(call: Call, *, by_day: bool) -> str:
    """The file that a call is logged in; a small month is one file, but for the two logs to which something happens."""
    name = f"2025-06-{call.day:02d}_{call.project}_{'batch' if call.tier == 'batch' else 'chat'}.jsonl"
    return name if by_day or name in (LOST_LOG, COPIED_LOG) else "2025-06.jsonl"


def line(call: Call) -> str:
    return batch_line(call) if call.tier == "batch" else json.dumps(body(call), separators=(",", ":"))


def body(call: Call) -> dict[str, object]:
    uncached, cached, output = call.tokens
    tier = "default" if call.tier in ("standard", "batch") else call.tier
    usage = {"prompt_tokens": uncached + cached, "completion_tokens": output, "total_tokens": sum(call.tokens),
             "prompt_tokens_details": {"cached_tokens": cached}}  # fmt: skip
    return {"id": f"chatcmpl-{call.number}", "object": "chat.completion", "created": call.at, "model": call.model,
            "service_tier": tier, "metadata": {"project_id": call.project}, "usage": usage}  # fmt: skip


def batch_line(call: Call) -> str:
    response = {"status_code": 200, "request_id": f"r-{call.number}", "body": body(call)}
    line = {"id": f"batch_req_{call.number}", "custom_id": f"c-{call.number}", "response": response, "error": None}
    return json.dumps(line, separators=(",", ":"))


def gateway_line(call: Call) -> str:
    at = datetime.fromtimestamp(call.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    uncached, cached, output = call.tokens
    return f"{at},gw-{call.number},openai,{call.project},{call.model},{call.tier},{uncached},{cached},{output}"


def interval(day: int) -> str:
    start = FIRST + (day - 1) * DAY_SECONDS
    texts = [datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S") for at in (start, start + DAY_SECONDS)]
    return f"{start},{start + DAY_SECONDS},{texts[0]},{texts[1]}"


def bill_lines(bill: dict[tuple[object, ...], list[Decimal]], *, searched: bool) -> Iterator[str]:
    yield COST_HEADER
    prefix = {"batch": "batch api | ", "flex": "flex | ", "priority": "priority | ", "standard": ""}
    for (day, project, model, tier, word, _), (amount, quantity) in bill.items():
        item = f'"{prefix[str(tier)]}{model}, {word}"'
        yield (f"{interval(int(str(day)))},{amount:.36f},usd,{quantity}.0,tokens,{item},,,{project},org-1,,Acme,,")
    for day, searches in SEARCHES.items() if searched else ():
        amount = SEARCH_USD * searches
        yield f"{interval(day)},{amount},usd,{searches}.0,,web search tool calls,,,proj_search,org-1,,Acme,,"


def usage_lines(usage: dict[tuple[object, ...], list[int]]) -> Iterator[str]:
    yield USAGE_HEADER
    tiers = {"standard": "default", "batch": "", "flex": "flex-tier", "priority": "priority"}
    for (day, project, model, tier, is_free), (requests, uncached, cached, output) in usage.items():
        named = "incentivized-tier" if is_free else tiers[str(tier)]
        yield (
            f"{interval(int(str(day)))},{project},{requests}.0,,,{model},{tier == 'batch'},{named},"
            f"{uncached + cached}.0,{output}.0,{cached}.0,{uncached}.0"
        )


if __name__ == "__main__":
    target = Path(sys.argv[1])
    made = write(target, int(sys.argv[2]) if len(sys.argv) > 2 else 3_000)
    (target / "causes.json").write_text(json.dumps({cause: str(usd) for cause, usd in made.worth.items()}, indent=1))
