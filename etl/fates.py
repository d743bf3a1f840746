"""The fates of a record, their reason codes, and the sum that must close.

Each record that is read meets exactly one fate:
`read = accepted + duplicate + conflict + excluded + rejected`, for each file and run.
"""

from __future__ import annotations

from dataclasses import dataclass

ACCEPTED = "accepted"
DUPLICATE = "duplicate"
CONFLICT = "conflict"
EXCLUDED = "excluded"
REJECTED = "rejected"
FATES = (ACCEPTED, DUPLICATE, CONFLICT, EXCLUDED, REJECTED)

# Reason code -> what it means, for the reader of docs/fates.md and of the quarantine report.
EXCLUSIONS = {
    "error_response": "an error body: nothing was served, nothing is billed",
    "http_error": "the status is 400 or above: providers bill completed requests only",
    "batch_failed": "a batch line that failed, expired or was cancelled: not billed",
    "not_completed": "queued, in progress, failed or cancelled, and without usage",
    "not_usage": "another line of the same log, which never holds usage",
    "chunk_without_usage": "a part of a streamed answer; the usage comes with its last part",
    "gateway_cache_hit": "a gateway answered from its own cache: the provider was not asked, nothing is billed",
    "parent_span": "a span around other spans: it may repeat the usage of the calls inside it",
    "repeated": "a session's counters as on the line before: no call was made between",
    "synthetic": "a message that the client made up: no provider was asked",
    "empty_bucket": "an aggregate's interval in which nothing was used",
    "counted_by_requests": "an aggregate over an account, provider and day whose request logs are counted",
}
REJECTIONS = {
    "invalid_json": "the line is not one JSON value",
    "invalid_utf8": "the line is not UTF-8",
    "invalid_csv": "the row has more or fewer fields than the header, or a stray quote",
    "torn_tail": "the last row of a CSV file has no line end and may be cut short",
    "line_too_long": "the line is longer than 16 MiB",
    "too_deep": "a JSON document over several lines is nested so deep that it cannot be taken apart",
    "not_an_object": "the line is JSON, but not an object",
    "unknown_shape": "no known format has records like this",
    "batch_input": "a batch request without its answer: it holds no usage",
    "statement_record": "a record of a provider's bill: give it to `costroll reconcile`",
    "no_tokens": "a log of calls without their tokens, such as Azure's diagnostics: export the gateway's LLM log",
    "no_meter": "usage that is billed and that Costroll has no meter for, such as the rent of storage: see the bill",
    "missing_usage": "a completed call without usage: its cost is not known",
    "missing_count": "usage without the token count that its format requires",
    "invalid_count": "a count is not a whole number written in digits",
    "count_out_of_range": "a count is negative or above 1,000,000,000,000",
    "parts_exceed_whole": "the parts of a count (cached, audio, reasoning...) are larger than the count",
    "missing_model": "the record names no model",
    "missing_timestamp": "neither the record nor its wrapper says when",
    "invalid_timestamp": "the time cannot be read, or an interval does not end after it begins",
    "naive_timestamp": "the time has no zone; say which with --assume-tz",
    "implausible_timestamp": "the time is before 2020 or more than a day in the future",
    "invalid_field": "a field that identifies or prices the record has the wrong type",
    "control_character": "an id, model or tier contains a control character",
    "duplicate_key": "a field that Costroll reads occurs twice in the same object",
    "overlapping_aggregate": (
        "another grouping or width of aggregate covers this account, provider and day; --replace takes the new one"
    ),
    "usage_expired": (
        "the usage of its day has expired, and aggregates that count this account and provider there cannot be compared"
    ),
}
# What to do about such records is said at once.
GUIDED = ("statement_record", "no_tokens", "no_meter")
CONFLICTS = {"content_differs": "the same identity is already counted with another content"}
DUPLICATES = {
    "same_content": "the same identity and content are already counted",
    "superseded": "a fuller state of the same request or aggregate is counted",
}
REFUSALS = {
    "unknown_format": "nothing in it is recognised",
    "statement": "a provider's bill, not usage",
    "empty_file": "no bytes at all",
    "unreadable": "it cannot be opened or read",
    "not_a_file": "a device, FIFO, socket or dangling link",
    "not_text": "binary content",
    "wrong_encoding": "UTF-16 or UTF-32",
    "unsupported_archive": "a compression that is not read",
    "truncated_gzip": "the gzip stream ends early",
    "corrupt_gzip": "the gzip stream is damaged",
    "truncated_zstd": "the zstd stream ends early",
    "corrupt_zstd": "the zstd stream is damaged",
    "decompression_bomb": "it decompresses to an unreasonable size",
    "changed_while_read": "it was truncated or rewritten while it was read, twice in a row",
    "invalid_header": "the CSV header is missing, doubled or unclosed",
    "cr_line_ends": "lines end in CR alone",
    "account_changed": "its records count under another --account, or none, since an earlier run",
    "too_large_document": "one JSON document of more than 1 GiB",
}


@dataclass
class Counts:
    """How many records met each fate.

    Grain: one file, one day or one run.
    """

    read: int = 0
    accepted: int = 0
    duplicate: int = 0
    conflict: int = 0
    excluded: int = 0
    rejected: int = 0

    def __iadd__(self, other: Counts) -> Counts:
        self.read += other.read
        self.accepted += other.accepted
        self.duplicate += other.duplicate
        self.conflict += other.conflict
        self.excluded += other.excluded
        self.rejected += other.rejected
        return self

    def closes(self) -> bool:
        """Whether the five fates add up to what was read."""
        return self.read == self.accepted + self.duplicate + self.conflict + self.excluded + self.rejected

    def line(self) -> str:
        """The closure in one line, as `run` prints it last."""
        parts = " + ".join(f"{fate} {getattr(self, fate):,}" for fate in FATES)
        return f"read {self.read:,} = {parts}"
