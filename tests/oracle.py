"""An independent judge of usage logs: what each record becomes, and what it costs, to the last digit.

It is written from `docs/fates.md` alone, in plain Python, and shares no line with the package. It is slow on purpose:
one record at a time, one `Decimal` product for every quantity of every record, no summing before pricing. Where the
package and this file disagree, one of them has misread the rules.

    verdict = judge([Path("a.jsonl")], card=Path("etl/card"), now=datetime(2026, 11, 22, tzinfo=UTC))
    verdict.records    # one Record for each record of each file, in the order of the files and their lines
    verdict.counts     # {"accepted": 12, "duplicate": 1, "conflict": 0, "excluded": 2, "rejected": 3}
    verdict.rollup     # {Cell(day, account_id, ...): (quantity, cost_usd)}

All files count as read in one run into an empty warehouse. Among records equal in identity and content the first one
in the order of `files` is the accepted one. An instant is a whole number of microseconds since 1970, UTC.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import math
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal, Inexact, localcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

FATES = ("accepted", "duplicate", "conflict", "excluded", "rejected")

LONGEST_LINE_BYTES = 16 * 1024 * 1024
LARGEST_COUNT = 10**12
SECOND = 1_000_000
DAY = 86_400 * SECOND
MILLIONTH = Decimal("0.000001")


# ---------------------------------------------------------------------------------------------------------- the answer


class Record(NamedTuple):
    """The fate of one record. `reason` is None for accepted records, plain duplicates and conflicts."""

    input_name: str
    line_number: int
    fate: str
    reason: str | None


class Cell(NamedTuple):
    """The key of one rollup row. The four last fields before `source_kind` say which rate row was used."""

    day: date
    account_id: str | None
    project_id: str | None
    provider: str
    model: str | None
    tier: str | None
    meter: str
    caching_status: str
    context_over_tokens: int
    priced_model: str | None  # None where no rate was found or none is asked for
    rate_effective_from: str | None  # as the card writes it; "" is "since ever", None is no rate
    rate_usd_per_million: Decimal | None
    source_kind: str
    price_status: str


@dataclass
class Verdict:
    """Everything `judge` found out."""

    records: list[Record]
    counts: dict[str, int]
    rollup: dict[Cell, tuple[int, Decimal | None]]
    refused: dict[str, str] = field(default_factory=dict)  # file -> why none of it was read


class Refused(Exception):
    """A record that is not accepted, with its fate and reason."""

    def __init__(self, fate: str, reason: str | None) -> None:
        super().__init__(fate, reason)
        self.fate = fate
        self.reason = reason


class RefusedFile(Exception):
    """A file of which nothing is read."""


def rejected(reason: str) -> Refused:
    return Refused("rejected", reason)


def excluded(reason: str) -> Refused:
    return Refused("excluded", reason)


@dataclass(slots=True)
class Usage:
    """A record that was understood: who used how much of what, and when."""

    instant: int
    provider: str
    model: str | None
    tier: str | None
    quantities: dict[tuple[str, str], int]  # (meter, caching status) -> quantity, disjoint
    account_id: str | None = None
    project_id: str | None = None
    requests: int = 1
    ends: int | None = None  # of an aggregate's interval
    prompt_tokens: int = 0
    source_kind: str = "request"
    splits_cached_input: bool = True
    request_id: str | None = None  # None: identified by a fingerprint, or an aggregate
    whole_record: Any = None  # what a fingerprint is taken of
    identity: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if self.request_id is not None:
            self.whole_record = None

    def content(self) -> tuple[Any, ...]:
        """What must be equal for two records of one identity to be the same."""
        quantities = tuple(sorted((key, n) for key, n in self.quantities.items() if n))
        return (self.instant, self.model, self.tier, quantities, self.requests)

    def day(self) -> int:
        """The UTC day, as days since 1970."""
        return self.instant // DAY


# ---------------------------------------------------------------------------------------------------------------- JSON


class Number:
    """A JSON number as it was written: `1`, `1.0` and `1e0` are three things to a bill."""

    __slots__ = ("literal",)

    def __init__(self, literal: str) -> None:
        self.literal = literal


class JsonObject(dict[str, Any]):
    """A JSON object that remembers which of its keys stood in it more than once."""

    __slots__ = ("repeated",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated: frozenset[str] = frozenset()
        if len(self) < len(pairs):
            times = Counter(key for key, _ in pairs)
            self.repeated = frozenset(key for key in times if times[key] > 1)


DECODER = json.JSONDecoder(object_pairs_hook=JsonObject, parse_int=Number, parse_float=Number, parse_constant=Number)
NOT_FINITE = re.compile(r"(?<![\w-])-?(?:nan|infinity|inf)(?!\w)", re.IGNORECASE)
SPELT = {"nan": "NaN", "-nan": "NaN"} | {
    sign + word: sign + "Infinity" for sign in ("", "-") for word in ("inf", "infinity")
}
SPACE = re.compile(r"[ \t\n\r]*")
ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)")


def decoded_line(text: str) -> Any:
    """The one JSON value in `text`, in which any spelling of nan and infinity is let pass."""
    try:
        return DECODER.decode(text)
    except ValueError:
        # Every other piece lies between quotes.
        pieces = re.split(r'("(?:\\.|[^"\\])*(?:"|$))', text)
        pieces[::2] = [NOT_FINITE.sub(lambda found: SPELT[found[0].lower()], piece) for piece in pieces[::2]]
        return DECODER.decode("".join(pieces))


def parse(text: str) -> Any:
    """The one JSON value in `text`, or why it cannot be read."""
    try:
        value = decoded_line(text)
    except RecursionError:
        raise rejected("too_deep") from None
    except ValueError:
        raise rejected("invalid_json") from None
    if has_lone_surrogate(text):
        raise rejected("invalid_json")
    return value


def has_lone_surrogate(text: str) -> bool:
    r"""Whether a `\ud8xx` escape lacks its other half. Escapes stand only inside strings."""
    if "\\u" not in text:
        return False
    high_ends_at = None
    for escape in ESCAPE.finditer(text):
        code = int(escape[1], 16) if escape[1] else 0
        if high_ends_at is not None:
            if not (0xDC00 <= code <= 0xDFFF and escape.start() == high_ends_at):
                return True
            high_ends_at = None
        elif 0xDC00 <= code <= 0xDFFF:
            return True
        elif 0xD800 <= code <= 0xDBFF:
            high_ends_at = escape.end()
    return high_ends_at is not None


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces; numbers stay as they were written."""
    if isinstance(value, dict):
        members = (f"{json.dumps(key)}:{canonical(value[key])}" for key in sorted(value))
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(canonical(item) for item in value) + "]"
    return value.literal if isinstance(value, Number) else json.dumps(value)


def array_items(text: str, at: int) -> Iterator[tuple[int, Any]]:
    """Position and value of each item of the array that begins at `at`."""
    at = after_space(text, at + 1)
    while text[at] != "]":
        value, end = DECODER.raw_decode(text, at)
        yield at, value
        at = after_space(text, end)
        if text[at] == ",":
            at = after_space(text, at + 1)


def member_position(text: str, at: int, wanted: str) -> int:
    """Position of the value of key `wanted` (the last, if repeated) in the object that begins at `at`."""
    found = -1
    at = after_space(text, at + 1)
    while text[at] != "}":
        key, end = DECODER.raw_decode(text, at)
        at = after_space(text, after_space(text, end) + 1)
        if key == wanted:
            found = at
        _, end = DECODER.raw_decode(text, at)
        at = after_space(text, end)
        if text[at] == ",":
            at = after_space(text, at + 1)
    return found


def after_space(text: str, at: int) -> int:
    match = SPACE.match(text, at)
    return match.end() if match else at


# -------------------------------------------------------------------------------------------- from bytes to records


class Part(NamedTuple):
    """One record of a JSON file: where it begins, its value or why it has none, and its bucket's interval, if any."""

    line_number: int
    value: Any
    interval: Interval | None = None


Interval = tuple[Any, Any]  # `start_time` and `end_time`
Outcome = Usage | Refused
BOM = b"\xef\xbb\xbf"


def decompressed(data: bytes) -> bytes:
    """The content of a .gz or .zst file, known by its first bytes; other content as it is."""
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        import zstandard

        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True) as reader:
            return reader.read()
    return data


def is_csv(name: str, content: bytes) -> bool:
    """By the name without .gz or .zst; for other names by the first character."""
    bare = re.sub(r"\.(gz|zst)$", "", name.lower())
    if bare.endswith(".csv"):
        return True
    if bare.endswith((".json", ".jsonl", ".ndjson")):
        return False
    return content.lstrip()[:1] not in (b"{", b"[")


def read_file(path: Path, rules: Rules) -> Iterator[tuple[int, Outcome]]:
    """Line number and outcome of every record of one file, before identity is looked at."""
    content = decompressed(path.read_bytes())
    content = content.removeprefix(BOM)
    if is_csv(path.name, content):
        yield from read_csv(content, rules)
    elif (document := whole_document(content)) is not None:
        for part in cut_document(*document):
            yield part.line_number, judged(partial(usage_of_part, part, rules))
    else:
        for line_number, line in enumerate(content.split(b"\n"), start=1):
            line = line.removesuffix(b"\r")
            if line.strip():
                yield from ((line_number, outcome) for outcome in read_line(line_number, line, rules))


def judged(attempt: Callable[[], Usage]) -> Outcome:
    """The usage that `attempt` finds, or its refusal as a value."""
    try:
        return attempt()
    except Refused as refusal:
        return refusal


def read_line(line_number: int, line: bytes, rules: Rules) -> list[Outcome]:
    """The records of one JSONL line: one, or those of a page, list or bucket."""
    try:
        value = parse_line(line)
    except Refused as refusal:
        return [refusal]
    return [judged(partial(usage_of_part, part, rules)) for part in cut(value, None, 0, lambda _: line_number)]


def parse_line(line: bytes) -> Any:
    if len(line) > LONGEST_LINE_BYTES:
        raise rejected("line_too_long")
    try:
        text = line.strip(b" \t\r\n\v\f").decode()
    except UnicodeDecodeError:
        raise rejected("invalid_utf8") from None
    return parse(text)


def whole_document(content: bytes) -> tuple[str, Any] | None:
    """Text and value of a file that is one JSON document; None for JSON Lines."""
    first, _, rest = content.strip().partition(b"\n")
    try:
        decoded_line(first.decode())
        first_is_complete = True
    except (ValueError, RecursionError):
        first_is_complete = False
    if first_is_complete == bool(rest.strip()):  # complete lines, or a single broken one
        return None
    try:
        text = content.decode()
        value = DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    is_one_line_record = first_is_complete and not (isinstance(value, list) or is_kind(value, "page", "list"))
    return None if is_one_line_record else (text, value)


def cut_document(text: str, value: Any) -> Iterator[Part]:
    """The records of a JSON document: an API page, a list, an array, or a single record."""

    line_ends = [match.start() for match in re.finditer("\n", text)]

    def line_of(position: int) -> int:
        return bisect_left(line_ends, position) + 1

    at = after_space(text, 0)
    items: Iterable[tuple[int, Any]] = [(at, value)]
    if isinstance(value, list):
        items = array_items(text, at)
    elif is_kind(value, "page", "list") and (key := key_of_entries(value)):
        items = array_items(text, member_position(text, at, key))
    for position, item in items:
        # The text of each stands for itself, as a line does.
        if has_lone_surrogate(text[position : DECODER.raw_decode(text, position)[1]]):
            yield Part(line_of(position), rejected("invalid_json"))
        else:
            yield from cut(item, text, position, line_of)


# By the `object` of what holds further records: the keys that decide how it is taken apart, that of its array first.
HOLDERS = {
    "page": ("data", "object"),
    "list": ("data", "object"),
    "bucket": ("results", "object", "start_time", "end_time"),
}


def cut(
    value: Any, text: str | None, at: int, line_of: Callable[[int], int], interval: Interval | None = None
) -> Iterator[Part]:
    """The entries of a page, list or bucket, each cut in its turn; anything else is one record.

    What cannot be cut without a guess is one record, too, however many it may hold.

    Args:
        value: what begins at `at` of `text`.
        text: None where all records stand on one line, so that it does not matter where each begins.
        line_of: the line of a position.
        interval: that of the bucket around it.
    """
    if key := key_of_entries(value):
        inner = interval_of(value, interval) if is_kind(value, "bucket") else None
        places = array_items(text, member_position(text, at, key)) if text else ((at, entry) for entry in value[key])
        for position, entry in places:
            yield from cut(entry, text, position, line_of, inner)
    else:
        yield Part(line_of(at), value, interval)


def key_of_entries(value: Any) -> str | None:
    """The key of the entries of a page, list or bucket, if it has any and no key stands twice that matters to them."""
    kind = is_kind(value, *HOLDERS)
    if kind is None or recognise(value) != "usage" or not value.repeated.isdisjoint(HOLDERS[kind]):
        return None
    key = HOLDERS[kind][0]
    return key if isinstance(value.get(key), list) and value[key] else None


def interval_of(value: JsonObject, around: Interval | None) -> Interval:
    """An object's own `start_time` and `end_time`; what it does not say, what is around it does."""
    start, end = around or (None, None)
    return first_of(value.get("start_time"), start), first_of(value.get("end_time"), end)


def is_kind(value: Any, *kinds: str) -> str | None:
    """The kind of a JSON object, if it is one of `kinds`: its `object`, or what it is without one."""
    kind = kind_of(value) if isinstance(value, JsonObject) else None
    return kind if isinstance(kind, str) and kind in kinds else None


def kind_of(value: JsonObject) -> Any:
    """The `object`; pages of other providers' reports have none, and are known by what leads to the next one."""
    if value.get("object") is None and value.get("data") is not None:
        leads_on = any(value.get(key) is not None for key in ("has_more", "next_page"))
        if leads_on and value.get("usage") is None and value.get("model") is None:
            return "page"
    return value.get("object")


# -------------------------------------------------------------------------------------------------- recognising shapes

COMPLETIONS_RESULT = "organization.usage.completions.result"
# Where a wrapper may carry a provider's object, in the order in which they are looked into: keys, from the outside in.
PLACES = (
    *(("response",), ("response", "body"), ("body",), ("response_body",), ("output",), ("completion",), ("data",)),
    *(("event",), ("chunk",), ("event", "response"), ("data", "response")),
)
PLACE_KEYS = frozenset(key for place in PLACES for key in place)
WRAPPED_SHAPES = ("chat", "responses", "embeddings")

# The keys that are read, as a tree: a key that stands twice on the way to one of them makes the record ambiguous.
Tree = Mapping[str, Any]
CACHE_WRITES: Tree = {"ttl_12h_tokens": {}}
INPUT_DETAILS: Tree = {
    "cached_tokens": {},
    "audio_tokens": {},
    "image_tokens": {},
    "cache_write_tokens": {},
    "cache_write_tokens_details": CACHE_WRITES,
}
OUTPUT_DETAILS: Tree = {"reasoning_tokens": {}, "audio_tokens": {}}
COMMON: Tree = {
    "id": {},
    "object": {},
    "model": {},
    "service_tier": {},
    "metadata": {"project_id": {}, "user_id": {}, "user": {}, "workflow_id": {}},
}
READ_KEYS: dict[str, Tree] = {
    "chat": {
        **COMMON,
        "created": {},
        "usage": {
            "prompt_tokens": {},
            "completion_tokens": {},
            "prompt_tokens_details": INPUT_DETAILS,
            "completion_tokens_details": OUTPUT_DETAILS,
        },
    },
    "responses": {
        **COMMON,
        "created_at": {},
        "status": {},
        "usage": {
            "input_tokens": {},
            "output_tokens": {},
            "input_tokens_details": INPUT_DETAILS,
            "output_tokens_details": OUTPUT_DETAILS,
        },
    },
    "embeddings": {"object": {}, "model": {}, "usage": {"prompt_tokens": {}}},
}
WRAPPER_KEYS: Tree = {
    key: {}
    for key in (
        *("request_id", "id", "timestamp", "time", "created_at", "ts", "@timestamp", "status", "status_code"),
        *("account_id", "account", "organization_id", "project_id", "project", "user_id", "user", "api_key_id"),
        *("workflow_id", "workflow"),
    )
}
RESULT_COUNTS = (
    *("input_tokens", "output_tokens", "num_model_requests", "input_cached_tokens", "input_uncached_tokens"),
    *("input_cache_write_tokens", "input_cache_write_12h_tokens", "input_audio_tokens", "input_cached_audio_tokens"),
    *("output_audio_tokens", "input_image_tokens", "input_cached_image_tokens", "output_image_tokens"),
)
RESULT_DIMENSIONS = (
    "project_id",
    "user_id",
    "api_key_id",
    "model",
    "batch",
    "service_tier",
    "api_source",
    "organization_id",
)

# Columns of the plain format, named after meter and caching status.
INPUT_COLUMNS: dict[str, tuple[str, str]] = {
    **{
        f"input_{status}_tokens": ("input", status)
        for status in ("uncached", "cached", "cache_write", "cache_write_5m", "cache_write_1h", "cache_write_12h")
    },
    **{
        f"{meter}_{status}_tokens": (meter, status)
        for meter in ("audio_input", "image_input", "video_input")
        for status in ("uncached", "cached")
    },
}
OTHER_COLUMNS: dict[str, tuple[str, str]] = {
    **{f"{meter}_tokens": (meter, "not_applicable") for meter in ("output", "audio_output", "image_output")},
    **{f"{meter}_tokens": (meter, "not_applicable") for meter in ("video_output", "training")},
    **{
        meter: (meter, "not_applicable")
        for meter in (
            *("web_search_calls", "file_search_calls", "code_interpreter_sessions", "transcription_seconds"),
            *("speech_characters", "generated_images"),
        )
    },
}
PLAIN_COLUMNS = {**INPUT_COLUMNS, **OTHER_COLUMNS}
PLAIN_COUNTS = ("input_tokens", *PLAIN_COLUMNS)
PLAIN_TEXTS = ("occurred_at", "model", "provider", "request_id", "account_id", "project_id", "tier")


def recognise(value: Any) -> str | None:
    """The shape of an object by its own keys."""
    if not isinstance(value, JsonObject):
        return None
    kind = kind_of(value)
    if kind in ("chat.completion", "text_completion"):
        return "chat"
    if kind == "response":
        return "responses"
    if kind == "list":
        if value.get("usage") is not None:
            return "embeddings"
        return "usage" if value.get("data") is not None and value.get("model") is None else None
    if kind in ("page", "bucket", COMPLETIONS_RESULT):
        return "usage"
    has_quantity = any(value.get(column) is not None for column in PLAIN_COUNTS)
    if value.get("occurred_at") is not None and value.get("model") is not None and has_quantity:
        return "plain"
    if value.get("custom_id") is not None and value.get("method") is None and ("response" in value or "error" in value):
        return "batch"
    return None


def unwrap(value: JsonObject) -> tuple[JsonObject, Tree] | None:
    """The provider's object inside a wrapper, with the tree of keys that leads to it."""
    for place in PLACES:
        inner = carried(value, place)
        if recognise(inner) in WRAPPED_SHAPES:
            way: Tree = {}
            for key in reversed(place):
                way = {key: way}
            # What the wrapper keeps beside it under `response` may hold the status of the answer.
            return inner, {"response": {**way["response"], "status_code": {}}} if "response" in way else way
    return None


def carried(value: JsonObject, place: tuple[str, ...]) -> Any:
    """What stands at a place of a wrapper, on whose way any object may be written as a string."""
    at: Any = value
    for key in place:
        at = decoded(at.get(key)) if isinstance(at, JsonObject) else None
    return at


def decoded(value: Any) -> Any:
    """A string that is JSON as its value; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return parse(value)
    except Refused:
        return None


def refuse_repeated(value: Any, tree: Tree) -> None:
    """Reject a record in which a key on the way to a field that is read stands twice."""
    if not isinstance(value, JsonObject):
        return
    if value.repeated and not value.repeated.isdisjoint(tree):
        raise rejected("duplicate_key")
    for key, below in tree.items():
        if below:
            inner = value.get(key)
            refuse_repeated(decoded(inner) if key in PLACE_KEYS else inner, below)


# ------------------------------------------------------------------------------------------------------ judging JSON


@dataclass(frozen=True)
class Rules:
    """What the judgement of a single record depends on besides the record."""

    latest_instant: int
    account: str | None

    def plausible(self, instant: int) -> int:
        if not EARLIEST_INSTANT <= instant <= self.latest_instant:
            raise rejected("implausible_timestamp")
        return instant


@dataclass(frozen=True)
class Envelope:
    """What a wrapper or a batch line says about the record inside it."""

    record: JsonObject  # the whole record
    tier: str | None = None  # batch, or None

    def first(self, *keys: str) -> Any:
        """The first of `keys` that the wrapper has, not being null."""
        return next((self.record[key] for key in keys if self.record.get(key) is not None), None)

    def text(self, *keys: str) -> str | None:
        """The first of `keys` that is a string."""
        return next((self.record[key] for key in keys if isinstance(self.record.get(key), str)), None)


def usage_of_part(part: Part, rules: Rules) -> Usage:
    """Judge one JSON record in the order of the rules."""
    value = part.value
    if isinstance(value, Refused):
        raise value
    if not isinstance(value, JsonObject):
        raise rejected("not_an_object")
    shape = recognise(value)
    if shape == "usage":
        return usage_of_result(value, part.interval, rules) if is_kind(value, COMPLETIONS_RESULT) else uncut(value)
    if shape == "plain":
        return usage_of_plain_json(value, rules)
    if shape == "batch":
        return usage_of_batch(value, rules)
    if shape is not None:
        refuse_repeated(value, READ_KEYS[shape])
        return usage_of_response(shape, value, None, rules)
    return usage_of_wrapped(value, rules)


def usage_of_wrapped(value: JsonObject, rules: Rules) -> Usage:
    """A record with another one inside, or one that is not understood."""
    inside = unwrap(value)
    if inside is None:
        raise not_understood(value)
    inner, way = inside
    shape = recognise(inner)
    assert shape is not None
    request: Tree = {"model": {}, "request": {"model": {}}} if shape == "embeddings" else {}
    refuse_repeated(value, {**WRAPPER_KEYS, **way, **request})
    refuse_repeated(inner, READ_KEYS.get(shape, {}))
    if has_failed(value) or ("response" in way and has_failed_response(value)):
        raise excluded("http_error")
    return usage_of_response(shape, inner, Envelope(value), rules)


def not_understood(value: JsonObject) -> Refused:
    """What becomes of a record in which nothing is recognised."""
    if all(key in value for key in ("custom_id", "method", "url")):
        return rejected("batch_input")
    if value.get("object") == "organization.costs.result":
        return rejected("statement_record")
    given = {key for key, held in value.items() if held is not None}
    if given >= {"created", "data"} and given.isdisjoint(("object", "id", "error", "usage")):
        return rejected("missing_usage")  # as DALL-E answers
    if isinstance(value.get("error"), JsonObject):
        return unless_repeated(value, "error_response")
    if has_failed(value) or has_failed_response(value):
        return unless_repeated(value, "http_error")
    if any(isinstance(inner.get("error"), JsonObject) for inner in carried_objects(value)):
        return unless_repeated(value, "error_response")
    if value.keys() == {"request"} and isinstance(value["request"], JsonObject):
        return unless_repeated(value, "batch_failed")  # a line that a Vertex batch did not process
    return rejected("unknown_shape")


def unless_repeated(value: JsonObject, reason: str) -> Refused:
    """Excluded; but where a key that decides stands twice, nobody knows what the other one said."""
    deciding = {"custom_id", "method", "error", "status", "status_code", *PLACE_KEYS}
    if any(not one.repeated.isdisjoint(deciding) for one in (value, *carried_objects(value))):
        return rejected("duplicate_key")
    return excluded(reason)


def carried_objects(value: JsonObject) -> Iterator[JsonObject]:
    """The objects at the places where a wrapper may carry a provider's object."""
    found = (carried(value, place) for place in PLACES)
    return (one for one in found if isinstance(one, JsonObject))


def has_failed(value: JsonObject, *keys: str) -> bool:
    """Whether `status` or `status_code` is an integer from 400 to 599; anything else is no status of a failure."""
    numbers = (value.get(key) for key in keys or ("status", "status_code"))
    return any(isinstance(number, Number) and re.fullmatch(r"[45]\d\d", number.literal, re.ASCII) for number in numbers)


def has_failed_response(value: JsonObject) -> bool:
    """Whether the object under `response` has such a `status_code`."""
    response = decoded(value.get("response"))
    return isinstance(response, JsonObject) and has_failed(response, "status_code")


def usage_of_batch(value: JsonObject, rules: Rules) -> Usage:
    """A line of a batch output or error file: a wrapper whose tier is batch."""
    response = value.get("response")
    if response is None:
        raise unless_repeated(value, "batch_failed")
    body = response.get("body") if isinstance(response, JsonObject) else None
    shape = recognise(body)
    if isinstance(response, JsonObject) and has_failed(response, "status_code"):
        raise unless_repeated(value, "http_error")
    if shape not in READ_KEYS:
        raise not_understood(value)
    assert isinstance(body, JsonObject) and shape is not None
    request: Tree = {"model": {}, "request": {"model": {}}} if shape == "embeddings" else {}
    way: Tree = {"response": {"status_code": {}, "body": {}}}
    refuse_repeated(value, {**WRAPPER_KEYS, **way, **request})
    refuse_repeated(body, READ_KEYS[shape])
    if has_failed(value):
        raise excluded("http_error")
    return usage_of_response(shape, body, Envelope(value, tier="batch"), rules)


def usage_of_response(shape: str, value: JsonObject, envelope: Envelope | None, rules: Rules) -> Usage:
    """A Chat Completions, Responses or embeddings object, alone or in an envelope."""
    usage = value.get("usage")
    if usage is None:
        if shape == "responses" and value.get("status") in ("queued", "in_progress", "failed", "cancelled"):
            raise excluded("not_completed")
        raise rejected("missing_usage")
    if not isinstance(usage, JsonObject):
        raise rejected("invalid_field")
    if shape == "embeddings":
        prompt = read_counts(usage, ["prompt_tokens"], [], json_count)["prompt_tokens"]
        quantities = {("input", "uncached"): prompt}
    else:
        prompt, quantities = response_quantities(usage, *DIALECTS[shape])
    own_id = None if shape == "embeddings" else given(value.get("id"))
    in_batch = envelope is not None and envelope.tier == "batch"
    around = envelope if envelope is not None else Envelope(JsonObject([]))
    request_id = first_of(own_id, given(around.text("request_id", "id")))
    model = value.get("model")
    if shape == "embeddings" and model is None:
        request = around.record.get("request")
        asked = Envelope(request).text("model") if isinstance(request, JsonObject) else None
        model = first_of(around.text("model"), asked)
    tier_text = None if shape == "embeddings" else value.get("service_tier")
    check_texts(model, request_id, tier_text, model_required=True)
    return Usage(
        instant=rules.plausible(response_instant(shape, value, around)),
        provider="openai",
        model=model,
        tier="batch" if in_batch else tier_of(tier_text),
        quantities=quantities,
        account_id=first_of(around.text("account_id", "account", "organization_id"), rules.account),
        project_id=first_of(metadata_text(value, "project_id"), around.text("project_id", "project")),
        prompt_tokens=prompt,
        request_id=request_id,
        whole_record=value if envelope is None else envelope.record,
    )


# usage keys of each shape: prompt, completion, details of the prompt, details of the completion
DIALECTS = {
    "chat": ("prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"),
    "responses": ("input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details"),
}


def response_quantities(
    usage: JsonObject, prompt_key: str, completion_key: str, prompt_details_key: str, completion_details_key: str
) -> tuple[int, dict[tuple[str, str], int]]:
    """Prompt tokens and disjoint quantities of a Chat Completions or Responses usage object."""
    prompt_details = object_or_empty(usage, prompt_details_key)
    completion_details = object_or_empty(usage, completion_details_key)
    writes = object_or_empty(prompt_details, "cache_write_tokens_details")
    details = ("cached_tokens", "audio_tokens", "image_tokens", "cache_write_tokens")
    counted = {
        prompt_key: usage.get(prompt_key),
        completion_key: usage.get(completion_key),
        **{key: prompt_details.get(key) for key in details},
        "ttl_12h_tokens": writes.get("ttl_12h_tokens"),
        "reasoning_tokens": completion_details.get("reasoning_tokens"),
        "audio_out": completion_details.get("audio_tokens"),
    }
    required = [prompt_key, completion_key]
    count = read_counts(counted, required, [key for key in counted if key not in required], json_count)
    prompt, completion = count[prompt_key], count[completion_key]
    uncached = prompt - sum(count[key] for key in details)
    write = count["cache_write_tokens"] - count["ttl_12h_tokens"]
    if min(uncached, write, completion - count["audio_out"], completion - count["reasoning_tokens"]) < 0:
        raise rejected("parts_exceed_whole")
    return prompt, {
        ("input", "uncached"): uncached,
        ("input", "cached"): count["cached_tokens"],
        ("input", "cache_write"): write,
        ("input", "cache_write_12h"): count["ttl_12h_tokens"],
        ("audio_input", "uncached"): count["audio_tokens"],
        ("image_input", "uncached"): count["image_tokens"],
        ("output", "not_applicable"): completion - count["audio_out"],
        ("audio_output", "not_applicable"): count["audio_out"],
    }


def object_or_empty(parent: JsonObject, key: str) -> JsonObject:
    """The object under `key`, an empty one where there is none."""
    value = parent.get(key)
    if value is None:
        return JsonObject([])
    if not isinstance(value, JsonObject):
        raise rejected("invalid_field")
    return value


def metadata_text(value: JsonObject, key: str) -> str | None:
    metadata = value.get("metadata")
    text = metadata.get(key) if isinstance(metadata, JsonObject) else None
    return text if isinstance(text, str) else None


def first_of(*values: Any) -> Any:
    """The first value that is not None."""
    return next((value for value in values if value is not None), None)


CONTROL_CHARACTER = re.compile("[\x00-\x1f\x7f-\x9f]")


def given(request_id: Any) -> Any:
    """An id that is an empty string is no id."""
    return None if request_id == "" else request_id


def check_texts(model: Any, request_id: Any, tier: Any, provider: Any = None, *, model_required: bool) -> None:
    """Model, id, tier and provider are strings without control characters; a request has a model."""
    texts = [text for text in (model, request_id, tier, provider) if text is not None]
    if not all(isinstance(text, str) for text in texts):
        raise rejected("invalid_field")
    if model_required and not model:
        raise rejected("missing_model")
    if any(CONTROL_CHARACTER.search(text) for text in texts):
        raise rejected("control_character")


def tier_of(text: str | None, provider: str = "openai") -> str:
    """The canonical tier. `fast` is OpenAI's newer word for priority; elsewhere it is a tier of its own."""
    if text == "fast" and provider != "openai":
        return "fast"
    known = {"": "standard", "default": "standard", "auto": "standard", "fast": "priority", "flex-tier": "flex"}
    known |= {"incentivized-tier": "complimentary", "scale": "provisioned"}
    return "standard" if text is None else known.get(text, text)


# -------------------------------------------------------------------------------------------------------------- counts


def read_counts(
    values: Mapping[str, Any], required: Sequence[str], optional: Sequence[str], as_count: Callable[[Any], int]
) -> dict[str, int]:
    """All counts of a record, absent optional ones as 0. The worst kind of fault decides, not the first field."""
    if any(values.get(key) is None for key in required):
        raise rejected("missing_count")
    present = [key for key in (*required, *optional) if values.get(key) is not None]
    counts = {key: as_count(values[key]) for key in present}
    if any(count < 0 or count > LARGEST_COUNT for count in counts.values()):
        raise rejected("count_out_of_range")
    return {key: counts.get(key, 0) for key in (*required, *optional)}


JSON_INTEGER = re.compile(r"-?[0-9]+")
CSV_INTEGER = re.compile(r"([0-9]+)(\.0+)?")


def json_count(value: Any) -> int:
    """A JSON integer literal as a number."""
    if not isinstance(value, Number) or not JSON_INTEGER.fullmatch(value.literal):
        raise rejected("invalid_count")
    return bounded(value.literal)


def csv_count(cell: str) -> int:
    """Digits, optionally followed by a point and zeros."""
    match = CSV_INTEGER.fullmatch(cell)
    if match is None:
        raise rejected("invalid_count")
    return bounded(match[1])


def bounded(digits: str) -> int:
    """The integer, or one that is surely out of range: no bill needs a number of five thousand digits."""
    if len(digits) <= 20:
        return int(digits)
    negative, digits = digits.startswith("-"), digits.lstrip("-").lstrip("0") or "0"
    size = int(digits) if len(digits) <= 20 else 10**20
    return -size if negative else size


# --------------------------------------------------------------------------------------------------------------- times

EPOCH_DAY = date(1970, 1, 1).toordinal()
EARLIEST_INSTANT = (date(2020, 1, 1).toordinal() - EPOCH_DAY) * DAY
EPOCH_SECONDS = re.compile(r"(-?)(\d+)(?:\.(\d+))?", re.ASCII)
ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d+))? ?(Z|z|UTC|[+-]\d\d:?\d\d)?",
    re.ASCII,
)


def iso_instant(text: str) -> int:
    """ISO 8601 date and time with a zone. Fractions are cut to microseconds."""
    match = ISO.fullmatch(text)
    if match is None:
        raise rejected("invalid_timestamp")
    year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
    fraction, zone = match[7] or "", match[8]
    try:
        days = date(year, month, day).toordinal() - EPOCH_DAY
    except ValueError:
        raise rejected("invalid_timestamp") from None
    if hour > 23 or minute > 59 or second > 60:
        raise rejected("invalid_timestamp")
    micros = int((fraction + "000000")[:6])
    if second == 60:
        second, micros = 59, 999_999
    offset = 0
    if zone is not None and zone not in ("Z", "z", "UTC"):
        offset_hours, offset_minutes = int(zone[1:3]), int(zone[-2:])
        if offset_hours > 18 or offset_minutes > 59:
            raise rejected("invalid_timestamp")
        offset = (offset_hours * 60 + offset_minutes) * (-60 if zone[0] == "-" else 60)
    if zone is None:
        raise rejected("naive_timestamp")
    return days * DAY + (hour * 3600 + minute * 60 + second - offset) * SECOND + micros


def epoch_instant(literal: str, *, decimals: bool) -> int:
    """Epoch seconds; decimals, where they are allowed, are cut to microseconds."""
    match = EPOCH_SECONDS.fullmatch(literal)
    if match is None or (match[3] is not None and not decimals):
        raise rejected("invalid_timestamp")
    micros = bounded(match[2]) * SECOND + int(((match[3] or "") + "000000")[:6])
    return -micros if match[1] else micros


def nearest_double(literal: str) -> str:
    """A JSON number with a fraction or an exponent as most readers of JSON see it, in digits."""
    if not re.search("[.eE]", literal) or not math.isfinite(nearest := float(literal)):
        return literal
    digits = f"{Decimal(repr(nearest)):f}"
    return digits if "." in digits else f"{digits}.0"


def response_instant(shape: str, value: JsonObject, around: Envelope) -> int:
    """The record's own time, else the wrapper's."""
    own = {"chat": "created", "responses": "created_at"}.get(shape)
    time = value.get(own) if own else None
    if time is not None:
        if not isinstance(time, Number):
            raise rejected("invalid_timestamp")
        return epoch_instant(nearest_double(time.literal), decimals=shape == "responses")
    time = around.first("timestamp", "time", "created_at", "ts", "@timestamp")
    if time is None:
        raise rejected("missing_timestamp")
    if isinstance(time, Number):
        return epoch_instant(nearest_double(time.literal), decimals=True)
    if not isinstance(time, str):
        raise rejected("invalid_timestamp")
    return iso_instant(time)


# ---------------------------------------------------------------------------------------------- organisation usage


def uncut(value: JsonObject) -> Usage:
    """A page, list or bucket that could not be cut into records."""
    keys = HOLDERS[kind_of(value)]
    refuse_repeated(value, {key: {} for key in keys})
    raise excluded("empty_bucket") if value.get(keys[0]) in (None, []) else rejected("invalid_field")


def usage_of_result(value: JsonObject, around: Interval | None, rules: Rules) -> Usage:
    """One result of completions; a bucket around it says when, where it does not itself."""
    refuse_repeated(
        value, {key: {} for key in ("object", *RESULT_COUNTS, *RESULT_DIMENSIONS, "start_time", "end_time")}
    )
    counts = aggregate_counts(value, json_count)
    batch = value.get("batch")
    if batch is not None and not isinstance(batch, bool):
        raise rejected("invalid_field")
    times = interval_of(value, around)
    interval = ["" if time is None else time.literal if isinstance(time, Number) else "no number" for time in times]
    return aggregate(counts, value, batch, interval, rules)


def aggregate_counts(values: Mapping[str, Any], as_count: Callable[[Any], int]) -> dict[tuple[str, str], int]:
    """Disjoint quantities of an aggregate row; the number of requests stands under ("requests", "")."""
    required = ["input_tokens", "output_tokens", "num_model_requests"]
    count = read_counts(values, required, [key for key in RESULT_COUNTS if key not in required], as_count)
    cached, write = count["input_cached_tokens"], count["input_cache_write_tokens"]
    audio, cached_audio = count["input_audio_tokens"], count["input_cached_audio_tokens"]
    image, cached_image = count["input_image_tokens"], count["input_cached_image_tokens"]
    output, audio_out, image_out = count["output_tokens"], count["output_audio_tokens"], count["output_image_tokens"]
    uncached = count["input_uncached_tokens"]
    if values.get("input_uncached_tokens") is not None:  # audio and images are inside the whole
        if uncached + cached + write != count["input_tokens"]:
            raise rejected("parts_exceed_whole")
        uncached -= audio + image
        cached -= cached_audio + cached_image
        output -= audio_out + image_out
    else:  # text only; audio and images stand beside it
        uncached = count["input_tokens"] - cached - write
        audio -= cached_audio
        image -= cached_image
    quantities = {
        ("requests", ""): count["num_model_requests"],
        ("input", "uncached"): uncached,
        ("input", "cached"): cached,
        ("input", "cache_write"): write - count["input_cache_write_12h_tokens"],
        ("input", "cache_write_12h"): count["input_cache_write_12h_tokens"],
        ("audio_input", "uncached"): audio,
        ("audio_input", "cached"): cached_audio,
        ("image_input", "uncached"): image,
        ("image_input", "cached"): cached_image,
        ("output", "not_applicable"): output,
        ("audio_output", "not_applicable"): audio_out,
        ("image_output", "not_applicable"): image_out,
    }
    if min(quantities.values()) < 0:
        raise rejected("parts_exceed_whole")
    return quantities


def aggregate(
    quantities: dict[tuple[str, str], int],
    values: Mapping[str, Any],
    batch: bool | None,
    interval: Sequence[str],
    rules: Rules,
) -> Usage:
    """An aggregate record of its dimensions and quantities; the interval's two times as written, "" if not given."""
    model, service_tier = values.get("model"), values.get("service_tier")
    check_texts(model, None, service_tier, model_required=False)
    if batch:
        tier: str | None = "batch"
    elif batch is None and service_tier is None:
        tier = None
    else:
        tier = tier_of(service_tier)
    start, end = (epoch_instant(time, decimals=False) if time else None for time in interval)
    if start is None or end is None:
        raise rejected("missing_timestamp")
    instant = rules.plausible(start)
    if end <= start:
        raise rejected("invalid_timestamp")
    requests = quantities.pop(("requests", ""))
    # Of who used it anything but a text is ignored.
    keys = ("organization_id", "project_id", "user_id", "api_key_id")
    organization, project, user, api_key = (text if isinstance(text := values.get(key), str) else None for key in keys)
    account = first_of(organization, rules.account)
    return Usage(
        instant=instant,
        provider="openai",
        model=model,
        tier=tier,
        quantities=quantities,
        account_id=account,
        project_id=project,
        requests=requests,
        ends=end,
        source_kind="aggregate",
        identity=(
            *(account, "openai", instant, end, model, batch, service_tier),
            *(project, user, api_key, values.get("api_source")),
        ),
    )


# ---------------------------------------------------------------------------------------------------- the plain format


def usage_of_plain_json(value: JsonObject, rules: Rules) -> Usage:
    """A JSON object of the plain format."""
    refuse_repeated(value, {key: {} for key in (*PLAIN_TEXTS, *PLAIN_COUNTS, "reasoning_tokens")})
    return plain(value, json_count, rules)


def plain(values: Mapping[str, Any], as_count: Callable[[Any], int], rules: Rules) -> Usage:
    """A record of the plain format, whose columns are the quantities themselves."""
    count = read_counts(values, [], [*PLAIN_COUNTS, "reasoning_tokens"], as_count)
    quantities = {meter: count[column] for column, meter in PLAIN_COLUMNS.items()}
    if values.get("input_tokens") is not None:
        parts = sum(count[column] for column in INPUT_COLUMNS if column != "input_uncached_tokens")
        uncached = count["input_tokens"] - parts
        said = values.get("input_uncached_tokens")
        if uncached < 0 or (said is not None and count["input_uncached_tokens"] != uncached):
            raise rejected("parts_exceed_whole")
        quantities["input", "uncached"] = uncached
    if values.get("output_tokens") is not None and count["reasoning_tokens"] > count["output_tokens"]:
        raise rejected("parts_exceed_whole")
    model, request_id, tier = values.get("model"), given(values.get("request_id")), values.get("tier")
    check_texts(model, request_id, tier, values.get("provider"), model_required=True)
    provider = values.get("provider")
    if provider is None:
        provider = "openai"
    time = values.get("occurred_at")
    if time is None:
        raise rejected("missing_timestamp")
    if not isinstance(time, str):
        raise rejected("invalid_timestamp")
    account, project = values.get("account_id"), values.get("project_id")
    return Usage(
        instant=rules.plausible(iso_instant(time)),
        provider=provider,
        model=model,
        tier=tier_of(tier, provider),
        quantities=quantities,
        account_id=account if isinstance(account, str) else rules.account,
        project_id=project if isinstance(project, str) else None,
        prompt_tokens=sum(quantities[meter] for meter in INPUT_COLUMNS.values()),
        splits_cached_input=values.get("input_cached_tokens") is not None,
        request_id=request_id,
        whole_record=dict(values),
    )


# ----------------------------------------------------------------------------------------------------------------- CSV

TIME_COLUMNS = {"start_time", "end_time", "start_time_iso", "end_time_iso"}


def read_csv(content: bytes, rules: Rules) -> Iterator[tuple[int, Outcome]]:
    """Line number and outcome of every data row. A cell that is empty is absent."""
    csv.field_size_limit(2**31 - 1)
    judge_row: Callable[[dict[str, str], Rules], Usage] = usage_of_plain_row
    text = content.decode("utf-8", errors="surrogateescape")
    reader = csv.reader(re.findall(r"[^\n]*\n|[^\n]+$", text))
    header: list[str] = []
    begins = 1
    for row in reader:
        line_number, begins = begins, reader.line_num + 1
        if not any(cell.strip() for cell in row) and len(row) <= 1:
            continue
        if not header:
            header, judge_row = row, row_judge(row)
            continue
        values = {column: cell for column, cell in zip(header, row, strict=False) if cell != ""}
        yield line_number, judged(partial(judge_row, values, rules))


def row_judge(header: list[str]) -> Callable[[dict[str, str], Rules], Usage]:
    """The function that understands the rows under this header."""
    columns = set(header)
    if "start_time" in columns and (columns <= TIME_COLUMNS or columns & {"input_tokens", "num_model_requests"}):
        return usage_of_usage_row
    if {"occurred_at", "model"} <= columns and columns & set(PLAIN_COUNTS):
        return usage_of_plain_row
    raise RefusedFile("unknown_format")


def refuse_invalid_utf8(values: Mapping[str, str]) -> None:
    if any(0xDC80 <= ord(character) <= 0xDCFF for cell in values.values() for character in cell):
        raise rejected("invalid_utf8")


def usage_of_plain_row(values: dict[str, str], rules: Rules) -> Usage:
    refuse_invalid_utf8(values)
    return plain(values, csv_count, rules)


def usage_of_usage_row(values: dict[str, str], rules: Rules) -> Usage:
    """A row of the dashboard's usage export."""
    refuse_invalid_utf8(values)
    if values.keys() <= TIME_COLUMNS:
        raise excluded("empty_bucket")
    counts = aggregate_counts(values, csv_count)
    words = {"true": True, "false": False}
    if "batch" in values and values["batch"].lower() not in words:
        raise rejected("invalid_field")
    batch = words[values["batch"].lower()] if "batch" in values else None
    interval = [values.get(key, "") for key in ("start_time", "end_time")]
    return aggregate(counts, values, batch, interval, rules)


# ------------------------------------------------------------------------------------------------------------ identity


@dataclass(slots=True)
class Entry:
    """One record on its way to its fate."""

    input_name: str
    line_number: int
    usage: Usage | None
    fate: str = "accepted"
    reason: str | None = None


def identify(entries: Iterable[Entry]) -> None:
    """Give every request its identity: its id, or a fingerprint with its occurrence number within the file."""
    occurrences: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        usage = entry.usage
        if usage is None or usage.source_kind != "request":
            continue
        name = usage.request_id
        if name is None:
            fingerprint = "sha256:" + hashlib.sha256(canonical(usage.whole_record).encode()).hexdigest()
            occurrences[entry.input_name, fingerprint] += 1
            name = f"{fingerprint}#{occurrences[entry.input_name, fingerprint]}"
        usage.whole_record = None
        usage.identity = (usage.account_id, usage.provider, name)


def settle_requests(group: list[Entry]) -> None:
    """Records of one identity: the latest stands, and decides over those of its day and of the days beside it."""
    open_entries = sorted(group, key=request_rank, reverse=True)  # stable: the first of equals stays first
    while open_entries:
        standing, *others = open_entries
        assert standing.usage is not None
        open_entries = []
        for entry in others:
            assert entry.usage is not None
            if abs(entry.usage.day() - standing.usage.day()) > 1:
                open_entries.append(entry)
            elif entry.usage.content() == standing.usage.content():
                entry.fate = "duplicate"
            else:
                entry.fate = "conflict"


def request_rank(entry: Entry) -> tuple[int, str]:
    assert entry.usage is not None
    return entry.usage.instant, content_hash(entry.usage)


def content_hash(usage: Usage) -> str:
    """Any total order will do: the order of the package's own hashes is not part of the rules."""
    return hashlib.sha256(repr(usage.content()).encode()).hexdigest()


def settle_aggregates(group: list[Entry]) -> None:
    """Aggregates of the same dimensions and interval: the largest stands."""

    def rank(entry: Entry) -> tuple[int, int, str]:
        assert entry.usage is not None
        return entry.usage.requests, sum(entry.usage.quantities.values()), content_hash(entry.usage)

    standing, *others = sorted(group, key=rank, reverse=True)
    for entry in others:
        same = entry.usage and standing.usage and entry.usage.content() == standing.usage.content()
        entry.fate, entry.reason = "duplicate", None if same else "superseded"


def settle_groupings(found: list[Entry]) -> None:
    """Of the exports of one account and day those of the finest grouping stand: two groupings count everything twice.

    What an export is grouped by shows in its rows of the day, so one without a tier in any row may be either.
    """
    exports: defaultdict[tuple[str, int], list[Entry]] = defaultdict(list)
    for entry in found:
        assert entry.usage is not None and entry.usage.ends is not None
        exports[entry.input_name, entry.usage.ends - entry.usage.instant].append(entry)
    groupings = {
        key: grouping([entry.usage.identity for entry in rows if entry.usage]) for key, rows in exports.items()
    }
    fineness = {key: (sum(grouped), grouped, -key[1]) for key, grouped in groupings.items()}
    finest = max(fineness.values())
    for key, rows in exports.items():
        if fineness[key] != finest:
            for entry in rows:
                entry.fate, entry.reason = "rejected", "overlapping_aggregate"


def grouping(identities: list[tuple[Any, ...]]) -> tuple[bool, ...]:
    """Which dimensions the rows of one export were grouped by, in the order in which they decide between equals."""
    *_, models, batches, tiers, projects, users, keys, sources = zip(*identities, strict=True)
    named = [any(cell is not None for cell in column) for column in (projects, users, keys, models)]
    has_batch, has_tier = (any(cell is not None for cell in column) for column in (batches, tiers))
    has_source = any(isinstance(cell, str) for cell in sources)
    return (*named, has_batch or has_tier, has_batch, has_source, has_tier or all(batches))


def settle(entries: list[Entry]) -> None:
    """Duplicates, conflicts, and aggregates that the requests of their day make redundant."""
    identify(entries)
    requests: defaultdict[tuple[Any, ...], list[Entry]] = defaultdict(list)
    aggregates: defaultdict[tuple[Any, ...], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.usage is not None:
            groups = requests if entry.usage.source_kind == "request" else aggregates
            groups[entry.usage.identity].append(entry)
    for group in requests.values():
        settle_requests(group)
    covered = {
        (entry.usage.account_id, entry.usage.provider, entry.usage.day())
        for group in requests.values()
        for entry in group
        if entry.usage is not None and entry.fate == "accepted"
    }
    days: defaultdict[tuple[Any, ...], list[Entry]] = defaultdict(list)
    for group in aggregates.values():
        for entry in group:
            assert entry.usage is not None
            days[entry.usage.account_id, entry.usage.provider, entry.usage.day()].append(entry)
    for day, found in days.items():
        if day in covered:
            for entry in found:
                entry.fate, entry.reason = "excluded", "counted_by_requests"
        else:
            settle_groupings(found)
    for group in aggregates.values():
        standing = [entry for entry in group if entry.fate == "accepted"]
        if standing:
            settle_aggregates(standing)


# -------------------------------------------------------------------------------------------------------------- prices


class Rate(NamedTuple):
    """One row of the card, in force from `begins` (included) to `ends` (excluded)."""

    begins: int | None
    ends: int | None
    usd_per_million: Decimal
    is_inferred: bool
    effective_from: str

    def in_force(self, instant: int) -> bool:
        return (self.begins is None or self.begins <= instant) and (self.ends is None or instant < self.ends)


@dataclass
class ModelRates:
    """All rows of one model. A rate is found under (tier, meter, caching status, context band)."""

    rates: defaultdict[tuple[str, str, str, int], list[Rate]] = field(default_factory=lambda: defaultdict(list))
    tiers: set[str] = field(default_factory=set)
    rates_above_bands: list[tuple[int, Rate]] = field(default_factory=list)

    def add(self, tier: str, meter: str, caching_status: str, band: int, rate: Rate) -> None:
        self.rates[tier, meter, caching_status, band].append(rate)
        self.tiers.add(tier)
        if band:
            self.rates_above_bands.append((band, rate))

    def band(self, prompt_tokens: int, instant: int) -> int:
        """The highest threshold, of any tier, in force and strictly exceeded; 0 where there is none."""
        exceeded = [(band, rate) for band, rate in self.rates_above_bands if prompt_tokens > band]
        return max((band for band, rate in exceeded if rate.in_force(instant)), default=0)

    def bands(self, instant: int) -> set[int]:
        """The thresholds in force, whatever the tier and meter they are listed for."""
        return {band for band, rate in self.rates_above_bands if rate.in_force(instant)}

    def rate(self, tier: str, meter: str, caching_status: str, band: int, instant: int) -> Rate | None:
        found = [rate for rate in self.rates.get((tier, meter, caching_status, band), []) if rate.in_force(instant)]
        assert len(found) <= 1, f"two rates in force: {tier} {meter} {caching_status} {band} {found}"
        return found[0] if found else None


class Price(NamedTuple):
    """What one quantity costs, and why."""

    status: str
    band: int = 0
    model: str | None = None
    rate: Rate | None = None


class Card:
    """The rate card: a folder with `rates.csv` and `aliases.csv`."""

    def __init__(self, folder: Path) -> None:
        self.models: dict[tuple[str, str], ModelRates] = {}
        self.aliases: defaultdict[tuple[str, str], list[tuple[int | None, int | None, str]]] = defaultdict(list)
        for row in read_table(folder / "rates.csv"):
            model = self.models.setdefault((row["provider"], row["model"]), ModelRates())
            rate = Rate(
                begins=card_instant(row["effective_from"]),
                ends=card_instant(row["effective_to"]),
                usd_per_million=Decimal(row["rate_usd_per_million"]),
                is_inferred=row["status"] == "inferred",
                effective_from=row["effective_from"],
            )
            model.add(row["tier"], row["meter"], row["caching_status"], int(row["context_over_tokens"]), rate)
        for row in read_table(folder / "aliases.csv"):
            interval = card_instant(row["effective_from"]), card_instant(row["effective_to"])
            self.aliases[row["provider"], row["alias"]].append((*interval, row["model"]))

    def find_model(self, provider: str, model: str | None, instant: int) -> str | None:
        """The id under which the card has rates: exact, then by alias, then the same for a fine-tune's base."""
        if model is None:
            return None
        names = [model]
        if fine_tune := re.fullmatch(r"(ft:[^:]+):.*", model, re.DOTALL):
            names.append(fine_tune[1])
        for name in names:
            if (provider, name) in self.models:
                return name
            for begins, ends, target in self.aliases.get((provider, name), []):
                in_force = (begins is None or begins <= instant) and (ends is None or instant < ends)
                if in_force and (provider, target) in self.models:
                    return target
        return None

    def price(self, usage: Usage, meter: str, caching_status: str) -> Price:
        """The rate for one meter of one record, or the reason why there is none."""
        name = self.find_model(usage.provider, usage.model, usage.instant)
        if name is None:
            return Price("unpriced_unknown_model")
        model, tier, instant = self.models[usage.provider, name], usage.tier, usage.instant
        is_aggregate = usage.source_kind == "aggregate"
        band = 0 if is_aggregate else model.band(usage.prompt_tokens, instant)
        if tier is None or tier not in model.tiers:
            own = {"provisioned": "unpriced_provisioned", "complimentary": "unpriced_complimentary"}
            return Price(own.get(tier or "", "unpriced_unknown_tier"), band)
        rate = model.rate(tier, meter, caching_status, band, instant)
        if rate is None:
            rows = model.rates.get((tier, meter, caching_status, band), [])
            begin_later = bool(rows) and all(row.begins is not None and row.begins > instant for row in rows)
            return Price("unpriced_before_first_rate" if begin_later else "unpriced_no_rate", band)
        if is_aggregate and model.bands(instant):
            return Price("priced_lower_bound", band, name, rate)
        if not usage.splits_cached_input and (meter, caching_status) == ("input", "uncached"):
            cached = model.rate(tier, "input", "cached", band, instant)
            if cached is not None and cached.usd_per_million < rate.usd_per_million:
                return Price("priced_upper_bound", band, name, rate)
        return Price("priced_inferred" if rate.is_inferred else "priced", band, name, rate)


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def card_instant(text: str) -> int | None:
    """A date (00:00 UTC) or an ISO 8601 instant; blank is unbounded."""
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return micros_of(moment)


def micros_of(moment: datetime) -> int:
    """Microseconds since 1970; a time without a zone is UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def rate_all(usages: Iterable[Usage], card: Card) -> dict[Cell, tuple[int, Decimal | None]]:
    """Price every quantity of every record by itself, and only then add up."""
    rollup: dict[Cell, tuple[int, Decimal | None]] = {}
    with localcontext(Context(prec=100, traps=[Inexact])):
        for usage in usages:
            for cell, quantity, cost in charges(usage, card):
                total, cost_so_far = rollup.get(cell, (0, Decimal(0) if cost is not None else None))
                rollup[cell] = (total + quantity, None if cost is None or cost_so_far is None else cost_so_far + cost)
    return rollup


def charges(usage: Usage, card: Card) -> Iterator[tuple[Cell, int, Decimal | None]]:
    """The rollup rows that one record adds to, with quantity and cost."""
    day = date.fromordinal(EPOCH_DAY + usage.day())
    whose = (day, usage.account_id, usage.project_id, usage.provider, usage.model, usage.tier)
    kind = usage.source_kind
    if usage.requests:
        caching_status = requests_caching_status(usage)
        cell = Cell(*whose, "requests", caching_status, 0, None, None, None, kind, "not_charged")
        yield cell, usage.requests, Decimal(0)
    for (meter, caching_status), quantity in usage.quantities.items():
        if not quantity:
            continue
        status, band, model, rate = card.price(usage, meter, caching_status)
        begins, usd = (rate.effective_from, rate.usd_per_million) if rate else (None, None)
        cost = quantity * usd * MILLIONTH if usd is not None else None
        yield Cell(*whose, meter, caching_status, band, model, begins, usd, kind, status), quantity, cost


def requests_caching_status(usage: Usage) -> str:
    """Whether a request had any cached token; of many requests together that is only known when none had."""
    if not any(n for (_, status), n in usage.quantities.items() if status == "cached"):
        return "uncached"
    return "cached" if usage.source_kind == "request" else "not_applicable"


# --------------------------------------------------------------------------------------------------------------- judge


def judge(files: Sequence[Path], *, card: Path, now: datetime, account: str | None = None) -> Verdict:
    """Judge and price every record of `files`, as one run into an empty warehouse.

    `card` is the folder of `rates.csv` and `aliases.csv`; `account` belongs to records that name none.
    """
    rules = Rules(latest_instant=micros_of(now) + DAY, account=account)
    entries: list[Entry] = []
    refused: dict[str, str] = {}
    for path in files:
        try:
            for line_number, outcome in read_file(Path(path), rules):
                if isinstance(outcome, Refused):
                    entries.append(Entry(str(path), line_number, None, outcome.fate, outcome.reason))
                else:
                    entries.append(Entry(str(path), line_number, outcome))
        except RefusedFile as refusal:
            refused[str(path)] = str(refusal)
    settle(entries)
    accepted = [entry.usage for entry in entries if entry.fate == "accepted" and entry.usage is not None]
    counts = Counter(entry.fate for entry in entries)
    return Verdict(
        records=[Record(entry.input_name, entry.line_number, entry.fate, entry.reason) for entry in entries],
        counts={fate: counts[fate] for fate in FATES},
        rollup=rate_all(accepted, Card(card)),
        refused=refused,
    )
