"""Write folders of usage logs as they are found in the wild: every shape, every encoding, and some of it broken.

    files = write_damaged_logs(Path("logs"), records=10_000, seed=7)     # the same seed writes the same bytes

About one record in fifty is damaged, each time in one of the ways listed in DAMAGES (a function that breaks a record,
filed under the fate and reason it must get), LINE_DAMAGES (the same for the text of a line), ROW_DAMAGES and
RESULT_DAMAGES (rows of the plain format and of usage exports) and ODD_LINES (whole lines that are no usage at all).
HARMLESS and HARMLESS_TEXT change a record in ways that must not matter. Sound records vary as well: unknown models and
tiers, fine-tunes, instants at the edge of a price change, prompts at the edge of a context band, repeats and conflicts.

What is left out on purpose, because the rules leave it open: two contents of one identity at the same instant (only
the order of hashes would decide), two files with the same content, aggregates of one day in two groupings.

NOW is the instant at which these logs should be read.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
DAMAGED_SHARE = 0.02
HARMLESS_SHARE = 0.02
ECHOED_SHARE = 0.02  # repeats of an earlier line, in this file or another
RIVAL_SHARE = 0.01  # the id of an earlier record with other content at another time
HUGE_LINES_FROM = 20_000  # records; smaller folders do without lines of 16 MiB
LONGEST_LINE_BYTES = 16 * 1024 * 1024

# ---------------------------------------------------------------------------------------------------- models and times


def epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


class Era(NamedTuple):
    """A stretch of days, the models used in it and the instants at which a price or an alias changes."""

    first: int
    last: int
    models: tuple[str, ...]
    edges: tuple[int, ...]


STRANGE_MODELS = (
    "my-finetune-v2",
    "modèle-é",
    "模型-大",
    "gpt-4o-mini ",
    "GPT-4O-MINI",
    "🙂-1",
    "gpt-4o-mini-2030-01-01",
)
ERAS = (
    Era(
        epoch("2024-09-30"),
        epoch("2024-10-04"),
        ("gpt-4o", "gpt-4o-2024-05-13", "gpt-4o-2024-08-06", "gpt-4o-mini", "gpt-3.5-turbo", "gpt-4o-audio-preview"),
        (epoch("2024-10-01"), epoch("2024-10-02")),
    ),
    Era(
        epoch("2025-06-08"),
        epoch("2025-06-12"),
        ("o3", "o3-2025-04-16", "o3-pro", "o4-mini-2025-04-16", "gpt-4o-mini-2024-07-18", "gpt-4.1-2025-04-14"),
        (epoch("2025-06-10"),),
    ),
    Era(
        epoch("2025-11-01"),
        epoch("2025-12-01"),
        (
            *("gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06", "gpt-4.1-mini-2025-04-14", "gpt-5-mini-2025-08-07"),
            *("gpt-4o-mini-2024-07-18", "o4-mini-2025-04-16", "gpt-5.1-mini", "gpt-4o-audio-preview-2024-12-17"),
            *("ft:gpt-4o-mini-2024-07-18:acme::9xYzAbCd", "ft:gpt-4o-2024-08-06:acme:support:A1:ckpt-step-90"),
            *("ft:gpt-4.1-nano-2025-04-14", "ft:no-such-base:acme::1"),
        ),
        (epoch("2025-11-13"),),
    ),
    Era(
        epoch("2026-03-03"),
        epoch("2026-03-08"),
        ("gpt-5.4", "gpt-5.4-2026-03-05", "gpt-5.4-pro", "gpt-5-mini", "gpt-4o-mini"),
        (epoch("2026-03-05"),),
    ),
    Era(
        epoch("2026-08-19"),
        epoch("2026-08-24"),
        ("gpt-5.6", "gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna", "gpt-5.4"),
        (epoch("2026-08-21"),),
    ),
    Era(epoch("2026-11-20"), epoch("2026-11-22"), ("gpt-5.6-sol", "gpt-5.6-luna", "gpt-4o-mini-2024-07-18"), ()),
)
ERA_WEIGHTS = (1, 1, 4, 1, 2, 1)
TIERS = (None, None, "default", "default", "default", "default", "auto", "", "flex", "flex", "priority", "priority")
RARE_TIERS = ("fast", "scale", "incentivized-tier", "flex-tier", "ultrafast", "turbo", "standard", "batch", "Priorité")
LONG_PROMPTS = (271_999, 272_000, 272_001, 272_002, 300_000, 1_000_000)
EMBEDDING_MODELS = ("text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002")


def pick_time(r: Random, era: Era) -> int:
    """An instant of the era, now and then exactly at a change or one second before it."""
    if era.edges and r.random() < 0.05:
        return r.choice(era.edges) - r.randrange(2)
    return r.randrange(era.first, era.last)


def pick_model(r: Random, era: Era) -> str:
    return r.choice(STRANGE_MODELS) if r.random() < 0.01 else r.choice(era.models)


def pick_tier(r: Random) -> str | None:
    return r.choice(RARE_TIERS) if r.random() < 0.03 else r.choice(TIERS)


def iso(r: Random, at: int) -> str:
    """One of the spellings of an instant."""
    style = r.randrange(7)
    if style == 6 and at % 60 == 59:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:60Z")
    fraction = "" if style < 2 else "." + "".join(r.choices("0123456789", k=r.choice((1, 3, 6, 9))))
    hours, zone = ((0, "Z"), (0, "+00:00"), (2, "+02:00"), (-8, "-08:00"), (5.5, "+05:30"), (0, "Z"), (0, "Z"))[style]
    local = datetime.fromtimestamp(at, UTC) + timedelta(hours=hours)
    return local.strftime("%Y-%m-%d %H:%M:%S" if style == 5 else "%Y-%m-%dT%H:%M:%S") + fraction + zone


# ----------------------------------------------------------------------------------------------------- sound records

COMPACT = (",", ":")
RAW = re.compile(r'"@raw:([^"]*)@"')


def raw(token: str) -> Any:
    """A value that is written as it stands, such as `1e3`, which `json` would never write."""
    return f"@raw:{token}@"


def compact(value: Any, *, ascii_only: bool = True) -> str:
    text = json.dumps(value, separators=COMPACT, ensure_ascii=ascii_only)
    return RAW.sub(r"\1", text) if "@raw:" in text else text


@dataclass
class Draft:
    """A JSON record under construction: the provider's object and what stands around it."""

    shape: str  # chat, responses or embeddings
    record: dict[str, Any]
    batch: dict[str, Any] | None = None  # the batch line around it
    wrapper: dict[str, Any] | None = None  # the user's object around it
    place: str = "response"
    is_encoded: bool = False  # the record stands in the wrapper as a string
    edits: list[Callable[[str], str]] = field(default_factory=list)  # of the record's text

    def text(self, *, ascii_only: bool = True) -> str:
        text = compact(self.record, ascii_only=ascii_only)
        for edit in self.edits:
            text = edit(text)
        around = self.batch if self.batch is not None else self.wrapper
        if around is None:
            return text
        inside = json.dumps(text) if self.is_encoded else text
        return compact(around, ascii_only=ascii_only).replace('"@record@"', inside, 1)

    @property
    def usage(self) -> dict[str, Any]:
        """The usage object; an empty one where another damage has taken it away."""
        usage = self.record.get("usage")
        return usage if isinstance(usage, dict) else {}

    @property
    def keys(self) -> tuple[str, str, str, str]:
        """The shape's words for prompt, completion, and the details of both."""
        if self.shape == "responses":
            return "input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details"
        return "prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"

    def details(self, side: int) -> dict[str, Any]:
        """Details of the prompt (0) or the completion (1), made if they are missing."""
        key, usage = self.keys[2 + side], self.usage
        if not isinstance(usage.get(key), dict):
            usage[key] = {}
        details: dict[str, Any] = usage[key]
        return details


class Author:
    """Invents sound records, one after the other, from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.seed = seed
        self.number = 0

    def next_number(self) -> int:
        self.number += 1
        return self.number

    def next_id(self, prefix: str) -> str:
        return f"{prefix}{self.seed:x}{self.next_number():012x}"

    def usage(self, model: str, keys: tuple[str, str, str, str], *, wants_details: bool) -> dict[str, Any]:
        """A usage object whose parts fit into their wholes."""
        r = self.random
        prompt = min(int(r.lognormvariate(7, 1.2)) + 8, 128_000)
        completion = min(int(r.lognormvariate(5.5, 1)) + 1, 16_384)
        if model.startswith(("gpt-5.4", "gpt-5.6")) and r.random() < 0.15:
            prompt = r.choice(LONG_PROMPTS)
        if r.random() < 0.003:
            prompt = r.choice((0, 1, 10**12))
        usage: dict[str, Any] = {keys[0]: prompt, keys[1]: completion, "total_tokens": prompt + completion}
        if not wants_details and r.random() < 0.06:
            if r.random() < 0.5:
                usage[keys[2]] = usage[keys[3]] = None
            return usage
        cached = int(prompt * r.random()) // 128 * 128 if prompt >= 1024 and r.random() < 0.4 else 0
        rest = prompt - cached
        inputs: dict[str, Any] = {"cached_tokens": cached, "audio_tokens": 0}
        outputs: dict[str, Any] = {"reasoning_tokens": 0, "audio_tokens": 0}
        if model.startswith("gpt-5.6") and r.random() < 0.5:
            written = int(rest * r.random())
            rest -= written
            inputs["cache_write_tokens"] = written
            if r.random() < 0.5:
                twelve_hours = int(written * r.random())
                ttl = {"ttl_30m_tokens": written - twelve_hours, "ttl_12h_tokens": twelve_hours}
                inputs["cache_write_tokens_details"] = ttl
        if "audio" in model:
            inputs["audio_tokens"] = int(rest * r.random())
            rest -= inputs["audio_tokens"]
            outputs["audio_tokens"] = int(completion * r.random())
        if r.random() < 0.04:
            inputs["image_tokens"] = r.choice((rest, int(rest * r.random())))
        if model.startswith(("o3", "o4", "gpt-5")):
            outputs["reasoning_tokens"] = r.choice((0, completion // 2, completion))
        if r.random() < 0.1:
            inputs["audio_tokens"] = inputs["audio_tokens"] or None
            outputs["audio_tokens"] = outputs["audio_tokens"] or None
        usage[keys[2]], usage[keys[3]] = inputs, outputs
        return usage

    def metadata(self) -> dict[str, Any]:
        r = self.random
        metadata: dict[str, Any] = {"project_id": f"proj_{r.randrange(20):02d}", "user": f"user-{r.randrange(500):04d}"}
        return metadata

    def chat(self, *, wants_details: bool = False) -> Draft:
        r = self.random
        era = r.choices(ERAS, ERA_WEIGHTS)[0]
        model, is_legacy = pick_model(r, era), r.random() < 0.02
        record: dict[str, Any] = {
            "id": self.next_id("cmpl-" if is_legacy else "chatcmpl-"),
            "object": "text_completion" if is_legacy else "chat.completion",
            "created": pick_time(r, era),
            "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
        }
        draft = Draft("chat", record)
        record["usage"] = self.usage(model, draft.keys, wants_details=wants_details)
        if r.random() < 0.9:
            record["service_tier"] = pick_tier(r)
        record["system_fingerprint"] = "fp_560af6e559"
        if r.random() < 0.8:
            record["metadata"] = self.metadata()
        return draft

    def responses(self, *, wants_details: bool = False) -> Draft:
        r = self.random
        era = r.choices(ERAS[1:], ERA_WEIGHTS[1:])[0]
        model, at = pick_model(r, era), pick_time(r, era)
        digits = "".join(r.choices("0123456789", k=r.choice((1, 3, 6, 7, 12))))
        record: dict[str, Any] = {
            "id": self.next_id("resp_"),
            "object": "response",
            "created_at": raw(f"{at}.{digits}") if r.random() < 0.3 else at,
            "status": "completed" if r.random() < 0.95 else r.choice(("incomplete", "failed", "cancelled")),
            "error": None,
            "model": model,
            "output": [],
            "service_tier": pick_tier(r),
        }
        draft = Draft("responses", record)
        record["usage"] = self.usage(model, draft.keys, wants_details=wants_details)
        if r.random() < 0.7:
            record["metadata"] = self.metadata()
        return draft

    def embeddings(self) -> Draft:
        """An embeddings object; it has neither id nor time, so a wrapper belongs around it."""
        r = self.random
        tokens = r.randrange(1, 9000)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return Draft("embeddings", {"object": "list", "data": [], "model": r.choice(EMBEDDING_MODELS), "usage": usage})

    def response(self) -> Draft:
        return self.chat() if self.random.random() < 0.7 else self.responses()

    def batched(self, draft: Draft | None = None) -> Draft:
        r = self.random
        draft = draft or self.response()
        number = self.next_number()
        if r.random() < 0.05:
            del draft.record["id"]
        draft.batch = {
            "id": f"batch_req_{self.seed:x}{number:012x}",
            "custom_id": f"doc-{number}",
            "response": {"status_code": 200, "request_id": f"req_{number}", "body": "@record@"},
            "error": None,
        }
        return draft

    def wrapped(self, draft: Draft | None = None) -> Draft:
        """A sound record in one of the many wrappers people write."""
        r = self.random
        draft = draft or (self.embeddings() if r.random() < 0.25 else self.response())
        era = r.choices(ERAS, ERA_WEIGHTS)[0]
        at = pick_time(r, era)
        styles: tuple[Any, ...] = (iso(r, at), iso(r, at), iso(r, at), at, raw(f"{at}.{r.randrange(10**6):06d}"))
        wrapper: dict[str, Any] = {
            r.choice(("timestamp", "timestamp", "time", "created_at", "ts", "@timestamp")): r.choice(styles)
        }
        if draft.shape != "embeddings" and r.random() < 0.05:
            wrapper = {"timestamp": r.choice(("not a time", "2025-11-01T00:00:00", 1_763_686_801_412, None))}
        if r.random() < 0.8:
            wrapper[r.choice(("request_id", "request_id", "id"))] = self.next_id("req_")
        wrapper |= r.choice(({"status": 200}, {"status_code": 200}, {"status": "ok"}, {"status": None}, {}, {}))
        if r.random() < 0.2:
            wrapper[r.choice(("account_id", "account", "organization_id"))] = r.choice(("acct_a", "acct_b"))
        if r.random() < 0.5:
            wrapper[r.choice(("project_id", "project"))] = r.choice(("search", "chat", "Büro"))
        if r.random() < 0.3:
            wrapper[r.choice(("user_id", "user"))] = "u-1"
        wrapper["request"] = {"model": "gpt-4o-mini", "service_tier": "auto"}
        draft.place = r.choice(
            (
                *("response", "response", "body", "response_body", "output", "completion", "data", "event", "chunk"),
                *("response.body", "response.body", "event.response", "data.response"),
            )
        )
        draft.is_encoded = r.random() < 0.2
        outer, _, inner = draft.place.partition(".")
        wrapper[outer] = {"headers": {}, inner: "@record@"} if inner else "@record@"
        if draft.shape == "embeddings" and r.random() < 0.1:
            wrapper["request"]["model"] = draft.record.pop("model")
        draft.wrapper = wrapper
        return draft


# ------------------------------------------------------------------------------------------------- damage to a record


class Damage(NamedTuple):
    """A way to break a record, and what must come of it when nothing else is broken."""

    fate: str
    reason: str | None
    apply: Callable[[Random, Draft], None]
    where: tuple[str, ...] = ("chat", "responses", "batch", "wrapped")  # "wrapped" is not embeddings


NOT_COUNTS: tuple[Any, ...] = (
    *(raw("1.5"), raw("12.0"), "12", "", True, False, raw("1e3"), raw("1E3"), raw("1e0"), raw("NaN"), raw("Infinity")),
    *(raw("-Infinity"), {}, [], [5], {"value": 5}, raw("-0.0"), raw("-1.5"), raw("1000000000000.0")),
)
OUT_OF_RANGE = (-1, -5, 10**12 + 1, 10**15, 2**63, 2**64, -(2**63), raw("9" * 400))
NOT_TEXTS: tuple[Any, ...] = (5, True, [], {}, ["gpt-4o-mini"], raw("1.5"), raw("NaN"))


def set_usage(value: Any) -> Callable[[Random, Draft], None]:
    def apply(r: Random, draft: Draft) -> None:
        draft.record["usage"] = deepcopy(value)  # what damages it further changes this draft only

    return apply


def remove_usage(r: Random, draft: Draft) -> None:
    draft.record.pop("usage", None)


def break_usage(r: Random, draft: Draft) -> None:
    draft.record["usage"] = r.choice(([], "none", 0, True, raw("1.5"), [{"prompt_tokens": 1}]))


def break_details(r: Random, draft: Draft) -> None:
    draft.usage[r.choice(draft.keys[2:])] = r.choice(([], "none", 0, False))


def break_cache_write_details(r: Random, draft: Draft) -> None:
    draft.details(0)["cache_write_tokens_details"] = r.choice(([], 7, "x"))


def lose_count(r: Random, draft: Draft) -> None:
    key = r.choice(draft.keys[:2])
    if r.random() < 0.5:
        draft.usage.pop(key, None)
    else:
        draft.usage[key] = None


def set_some_count(values: tuple[Any, ...]) -> Callable[[Random, Draft], None]:
    def apply(r: Random, draft: Draft) -> None:
        key = r.randrange(6)
        if key < 2:
            draft.usage[draft.keys[key]] = r.choice(values)
        elif key < 4:
            name = r.choice(("cached_tokens", "audio_tokens", "image_tokens", "cache_write_tokens"))
            draft.details(0)[name] = r.choice(values)
        elif key == 4:
            draft.details(1)[r.choice(("reasoning_tokens", "audio_tokens"))] = r.choice(values)
        else:
            draft.details(0)["cache_write_tokens_details"] = {"ttl_12h_tokens": r.choice(values)}

    return apply


def exceed_whole(r: Random, draft: Draft) -> None:
    prompt, completion = 5000, 500
    draft.usage.update({draft.keys[0]: prompt, draft.keys[1]: completion})
    kind = r.randrange(5)
    if kind == 0:
        draft.usage[draft.keys[2]] = {"cached_tokens": prompt + 1}
    elif kind == 1:
        draft.usage[draft.keys[2]] = {"cached_tokens": 4096, "audio_tokens": 500, "image_tokens": 405}
    elif kind == 2:
        draft.usage[draft.keys[2]] = {"cache_write_tokens": 10, "cache_write_tokens_details": {"ttl_12h_tokens": 11}}
    else:
        name = ("reasoning_tokens", "audio_tokens")[kind - 3]
        draft.usage[draft.keys[3]] = {name: completion + 1}


def set_field(name: str, values: tuple[Any, ...]) -> Callable[[Random, Draft], None]:
    def apply(r: Random, draft: Draft) -> None:
        draft.record[name] = r.choice(values)

    return apply


def lose_model(r: Random, draft: Draft) -> None:
    if r.random() < 0.5:
        draft.record["model"] = None
    else:
        draft.record.pop("model", None)


def time_key(draft: Draft) -> str:
    return "created_at" if draft.shape == "responses" else "created"


def set_time(values: tuple[Any, ...]) -> Callable[[Random, Draft], None]:
    def apply(r: Random, draft: Draft) -> None:
        draft.record[time_key(draft)] = r.choice(values)

    return apply


def lose_time(r: Random, draft: Draft) -> None:
    if r.random() < 0.5:
        draft.record[time_key(draft)] = None
    else:
        draft.record.pop(time_key(draft), None)


def milliseconds(r: Random, draft: Draft) -> None:
    draft.record[time_key(draft)] = 1_763_686_801_000 + r.randrange(1000)


def not_completed(r: Random, draft: Draft) -> None:
    draft.record["status"] = r.choice(("queued", "in_progress", "failed", "cancelled"))
    remove_usage(r, draft)
    if r.random() < 0.5:
        draft.record["usage"] = None


def completed_without_usage(r: Random, draft: Draft) -> None:
    draft.record["status"] = r.choice(("completed", "incomplete", None, "done"))
    draft.record["usage"] = None


def repeat_key(r: Random, draft: Draft) -> None:
    """Write one of the keys that are read twice, the second time perhaps with an escape in it."""
    usage = draft.usage
    keys = ["id", "object", "model", "usage", "service_tier", time_key(draft), *draft.keys, "cached_tokens"]
    keys += ["reasoning_tokens", "metadata", "project_id", "status" if draft.shape == "responses" else "id"]
    if draft.batch is not None:  # the tier inside a batch line is not read
        keys.remove("service_tier")
    candidates = [key for key in keys if key in draft.record or key in usage]
    for details in (usage.get(draft.keys[2]), usage.get(draft.keys[3]), draft.record.get("metadata")):
        if isinstance(details, dict):
            candidates += [key for key in keys if key in details]
    if not candidates:
        return
    key, is_escaped = r.choice(candidates), r.random() < 0.3
    first = f"\\u{ord(key[0]):04x}{key[1:]}" if is_escaped else key
    other = r.choice(("null", "1", '"x"', "{}"))

    def edit(text: str) -> str:
        if key in draft.record:  # keep the value that is used, whichever of the two a reader takes
            value = compact(draft.record[key])
            return text.replace(f'"{key}":', f'"{first}":{value},"{key}":', 1)
        return text.replace(f'"{key}":', f'"{first}":{other},"{key}":', 1)

    draft.edits.append(edit)


DAMAGES: tuple[Damage, ...] = (
    Damage("rejected", "missing_usage", remove_usage, ("chat", "batch chat")),
    Damage("rejected", "missing_usage", set_usage(None), ("chat", "batch chat")),
    Damage("rejected", "missing_usage", completed_without_usage, ("responses",)),
    Damage("excluded", "not_completed", not_completed, ("responses",)),
    Damage("rejected", "invalid_field", break_usage),
    Damage("rejected", "invalid_field", break_details),
    Damage("rejected", "invalid_field", break_cache_write_details),
    Damage("rejected", "missing_count", lose_count),
    Damage("rejected", "missing_count", set_usage({})),
    Damage("rejected", "invalid_count", set_some_count(NOT_COUNTS)),
    Damage("rejected", "count_out_of_range", set_some_count(OUT_OF_RANGE)),
    Damage("rejected", "parts_exceed_whole", exceed_whole),
    Damage("rejected", "invalid_field", set_field("model", NOT_TEXTS)),
    Damage("rejected", "invalid_field", set_field("id", NOT_TEXTS)),
    Damage("rejected", "invalid_field", set_field("service_tier", NOT_TEXTS), ("chat", "responses", "wrapped")),
    Damage("rejected", "missing_model", lose_model),
    Damage(
        "rejected", "control_character", set_field("model", ("gpt-4o\x00mini", "gpt-4o\n", "\x1b[31mgpt-4o", "\x7f"))
    ),
    Damage("rejected", "control_character", set_field("id", ("chatcmpl-\r\n1", "\x00"))),
    Damage("rejected", "missing_timestamp", lose_time, ("chat", "responses", "batch")),
    Damage("rejected", "invalid_timestamp", set_time(("2025-11-01T00:00:00Z", "1763686801", True, [], {}, raw("NaN")))),
    Damage("rejected", "invalid_timestamp", set_time((raw("1763686801.0"), raw("1763686801.5"))), ("chat",)),
    Damage("rejected", "implausible_timestamp", milliseconds),
    Damage("rejected", "implausible_timestamp", set_time((0, -1, 1, 10**18, raw("9" * 30), epoch("2019-12-31")))),
    Damage("rejected", "implausible_timestamp", set_time((epoch("2026-11-23T02:00:01"), epoch("2027-01-01")))),
    Damage("rejected", "duplicate_key", repeat_key),
)


def can_take(damage: Damage, draft: Draft) -> bool:
    where = draft.shape
    if draft.batch is not None:
        where = "batch"
    elif draft.wrapper is not None:
        where = "wrapped"
    return draft.shape != "embeddings" and (where in damage.where or f"{where} {draft.shape}" in damage.where)


def wrapper_status(r: Random, draft: Draft) -> None:
    assert draft.wrapper is not None
    for key in ("status", "status_code"):
        draft.wrapper.pop(key, None)
    draft.wrapper[r.choice(("status", "status_code"))] = r.choice((400, 401, 429, 500, 503))


def wrapper_key_twice(r: Random, draft: Draft) -> None:
    """The key that leads to the record stands twice in the wrapper."""
    assert draft.wrapper is not None
    key = draft.place.split(".")[0]
    wrapper = draft.wrapper
    draft.wrapper = {f"@first:{key}@": None, **wrapper}


def replace_times(*values: Any) -> Callable[[Random, Draft], None]:
    def apply(r: Random, draft: Draft) -> None:
        assert draft.wrapper is not None
        for key in ("timestamp", "time", "created_at", "ts", "@timestamp"):
            draft.wrapper.pop(key, None)
        if values:
            draft.wrapper[r.choice(("timestamp", "time", "created_at", "ts", "@timestamp"))] = r.choice(values)

    return apply


NAIVE_TIMES = ("2025-11-01T10:00:00", "2025-11-01 10:00:00.123")
INVALID_TIMES = (
    *("2025-11-01", "2025-02-30T00:00:00Z", "2025-11-01T24:00:00Z", "yesterday", "2025-13-01T00:00:00Z"),
    *("2025-11-01T10:61:00Z", "01/11/2025 10:00", "2025-11-01T10:00:61Z"),
)
IMPLAUSIBLE_TIMES = ("2019-12-31T23:59:59.999999Z", "2026-11-23T02:00:00.000001Z", "1970-01-01T00:00:00Z")

WRAPPER_DAMAGES: tuple[Damage, ...] = (
    Damage("excluded", "http_error", wrapper_status, ("wrapped", "embeddings")),
    Damage("rejected", "duplicate_key", wrapper_key_twice, ("wrapped", "embeddings")),
    Damage("rejected", "missing_timestamp", replace_times(), ("embeddings",)),
    Damage("rejected", "naive_timestamp", replace_times(*NAIVE_TIMES), ("embeddings",)),
    Damage("rejected", "invalid_timestamp", replace_times(*INVALID_TIMES, True, [], {}), ("embeddings",)),
    Damage("rejected", "implausible_timestamp", replace_times(*IMPLAUSIBLE_TIMES, 1_763_686_801_412), ("embeddings",)),
    Damage("rejected", "invalid_count", lambda r, draft: draft.usage.update(prompt_tokens="12"), ("embeddings",)),
)

# ---------------------------------------------------------------------------------------------- changes without effect


def escape_a_key(r: Random, draft: Draft) -> None:
    key = r.choice(("usage", "model", "object", draft.keys[0], draft.keys[1]))
    escaped = key[:2] + f"\\u{ord(key[2]):04x}" + key[3:]
    draft.edits.append(lambda text: text.replace(f'"{key}":', f'"{escaped}":', 1))


def repeat_ignored_key(r: Random, draft: Draft) -> None:
    draft.record["note"] = "a"
    inside = r.random() < 0.5
    if inside:
        draft.edits.append(lambda text: text.replace('"total_tokens":', '"total_tokens":"x","total_tokens":', 1))
    else:
        draft.edits.append(lambda text: text.replace('"note":', '"note":[],"note":', 1))


def add_ignored(r: Random, draft: Draft) -> None:
    values: tuple[Any, ...] = (
        *(raw("NaN"), raw("-Infinity"), raw("1e999"), raw("-1e-999"), raw("7" * 400), "\U0001f642 \ud83d\ude42", ""),
        *("\x00\x1f\x7f", {"usage": {"prompt_tokens": -1}}, [[], {}], {"": {"": None}}, "\\", '"', "\u2028"),
    )
    draft.record["note"] = r.choice(values)


def minus_zero(r: Random, draft: Draft) -> None:
    draft.details(0)["cached_tokens"] = raw("-0")


HARMLESS: tuple[Callable[[Random, Draft], None], ...] = (escape_a_key, repeat_ignored_key, add_ignored, minus_zero)
HARMLESS_TEXT: tuple[Callable[[Random, str], str], ...] = (
    lambda r, line: f" \t{line}  ",
    lambda r, line: line[:-1] + ',"deep":' + "[" * 63 + "]" * 63 + "}",
    lambda r, line: line[:-1] + ',"deep":' + '{"a":' * 90 + "1" + "}" * 90 + "}",
    lambda r, line: line[:-1] + ',"pair":"\\ud83d\\ude42 \\\\ud800"}',
)

# ----------------------------------------------------------------------------------------------------- damage to a line


LONE_SURROGATES = ("\\ud800", "\\udc00", "\\ud83dx", "\\ude42\\ud83d", "\\ud83d\\ud83d\\ude42", "\\uDFFF")


class LineDamage(NamedTuple):
    """A way to break the text of a line that is one JSON object."""

    reason: str
    apply: Callable[[Random, str], str | bytes]


def insert_bytes(r: Random, line: str) -> bytes:
    """Bytes that are no UTF-8, inside a string at the end of the object."""
    bad = r.choice((b"\xff", b"\xc3", b"\xe9t\xe9", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"))
    return line[:-1].encode() + b',"note":"' + bad + b'"}'


LINE_DAMAGES: tuple[LineDamage, ...] = (
    LineDamage("invalid_json", lambda r, line: line[: r.randrange(1, len(line))]),
    LineDamage("invalid_json", lambda r, line: line[: r.randrange(1, len(line))]),
    LineDamage("invalid_json", lambda r, line: line[len(line) // 2 :]),
    LineDamage("invalid_json", lambda r, line: line + r.choice(("", " ", ",")) + line),
    LineDamage("invalid_json", lambda r, line: line + r.choice((",", " x", "}", "]", " null", "\ufeff", ";"))),
    LineDamage("invalid_json", lambda r, line: r.choice(("\ufeff", "INFO ", ",", "data: ")) + line),
    LineDamage("invalid_json", lambda r, line: line[:-1] + ",}"),
    LineDamage("invalid_json", lambda r, line: line[:-1] + ',"list":[1,2,]}'),
    LineDamage(
        "invalid_json", lambda r, line: line[:-1] + ',"n":' + r.choice(("012", "-01", "+5", ".5", "5.", "1e")) + "}"
    ),
    LineDamage(
        "invalid_json",
        lambda r, line: line[:-1] + ',"n":' + r.choice(("True", "None", "nanx", "nul", "'a'", "--inf")) + "}",
    ),
    LineDamage("invalid_json", lambda r, line: line[:-1] + ',"n":"' + r.choice("\x00\x01\t\x1f") + '"}'),
    LineDamage("invalid_json", lambda r, line: line[:-1] + "\x00}"),
    LineDamage("invalid_json", lambda r, line: line[:-1] + r.choice(("", " ")) + "/* comment */}"),
    LineDamage("invalid_json", lambda r, line: line[:-1] + ',"n":"' + r.choice(LONE_SURROGATES) + '"}'),
    LineDamage("invalid_json", lambda r, line: line[:-1] + ',"\\ud83d":1}'),
    LineDamage(
        "invalid_json", lambda r, line: line[:-1] + ',"n":"' + r.choice(("\\x41", "\\u12", "\\u00zz", "\\")) + '"}'
    ),
    LineDamage("invalid_json", lambda r, line: line[:-1] + ',n:1,"m":2}'),
    LineDamage("invalid_utf8", insert_bytes),
    LineDamage("not_an_object", lambda r, line: f"[{line}]"),
    LineDamage("not_an_object", lambda r, line: json.dumps(line)),
)


class OddLine(NamedTuple):
    """A line that is no usage record, and what must come of it."""

    fate: str
    reason: str
    text: str


ERROR = {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}
EMBEDDING = {"object": "list", "data": [], "model": "text-embedding-3-small", "usage": {"prompt_tokens": 8}}
BATCH_IDS = {"id": "batch_req_err", "custom_id": "doc-1"}
ODD_LINES: tuple[OddLine, ...] = (
    *(
        OddLine("rejected", "not_an_object", text)
        for text in ("null", "true", "42", "-1.5", '"text"', "[]", "[1,2]", "[[]]")
    ),
    OddLine("rejected", "unknown_shape", "{}"),
    OddLine("rejected", "unknown_shape", '{"hello":"world"}'),
    OddLine("rejected", "unknown_shape", '{"object":5,"usage":{"prompt_tokens":1}}'),
    OddLine("rejected", "unknown_shape", '{"object":"vector_store","id":"vs_abc","status":"completed","errors":null}'),
    OddLine("rejected", "unknown_shape", '{"prompt_tokens":5,"completion_tokens":5,"model":"gpt-4o-mini"}'),
    OddLine("rejected", "unknown_shape", '{"timestamp":"2025-11-01T00:00:00Z","response":{"foo":1}}'),
    OddLine(
        "rejected", "unknown_shape", '{"timestamp":"2025-11-01T00:00:00Z","status":200,"response":"upstream timeout"}'
    ),
    OddLine("rejected", "unknown_shape", '{"error":"timeout"}'),
    OddLine("rejected", "batch_input", compact({"custom_id": "doc-1", "method": "POST", "url": "/v1/x", "body": {}})),
    OddLine("rejected", "missing_timestamp", compact(EMBEDDING)),
    OddLine("excluded", "error_response", compact({"error": ERROR})),
    OddLine("excluded", "error_response", compact({"error": ERROR, "status": 429})),
    OddLine("excluded", "http_error", compact({"status": 429, "request_id": "r", "response": {"error": ERROR}})),
    OddLine("excluded", "http_error", compact({"status_code": 502, "response_body": "<html>Bad gateway</html>"})),
    OddLine("excluded", "batch_failed", compact({**BATCH_IDS, "response": None, "error": {"code": "batch_expired"}})),
    OddLine(
        "excluded",
        "http_error",
        compact({**BATCH_IDS, "response": {"status_code": 400, "body": {"error": ERROR}}, "error": None}),
    ),
    OddLine(
        "rejected",
        "missing_timestamp",
        compact({**BATCH_IDS, "response": {"status_code": 200, "body": EMBEDDING}, "error": None}),
    ),
    OddLine("excluded", "empty_bucket", compact({"object": "bucket", "start_time": 1, "end_time": 2, "results": []})),
)

# ------------------------------------------------------------------------------------------------- the plain format

PLAIN_MODELS = (
    *(("openai", model) for model in ("gpt-4o-mini-2024-07-18", "gpt-5-mini-2025-08-07", "o3", "gpt-5.4")),
    *(("anthropic", model) for model in ("claude-3-5-haiku-20241022", "claude-sonnet-4-6", "claude-opus-4-1")),
    *(("google", model) for model in ("gemini-2.5-pro", "gemini-2.5-flash", "gemini-1.5-pro", "gemini-pro-latest")),
    ("mistral", "mistral-large"),
)
PLAIN_HEADERS: dict[str, tuple[str, ...]] = {
    "split": (
        *("occurred_at", "model", "provider", "request_id", "account_id", "project_id", "tier", "cost_center"),
        *("input_uncached_tokens", "input_cached_tokens", "input_cache_write_tokens", "input_cache_write_5m_tokens"),
        *("input_cache_write_1h_tokens", "output_tokens", "audio_input_uncached_tokens", "audio_output_tokens"),
        *("image_input_uncached_tokens", "web_search_calls"),
    ),
    "whole": ("occurred_at", "model", "tier", "input_tokens", "input_cached_tokens", "output_tokens", "cost_center"),
    "unsplit": ("occurred_at", "model", "provider", "input_tokens", "output_tokens"),
}
OPTIONAL_COUNTS = (
    *("input_cache_write_tokens", "input_cache_write_5m_tokens", "input_cache_write_1h_tokens"),
    *("audio_input_uncached_tokens", "audio_output_tokens", "image_input_uncached_tokens", "web_search_calls"),
)
Row = dict[str, Any]


def plain_row(author: Author, variant: str) -> Row:
    """A sound row: texts, integers, and None for what is absent."""
    r = author.random
    era = r.choices(ERAS, ERA_WEIGHTS)[0]
    provider, model = r.choice(PLAIN_MODELS)
    row: Row = {"occurred_at": iso(r, pick_time(r, era)), "model": model, "provider": provider}
    row["tier"] = r.choice((None, "standard", "batch", "priority", "flex", "fast", "provisioned", "complimentary"))
    if provider == "openai" and r.random() < 0.5:
        row["provider"] = None
    if variant != "unsplit":
        row["cost_center"] = r.choice((None, "R&D", 'a "quoted" one, with commas', "two\nlines", "Büro"))
    prompt, output = min(int(r.lognormvariate(7, 1.5)), 400_000), int(r.lognormvariate(5, 1))
    cached = prompt // 2 if r.random() < 0.3 else 0
    if variant == "split":
        row |= {"request_id": author.next_id("req_"), "account_id": None, "project_id": r.choice((None, "p1", "p2"))}
        if r.random() < 0.1:
            row["account_id"] = "acct_a"
        row |= {"input_uncached_tokens": prompt - cached, "input_cached_tokens": cached, "output_tokens": output}
        row |= {key: r.choice((0, 7, r.randrange(3000))) if r.random() < 0.1 else None for key in OPTIONAL_COUNTS}
    else:
        row |= {"input_tokens": prompt, "output_tokens": output}
        if variant == "whole":
            row["input_cached_tokens"] = cached
    return {key: row.get(key) for key in PLAIN_HEADERS[variant]}


class RowDamage(NamedTuple):
    """A way to break a row, with the column it needs; values are written to CSV and JSON alike unless said."""

    fate: str
    reason: str
    columns: tuple[str, ...]
    values: tuple[Any, ...]
    formats: tuple[str, ...] = ("csv", "jsonl")


COUNT_COLUMNS = ("input_uncached_tokens", "input_tokens", "output_tokens", "input_cached_tokens")
ROW_DAMAGES: tuple[RowDamage, ...] = (
    RowDamage("rejected", "invalid_count", COUNT_COLUMNS, NOT_COUNTS, ("jsonl",)),
    RowDamage("rejected", "count_out_of_range", COUNT_COLUMNS, OUT_OF_RANGE, ("jsonl",)),
    RowDamage("rejected", "invalid_field", ("model", "request_id", "tier"), NOT_TEXTS, ("jsonl",)),
    RowDamage(
        "rejected", "invalid_count", COUNT_COLUMNS, ("1.5", "abc", "1e3", "-5", " 12", "1,000", "+5", "NaN"), ("csv",)
    ),
    RowDamage("rejected", "invalid_count", COUNT_COLUMNS, ("12.01", "0x10", "٣", "1_000", "1 000", "-0"), ("csv",)),
    RowDamage("rejected", "count_out_of_range", COUNT_COLUMNS, (10**12 + 1, "1000000000001.0", "9" * 50), ("csv",)),
    RowDamage("rejected", "parts_exceed_whole", ("input_cached_tokens",), (10**9,)),
    RowDamage("rejected", "missing_model", ("model",), (None,), ("csv",)),
    RowDamage("rejected", "control_character", ("model",), ("gpt-4o\x07", "gpt\n4o", "\x1b[0m"), ("csv",)),
    RowDamage("rejected", "control_character", ("model",), ("gpt-4o\x00", "gpt\n4o", "\x1b[0m"), ("jsonl",)),
    RowDamage("rejected", "missing_timestamp", ("occurred_at",), (None,), ("csv",)),
    RowDamage("rejected", "invalid_timestamp", ("occurred_at",), INVALID_TIMES),
    RowDamage("rejected", "invalid_timestamp", ("occurred_at",), (1_763_686_801, True, []), ("jsonl",)),
    RowDamage("rejected", "naive_timestamp", ("occurred_at",), NAIVE_TIMES),
    RowDamage("rejected", "implausible_timestamp", ("occurred_at",), IMPLAUSIBLE_TIMES),
)


def damage_row(r: Random, row: Row, variant: str, format_name: str, damage: RowDamage | None = None) -> None:
    """Break one row in one of the ways that fit it."""
    fitting = [damage for damage in ROW_DAMAGES if row_can_take(damage, variant, format_name)]
    damage = damage or r.choice(fitting)
    row[r.choice([column for column in damage.columns if column in row])] = r.choice(damage.values)


def row_can_take(damage: RowDamage, variant: str, format_name: str) -> bool:
    header = PLAIN_HEADERS[variant]
    needs_whole = damage.reason == "parts_exceed_whole" and variant != "whole"
    return format_name in damage.formats and not needs_whole and any(column in header for column in damage.columns)


# ------------------------------------------------------------------------------------------------------ usage exports

AGGREGATE_MODELS = (
    "gpt-4o-mini-2024-07-18",
    "gpt-4o-2024-08-06",
    "gpt-5-mini-2025-08-07",
    "gpt-5.4",
    "gpt-5.6-luna",
    "x-1",
)
RESULT = "organization.usage.completions.result"


class Export(NamedTuple):
    """A family of usage exports. Each covers days of its own, with one bucket width and one grouping."""

    first_day: int
    days: int
    bucket_seconds: int
    is_old: bool = False  # before 2025: no input_uncached_tokens


EXPORTS = {
    "usage-csv": Export(epoch("2026-01-01"), 28, 86_400),
    "usage-page": Export(epoch("2026-05-01"), 31, 86_400),
    "usage-buckets": Export(epoch("2026-09-01"), 30, 3_600),
    "usage-old-page": Export(epoch("2024-06-01"), 30, 86_400, is_old=True),
    "usage-beside-requests": Export(epoch("2025-11-10"), 3, 86_400),
}


def usage_result(author: Author, export: Export, start: int, version: int) -> Row:
    """One entry of `results`. Equal dimensions and version give equal numbers; a later version gives larger ones."""
    r = author.random
    few = r.random() < 0.15  # draw from few dimensions, so that some repeat
    dimensions: Row = {
        "project_id": f"proj_{r.randrange(1 if few else 6)}",
        "user_id": f"user-{r.randrange(1 if few else 40)}",
        "api_key_id": "key_1",
        "model": r.choice(AGGREGATE_MODELS),
        "batch": r.random() < 0.3,
        "service_tier": None,
    }
    if not dimensions["batch"]:
        dimensions["service_tier"] = r.choice((None, "default", "flex", "priority", "incentivized-tier", "flex-tier"))
    if export.is_old:
        third = (start - export.first_day) // 86_400 // 10
        dimensions |= {"user_id": None, "api_key_id": None, "batch": None}
        dimensions["model"] = None if third == 0 else dimensions["model"]
        dimensions["service_tier"] = r.choice(("default", "flex")) if third == 2 else None
    own = Random(repr((author.seed, start, sorted(dimensions.items(), key=str))))
    requests = 0 if own.random() < 0.02 else own.randrange(1, 500)
    scale = requests + 1000 * version
    cached, write = scale * own.choice((0, 0, 128)), scale * own.choice((0, 0, 0, 64))
    audio, image = scale * own.choice((0, 0, 0, 5)), scale * own.choice((0, 0, 0, 9))
    cached_audio, cached_image = (2 * scale if n and cached else 0 for n in (audio, image))
    uncached = scale * own.randrange(20, 900)
    output, audio_out, image_out = scale * own.randrange(20, 90), (audio and scale), (image and scale)
    counts: Row = {
        "input_tokens": uncached + cached + write,
        "output_tokens": output,
        "num_model_requests": requests and scale,
        "input_cached_tokens": cached,
        "input_uncached_tokens": uncached,
        "input_cache_write_tokens": write,
        "input_text_tokens": uncached - audio - image,
        "input_audio_tokens": audio,
        "input_cached_audio_tokens": cached_audio,
        "output_audio_tokens": audio_out,
        "input_image_tokens": image,
        "input_cached_image_tokens": cached_image,
        "output_image_tokens": image_out,
    }
    if export.is_old:
        old = ("input_tokens", "output_tokens", "num_model_requests", "input_cached_tokens", "input_audio_tokens")
        counts = {key: counts[key] for key in (*old, "output_audio_tokens")}
    elif write:
        counts["input_cache_write_12h_tokens"] = write // 4
    return {"object": RESULT, **counts, **dimensions}


class ResultDamage(NamedTuple):
    """A way to break an aggregate row."""

    reason: str
    columns: tuple[str, ...]
    json_values: tuple[Any, ...]
    csv_values: tuple[Any, ...]


REQUIRED = ("input_tokens", "output_tokens", "num_model_requests")
CSV_NOT_COUNTS = ("1.5", "abc", "1e3", "-5", " 12", "1,000")
RESULT_DAMAGES: tuple[ResultDamage, ...] = (
    ResultDamage("missing_count", REQUIRED, (None,), (None,)),
    ResultDamage("invalid_count", (*REQUIRED, "input_cached_tokens"), NOT_COUNTS, CSV_NOT_COUNTS),
    ResultDamage("count_out_of_range", (*REQUIRED, "input_audio_tokens"), OUT_OF_RANGE, (10**12 + 1, "9" * 30)),
    ResultDamage("parts_exceed_whole", ("input_cached_tokens",), (10**12,), (10**12, "1000000000000.00")),
    ResultDamage("control_character", ("model",), ("gpt\x00", "a\nb"), ("a\x07b", "a\nb")),
    ResultDamage("invalid_field", ("model", "service_tier"), (5, [], {}, True), ()),
    ResultDamage("missing_timestamp", ("start_time",), (), (None,)),
    ResultDamage("invalid_timestamp", ("start_time",), (), ("yesterday", "2025-01-01T00:00:00Z", "1.5e9")),
    ResultDamage("implausible_timestamp", ("start_time",), (), ("0", "1763683200000", "-1")),
)


def damage_result(r: Random, row: Row, *, is_csv: bool, damage: ResultDamage | None = None) -> None:
    fitting = [damage for damage in RESULT_DAMAGES if (damage.csv_values if is_csv else damage.json_values)]
    damage = damage or r.choice(fitting)
    row[r.choice(damage.columns)] = r.choice(damage.csv_values if is_csv else damage.json_values)


# ----------------------------------------------------------------------------------------------------------- the folder

FILE_KINDS: dict[str, float] = {  # share of the records
    "chat": 0.32,
    "responses": 0.13,
    "batch-output": 0.10,
    "wrapped": 0.15,
    "mixed": 0.08,
    "plain-split": 0.04,
    "plain-whole": 0.02,
    "plain-unsplit": 0.02,
    "plain-jsonl": 0.03,
    "array": 0.01,
    "list": 0.01,
    "usage-csv": 0.03,
    "usage-page": 0.02,
    "usage-buckets": 0.03,
    "usage-old-page": 0.005,
    "usage-beside-requests": 0.005,
}
RECORDS_PER_FILE = 4_000


class Folder:
    """Writes the files of one folder."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.author = Author(seed)
        self.random = self.author.random
        self.echoes: list[str] = []  # lines that may be repeated
        self.known_chats: list[dict[str, Any]] = []  # records that may be repeated in another shape
        self.rivals: list[Draft] = []  # records whose id may come back with other content, once
        self.row_echoes: dict[str, list[Row]] = {}
        self.files: list[Path] = []

    # -- JSON lines

    def line(self, kind: str, *, is_first: bool) -> str | bytes:
        """One line of a JSONL file: sound, repeated, rivalling, harmlessly changed, or damaged."""
        r = self.random
        chance = 1.0 if is_first else r.random()
        if chance < DAMAGED_SHARE:
            return self.damaged_line(kind)
        chance -= DAMAGED_SHARE
        if chance < ECHOED_SHARE and self.echoes:
            return r.choice(self.echoes)
        chance -= ECHOED_SHARE
        if chance < RIVAL_SHARE and self.rivals:
            return self.rival()
        chance -= RIVAL_SHARE
        if chance < RIVAL_SHARE and self.known_chats:
            return self.known_in_another_shape()
        chance -= RIVAL_SHARE
        draft = self.draft(kind)
        if chance < HARMLESS_SHARE:
            if draft.shape != "embeddings" and r.random() < 0.7:
                r.choice(HARMLESS)(r, draft)
                return draft.text(ascii_only=True)
            return r.choice(HARMLESS_TEXT)(r, draft.text())
        line = draft.text(ascii_only=r.random() < 0.5)
        self.remember(draft, line)
        return line

    def draft(self, kind: str) -> Draft:
        author = self.author
        if kind == "mixed":
            kind = self.random.choice(("chat", "responses", "batch-output", "wrapped"))
        if kind == "chat":
            return author.chat()
        if kind == "responses":
            return author.responses()
        return author.batched() if kind == "batch-output" else author.wrapped()

    def remember(self, draft: Draft, line: str) -> None:
        """Keep some sound lines to repeat, contradict or rephrase later."""
        r = self.random
        chance = r.random()
        is_bare = draft.batch is None and draft.wrapper is None
        if chance < 0.05:
            self.echoes.append(line)
            if draft.shape == "embeddings":  # identified by a fingerprint, which does not see spaces and order
                self.echoes.append(rephrased(line))
        elif chance < 0.07 and is_bare and draft.shape == "chat" and "metadata" in draft.record:
            self.known_chats.append(draft.record)
        elif chance < 0.09 and is_bare and draft.record["usage"][draft.keys[0]] < 10**12:
            self.rivals.append(draft)

    def rival(self) -> str:
        """An earlier record's id with other counts, at another time of that day, a day apart, or further away."""
        r = self.random
        draft = self.rivals.pop(r.randrange(len(self.rivals)))
        record = json.loads(draft.text())
        shift = r.choice((1, -1, 3600, -7000, 86_400, -86_400, 2 * 86_400, 3 * 86_400, -5 * 86_400))
        key = time_key(draft)
        record[key] = int(record[key]) + shift
        record["usage"][draft.keys[1]] += r.choice((1, 17, 5000))
        return compact(record)

    def known_in_another_shape(self) -> str:
        """An earlier chat record again, in a wrapper without an account."""
        r = self.random
        record = r.choice(self.known_chats)
        wrapper = {"ts": 1_763_686_801, "request_id": self.author.next_id("req_"), "project": "other"}
        draft = Draft("chat", record, wrapper={**wrapper, "response": "@record@"}, is_encoded=r.random() < 0.3)
        return draft.text()

    def damaged_line(self, kind: str) -> str | bytes:
        r = self.random
        chance = r.random()
        if chance < 0.2:
            return r.choice(ODD_LINES).text
        draft = self.draft(kind)
        if chance < 0.5:
            return r.choice(LINE_DAMAGES).apply(r, draft.text())
        if draft.wrapper is not None and (draft.shape == "embeddings" or chance < 0.6):
            where = "embeddings" if draft.shape == "embeddings" else "wrapped"
            r.choice([damage for damage in WRAPPER_DAMAGES if where in damage.where]).apply(r, draft)
            return with_repeated_place(draft.text())
        fitting = [damage for damage in DAMAGES if can_take(damage, draft)]
        for damage in r.sample(fitting, 2 if chance > 0.95 else 1):
            damage.apply(r, draft)
        return draft.text()

    def write_lines(self, kind: str, name: str, records: int, extra: list[str]) -> None:
        lines: list[str | bytes] = [self.line(kind, is_first=i == 0) for i in range(records - len(extra))]
        lines += extra
        self.write(name, self.joined(lines))

    def joined(self, lines: list[str | bytes]) -> bytes:
        """Lines with line ends, blank lines in between, perhaps a BOM and perhaps no line end at the end."""
        r = self.random
        end = b"\r\n" if r.random() < 0.25 else b"\n"
        content = io.BytesIO()
        if r.random() < 0.2:
            content.write(b"\xef\xbb\xbf")
        blanks = 0.01 if r.random() < 0.4 else 0.0
        for i, line in enumerate(lines):
            if blanks and i and r.random() < blanks:
                content.write(r.choice((b"", b"  ", b"\t")) + end)
            content.write(line if isinstance(line, bytes) else line.encode())
            if i < len(lines) - 1 or r.random() < 0.7:
                content.write(end)
        return content.getvalue()

    # -- JSON documents

    def write_document(self, kind: str, name: str, records: int) -> None:
        """An array of records, or the API's list of stored completions."""
        r = self.random
        items: list[Any] = []
        for i in range(records):
            draft = self.author.chat()
            if i and r.random() < DAMAGED_SHARE:
                if kind == "array" and r.random() < 0.2:
                    items.append(r.choice((None, 5, "text", [], {})))
                    continue
                r.choice([d for d in DAMAGES if can_take(d, draft) and d.reason != "duplicate_key"]).apply(r, draft)
            elif i and self.known_chats and r.random() < ECHOED_SHARE:
                draft = Draft("chat", r.choice(self.known_chats))
            items.append(draft.record)
        document = items if kind == "array" else {"object": "list", "data": items, "first_id": None, "has_more": False}
        self.write(name, self.document_text(document))

    def document_text(self, document: Any) -> bytes:
        indent = self.random.choice((None, 1, 2))
        text = json.dumps(document, indent=indent, ensure_ascii=self.random.random() < 0.5)
        return RAW.sub(r"\1", text).encode()

    # -- usage exports

    def buckets(self, export: Export, records: int, *, is_csv: bool) -> Iterator[Row]:
        """Buckets in order of time that hold `records` records together; an empty one counts as one."""
        r = self.random
        count = max(1, export.days * 86_400 // export.bucket_seconds)
        width = export.bucket_seconds
        starts = sorted(export.first_day + width * r.randrange(count) for _ in range(records))
        version = r.randrange(3)
        results: dict[int, list[Row]] = {}
        for i, start in enumerate(starts):
            row = usage_result(self.author, export, start, version)
            if i and r.random() < DAMAGED_SHARE:
                damage_result(r, row, is_csv=is_csv)
            results.setdefault(start, []).append(row)
        for start, rows in results.items():
            if len(rows) == 1 and r.random() < 0.1:
                rows = []
            is_odd = r.random() < 0.01
            end = start - r.choice((0, 1, width)) if is_odd else start + width
            yield {"object": "bucket", "start_time": start, "end_time": end, "results": rows}

    def write_usage_page(self, name: str, export: Export, records: int) -> None:
        buckets = list(self.buckets(export, records, is_csv=False))
        self.write(name, self.document_text({"object": "page", "data": buckets, "has_more": False, "next_page": None}))

    def write_usage_buckets(self, name: str, export: Export, records: int) -> None:
        lines: list[str | bytes] = []
        for bucket in self.buckets(export, records, is_csv=False):
            line = compact(bucket)
            if lines and self.random.random() < 0.01:
                line = line.replace('"output_tokens":', '"output_tokens":1,"output_tokens":', 1)
            lines.append(line)
        self.write(name, self.joined(lines))

    def write_usage_csv(self, name: str, export: Export, records: int) -> None:
        r = self.random
        rows: list[Row] = []
        for bucket in self.buckets(export, records, is_csv=True):
            start, end = bucket["start_time"], bucket["end_time"]
            times: Row = {"start_time": start, "end_time": end}
            times |= {
                f"{key}_iso": datetime.fromtimestamp(at, UTC).isoformat()
                for key, at in zip(("start_time", "end_time"), (start, end), strict=True)
            }
            for result in bucket["results"] or [{}]:
                row = {**times, **{key: value for key, value in result.items() if key != "object"}}
                for key, value in row.items():
                    if isinstance(value, int) and not isinstance(value, bool) and key not in times:
                        row[key] = f"{value}.0"
                rows.append(row)
        columns = list(dict.fromkeys(key for row in rows for key in row))
        if r.random() < 0.5:
            r.shuffle(columns)
        self.write(name, self.csv_text([*columns, "name_of_project"], rows))

    # -- the plain format

    def plain_rows(self, variant: str, format_name: str, records: int) -> list[Row]:
        r = self.random
        echoes = self.row_echoes.setdefault(f"{variant} {format_name}", [])
        rows: list[Row] = []
        for i in range(records):
            row = plain_row(self.author, variant)
            if i and r.random() < DAMAGED_SHARE:
                damage_row(r, row, variant, format_name)
            elif i and echoes and r.random() < ECHOED_SHARE:
                row = r.choice(echoes)
            elif r.random() < 0.05:
                echoes.append(row)
            rows.append(row)
        return rows

    def write_plain_csv(self, variant: str, name: str, records: int) -> None:
        rows = self.plain_rows(variant, "csv", records)
        columns = list(PLAIN_HEADERS[variant])
        if variant == "split":
            self.random.shuffle(columns)
        self.write(name, self.csv_text(columns, rows))

    def write_plain_jsonl(self, name: str, records: int) -> None:
        r = self.random
        lines: list[str | bytes] = []
        for row in self.plain_rows(r.choice(("split", "whole", "unsplit")), "jsonl", records):
            line = compact({key: value for key, value in row.items() if value is not None or key == "tier"})
            if lines and r.random() < 0.005:
                lines.append(line.replace('"output_tokens":', '"output_tokens":1,"output_tokens":', 1))
            elif lines and r.random() < 0.01:
                lines.append(r.choice(LINE_DAMAGES).apply(r, line))
            else:
                lines.append(line)
        self.write(name, self.joined(lines))

    def csv_text(self, columns: list[str], rows: list[Row]) -> bytes:
        r = self.random
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, lineterminator=r.choice(("\n", "\r\n")))
        writer.writeheader()
        writer.writerows(rows)
        return (b"\xef\xbb\xbf" if r.random() < 0.3 else b"") + text.getvalue().encode()

    # -- files

    def write(self, name: str, content: bytes) -> None:
        """Plain, gzip (of one or two members) or zstd; now and then the name does not say so."""
        r = self.random
        chance = r.random()
        if chance < 0.25:
            middle = len(content) // 2 if r.random() < 0.3 else len(content)
            content = b"".join(gzip.compress(part, 1, mtime=0) for part in (content[:middle], content[middle:]) if part)
            name += ".gz" if r.random() < 0.8 else ""
        elif chance < 0.4:
            import zstandard

            content = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(content)
            name += ".zst" if r.random() < 0.8 else ""
        path = self.path / name
        path.write_bytes(content)
        self.files.append(path)

    def write_kind(self, kind: str, number: int, records: int, extra: list[str]) -> None:
        name = f"{number:03d}-{kind}"
        if kind in ("usage-page", "usage-old-page"):
            self.write_usage_page(f"{name}.json", EXPORTS[kind], records)
        elif kind == "usage-buckets":
            self.write_usage_buckets(f"{name}.jsonl", EXPORTS[kind], records)
        elif kind in EXPORTS:
            self.write_usage_csv(f"{name}.csv", EXPORTS[kind], records)
        elif kind == "plain-jsonl":
            self.write_plain_jsonl(f"{name}.jsonl", records)
        elif kind.startswith("plain-"):
            self.write_plain_csv(kind.removeprefix("plain-"), f"{name}.csv", records)
        elif kind in ("array", "list"):
            self.write_document(kind, f"{name}.json", records)
        else:
            self.write_lines(kind, f"{name}.{self.random.choice(('jsonl', 'jsonl', 'ndjson', 'json'))}", records, extra)


def with_repeated_place(text: str) -> str:
    """Turn the mark of `wrapper_key_twice` into the key it stands for."""
    return re.sub(r'"@first:(\w+)@":', r'"\1":', text)


def rephrased(line: str) -> str:
    """The same JSON object with its keys in another order and with spaces; numbers stay as they were written."""
    members = json.loads(line, parse_float=raw)
    return RAW.sub(r"\1", json.dumps(dict(reversed(members.items())), ensure_ascii=False))


def huge_lines(author: Author) -> list[str]:
    """A line of exactly the longest length, which is read, and one that is a byte longer."""
    lines = []
    for size in (LONGEST_LINE_BYTES, LONGEST_LINE_BYTES + 1):
        draft = author.chat()
        draft.record["note"] = "@pad@"
        text = draft.text()
        lines.append(text.replace("@pad@", "x" * (size - len(text) + len("@pad@"))))
    return lines


def write_damaged_logs(folder: Path, records: int, seed: int) -> list[Path]:
    """Write `records` records into files in `folder` and return the files, in the order they were written.

    A few hundred records or more give every kind of file. The same arguments write the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    writer = Folder(folder, seed)
    plan: list[tuple[str, int]] = []
    remaining = records
    for kind, share in reversed(FILE_KINDS.items()):  # the first kind takes what is left
        wanted = remaining if kind == "chat" else min(remaining, max(2, round(records * share)))
        remaining -= wanted
        while wanted:
            size = min(wanted, max(2, int(RECORDS_PER_FILE * writer.random.uniform(0.5, 1.5))))
            plan.append((kind, size))
            wanted -= size
    writer.random.shuffle(plan)
    extra = huge_lines(writer.author) if records >= HUGE_LINES_FROM else []
    for number, (kind, size) in enumerate(plan):
        takes_extra = extra and kind == "chat" and size > 2
        writer.write_kind(kind, number, size, extra if takes_extra else [])
        extra = [] if takes_extra else extra
    return writer.files
