"""The catalogue of faults: 118 things that go wrong with logs, files, rates and machines, and what Costroll does then.

A fault is a file with the fate of its records, or the code with which it is refused; where one file cannot show it, it
names the tests that do. `tests/test_catalogue.py` runs the files and looks up the tests; `docs/faults.md` is made of it.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import zstandard

from tests.nights import MINI, chat

CSV_HEADER = b"occurred_at,request_id,model,input_tokens,output_tokens,notes"
NOON_TEXT = "2026-06-01T12:00:00Z"
MIB = 1 << 20


@dataclass(frozen=True)
class Fault:
    """One case.

    Attributes:
        number: in the catalogue.
        name: what is wrong.
        does: what Costroll does, in a sentence for the reader of docs/faults.md.
        content: of the file that shows it, if one file can.
        accepted: how many of its records count.
        reasons: `fate/reason` -> how many other records met it.
        refused: the code with which the file is refused as a whole.
        file: its name.
        shown_by: the tests that show the rest, as `test_file.py::test_name`.
        is_unpriced: its records count without a price.
    """

    number: int
    name: str
    does: str
    content: bytes | None = None
    accepted: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    refused: str | None = None
    file: str = "log.jsonl"
    shown_by: tuple[str, ...] = ()
    is_unpriced: bool = False

    @property
    def is_alarming(self) -> bool:
        """Whether the file makes a run end with 3."""
        return (
            self.is_unpriced
            or bool(self.refused)
            or any(key.startswith(("rejected/", "conflict/")) for key in self.reasons)
        )


def line(name: str, **changes: Any) -> bytes:
    """A sound record: 1,000 tokens in, 100 out."""
    return json.dumps(chat(name, **changes), separators=(",", ":"), ensure_ascii=False).encode()


def lines(*each: bytes, end: bytes = b"\n") -> bytes:
    """Lines with their ends."""
    return b"".join(one + end for one in each)


def beside(number: int, *odd: bytes) -> bytes:
    """Odd lines between two sound ones, whose ids are the case's own."""
    return lines(line(f"{number}-first"), *odd, line(f"{number}-last"))


def counting(number: int, *literals: str) -> tuple[bytes, ...]:
    """A record for each, with this text where the number of prompt tokens stands."""
    texts = (line(f"{number}-{at}").decode() for at in range(len(literals)))
    return tuple(
        text.replace('"prompt_tokens":1000', f'"prompt_tokens":{literal}').encode()
        for text, literal in zip(texts, literals, strict=True)
    )


def row(name: str, count: str = "1000", at: str = NOON_TEXT, notes: str = "", model: str = MINI) -> bytes:
    """A row of a CSV log."""
    return f"{at},{name},{model},{count},100,{notes}".encode()


def csv(*rows: bytes, header: bytes = CSV_HEADER, end: bytes = b"\n") -> bytes:
    """A CSV log."""
    return lines(header, *rows, end=end)


def rejected(reason: str, number: int = 1) -> dict[str, int]:
    """The records that are set aside for one reason."""
    return {f"rejected/{reason}": number}


PLAIN = lines(line("packed-1"), line("packed-2"))
ROWS = "test_bad_inputs.py::test_every_record_and_every_file_meets_its_fate"
COUNTS = "test_bad_inputs.py::test_a_count_is_a_whole_number_in_digits_or_its_record_is_rejected"
CELLS = "test_bad_inputs.py::test_a_csv_count_is_digits_and_perhaps_a_point_and_zeros"


def own(number: int, content: bytes) -> bytes:
    """The two packed records under ids of the case's own, so that cases do not meet as duplicates."""
    return content.replace(b"packed-", f"{number}-".encode())


def gz(number: int) -> bytes:
    """The packed records of a case, in gzip."""
    return gzip.compress(own(number, PLAIN), mtime=0)


def zst(number: int) -> bytes:
    """The packed records of a case, in zstd with a checksum."""
    return zstandard.ZstdCompressor(write_checksum=True).compress(own(number, PLAIN))


LOG_FAULTS = (
    Fault(1, "garbage between sound lines", "The line is rejected, the others count.",
          beside(1, b"%% log rotated %%"), 2, rejected("invalid_json")),
    Fault(2, "two objects on a line, or something behind the object", "The line is rejected as a whole.",
          beside(2, line("2-a") + line("2-b"), line("2-c") + b"TRAILER"), 2, rejected("invalid_json", 2)),
    Fault(3, "a torn last line, as the log is still being written",
          "The line is rejected. When the log has grown it is read anew, the line counts, and its reject is gone.",
          lines(line("3-a")) + line("3-b")[:-9], 1, rejected("invalid_json"),
          shown_by=("test_moving_inputs.py::test_a_torn_tail_is_gone_when_its_log_has_grown",)),
    Fault(4, "no line end at the end of a JSON log", "The last record counts: it is complete JSON.",
          lines(line("4-a")) + line("4-b"), 2),
    Fault(5, "blank lines", "They are counted as blank, and are no records.",
          lines(b"", line("5-a"), b" \t ", line("5-b"), b""), 2),
    Fault(6, "CRLF line ends, or CR alone", "CRLF is read; a file with CR alone is refused.",
          lines(line("6-a"), line("6-b"), end=b"\r"), refused="cr_line_ends", shown_by=(ROWS,)),
    Fault(7, "a UTF-8 byte order mark", "It is passed over.", b"\xef\xbb\xbf" + lines(line("7-a")), 1),
    Fault(8, "UTF-16 or UTF-32", "The file is refused, and the line names the encoding.",
          lines(line("8-a")).decode().encode("utf-16"), refused="wrong_encoding", shown_by=(ROWS,)),
    Fault(9, "a byte that is not UTF-8, also in a field nobody reads", "The line is rejected.",
          beside(9, line("9-a", text="Z").replace(b"Z", b"\xe9"), line("9-Z").replace(b"Z", b"\xff")), 2,
          rejected("invalid_utf8", 2)),
    Fault(10, "NUL bytes of a log that reserves room", "The line is rejected.",
          beside(10, b"\0" * 20), 2, rejected("invalid_json")),
    Fault(11, "an escaped NUL in an id or a model", "The record is rejected.",
          beside(11, line("11-\0"), line("11-a", model="gpt\0")), 2, rejected("control_character", 2)),
    Fault(12, "half of a surrogate pair", "The line is rejected: read leniently, different ids would become one.",
          beside(12, line("12-Z").replace(b"Z", rb"\ud800"), line("12-Z").replace(b"Z", rb"\udc01")), 2,
          rejected("invalid_json", 2)),
    Fault(13, "a key twice in a field that is read", "The record is rejected, whichever of the two a reader would take.",
          beside(13, *counting(13, '1,"prompt_tokens":999')), 2, rejected("duplicate_key")),
    Fault(14, "NaN or Infinity as a count", "The record is rejected. In a field that nobody reads it is let pass.",
          beside(14, *counting(14, "NaN", "Infinity", "-Infinity"), line("14-ok", temperature=float("nan"))), 3,
          rejected("invalid_count", 3)),
    Fault(15, "a count of 1e400", "The record is rejected.", beside(15, *counting(15, "1e400")), 2,
          rejected("invalid_count")),
    Fault(16, "a count of 1e3", "The record is rejected: a count is written in digits.",
          beside(16, *counting(16, "1e3")), 2, rejected("invalid_count")),
    Fault(17, "a count of 1.0 or 1.5", "The record is rejected; nothing is rounded.",
          beside(17, *counting(17, "1.0", "1.5")), 2, rejected("invalid_count", 2)),
    Fault(18, "a count that a floating number cannot hold", "It is above the limit of 10^12; as 9007199254740993.0 it is no count.",
          beside(18, *counting(18, "9007199254740993", "9007199254740993.0")), 2,
          rejected("count_out_of_range") | rejected("invalid_count"), shown_by=(COUNTS,)),
    Fault(19, "a count of 2^63 or of 30 digits", "The record is rejected.",
          beside(19, *counting(19, "9223372036854775808", "1" * 30)), 2, rejected("count_out_of_range", 2)),
    Fault(20, "a count in quotes", "The record is rejected.", beside(20, *counting(20, '"12"')), 2,
          rejected("invalid_count")),
    Fault(21, "a count with separators, blanks or nothing in quotes", "The record is rejected.",
          beside(21, *counting(21, '"1,234"', '"1_000"', '""', '" 7 "')), 2, rejected("invalid_count", 4)),
    Fault(22, "true as a count", "The record is rejected.", beside(22, *counting(22, "true")), 2,
          rejected("invalid_count")),
    Fault(23, "null for a count", "Where the format needs the count, the record is rejected; of a detail it means 0.",
          beside(23, *counting(23, "null"), *counting(230, '1000,"prompt_tokens_details":null')), 3,
          rejected("missing_count")),
    Fault(24, "a negative count, or -0", "-0 is 0; the other is rejected.", beside(24, *counting(24, "-0", "-5")), 3,
          rejected("count_out_of_range")),
    Fault(25, "a count of 007", "The line is rejected: it is no JSON.", beside(25, *counting(25, "007")), 2,
          rejected("invalid_json")),
    Fault(26, "a number or an object as id", "The record is rejected: 1.10 and 1.1 would be one id.",
          beside(26, line("26-a", id=1.1), line("26-b", id={"a": 1})), 2, rejected("invalid_field", 2)),
    Fault(27, "an array, a number or null as a line", "The line is rejected.",
          beside(27, b"[1]", b"42", b"null"), 2, rejected("not_an_object", 3)),
    Fault(28, "pretty-printed JSON, an array, an API page", "The document is cut into its records.",
          json.dumps([chat("28-a"), chat("28-b")], indent=2).encode(), 2, file="page.json", shown_by=(ROWS,)),
    Fault(29, "a key that nobody knows", "It is ignored; columns and keys are never guessed.",
          beside(29, line("29-a", extra={"x": 1})), 3),
    Fault(30, "a key in other letters", "It is another key: what the format requires is missing.",
          beside(30, line("30-a").replace(b'"prompt_tokens"', b'"Prompt_Tokens"')), 2, rejected("missing_count")),
    Fault(31, "trailing commas, comments, single quotes", "The line is rejected.",
          beside(31, line("31-a")[:-1] + b",}", line("31-b") + b"//", line("31-c").replace(b'"', b"'")), 2,
          rejected("invalid_json", 3)),
    Fault(32, "JSON nested thousands of levels deep",
          "In a field that nobody reads it does not matter, whatever stands beside it; it must be sound JSON all the same.",
          beside(32, line("32-a")[:-1] + b',"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
                 line("32-b")[:-1] + b',"x":' + b"[" * 5000 + b"]" * 4999 + b"}"), 3, rejected("invalid_json"),
          shown_by=("test_identity.py::test_what_is_nested_too_deep_for_python_counts_alone_as_beside_others",)),
    Fault(33, "a line above 16 MiB", "It is passed over in steps and rejected; the lines beside it count.",
          beside(33, b'{"x":"' + b"y" * (16 * MIB) + b'"}'), 2, rejected("line_too_long"),
          shown_by=("test_bad_inputs.py::test_a_line_of_16_mib_is_read_and_a_longer_one_costs_only_itself",)),
    Fault(34, "line separators, emoji, right-to-left marks", "They are text. A control character in a model is not.",
          beside(34, line("34-\u2028\U0001f600"), line("34-\u202e"), line("34-a", model="gpt\u0085")), 4,
          rejected("control_character")),
    Fault(35, "a model in other letters or under another name",
          "An alias in force leads to its model; anything else is unpriced, never guessed.",
          shown_by=("test_rating.py::test_a_similar_name_is_never_a_guess",
                    "test_rating.py::test_an_alias_leads_to_the_model_of_that_instant")),
    Fault(36, "a key that first appears after thousands of lines", "It is read: no schema is inferred.",
          shown_by=("test_bad_inputs.py::test_a_mixed_file_gets_each_record_right",
                    "test_same_bytes.py::test_a_chunk_boundary_anywhere_in_a_file_changes_nothing")),
    Fault(37, "error responses", "They are excluded, with the reason: providers bill completed requests.",
          beside(37, b'{"error":{"message":"m","type":"t"}}',
                 json.dumps({"status": 429, "id": "w", "response": chat("37-b")}).encode()), 2,
          {"excluded/error_response": 1, "excluded/http_error": 1}),
)  # fmt: skip

CSV_FAULTS = (
    Fault(38, "line breaks, commas and quotes inside quotes", "They belong to their cell.",
          csv(row("38-a", notes='"a\nb, ""c"""'), row("38-b")), 2, file="log.csv"),
    Fault(39, "a quote that is never closed", "It costs its own row; what follows is read on.",
          csv(row("39-a", notes='"open'), row("39-b"), row("39-c")), 2, rejected("invalid_csv"), file="log.csv"),
    Fault(40, "a quote in the middle of a cell", "The row is rejected.",
          csv(row("40-a", notes='"a"b'), row("40-b")), 1, rejected("invalid_csv"), file="log.csv"),
    Fault(41, "a row with too few cells", "The row is rejected; nothing is padded.",
          csv(f"{NOON_TEXT},41-a,{MINI}".encode(), row("41-b")), 1, rejected("invalid_csv"), file="log.csv"),
    Fault(42, "a row with too many cells", "The row is rejected; nothing is shifted.",
          csv(row("42-a") + b",1", row("42-b")), 1, rejected("invalid_csv"), file="log.csv"),
    Fault(43, "blank rows", "They are counted as blank.", csv(row("43-a"), b"", row("43-b")), 2, file="log.csv"),
    Fault(44, "CRLF in CSV", "It is read.", csv(row("44-a"), row("44-b"), end=b"\r\n"), 2, file="log.csv"),
    Fault(45, "no header", "The file is refused; data is not taken for a header.", lines(row("45-a"), row("45-b")),
          refused="unknown_format", file="log.csv"),
    Fault(46, "a column named twice; a header in the middle", "The file is refused for the first; a second header is a rejected row.",
          csv(row("46-a"), header=CSV_HEADER + b",model"), refused="invalid_header", file="log.csv", shown_by=(ROWS,)),
    Fault(47, "columns in another order", "They are found by their names.",
          lines(b"model,output_tokens,input_tokens,request_id,occurred_at", f"{MINI},100,1000,47-a,{NOON_TEXT}".encode()),
          1, file="log.csv"),
    Fault(48, "semicolons or tabs between the cells", "The file is refused.",
          csv(row("48-a")).replace(b",", b";"), refused="unknown_format", file="log.csv"),
    Fault(49, "a torn last row, perhaps 12 of 1200", "A last row without line end is rejected, as its digits may be cut.",
          csv(row("49-a"), row("49-b"))[:-1], 1, rejected("torn_tail"), file="log.csv"),
    Fault(50, "a footer with a total", "The row is rejected: it has no time.",
          csv(row("50-a"), b"Total,,,1000,100,"), 1, rejected("missing_model"), file="log.csv"),
    Fault(51, "a count of +7, 0x10, 1e3, 1_000 or \"1,000\"", "The row is rejected. 12.0 is 12: spreadsheets write that.",
          csv(*(row(f"51-{at}", count) for at, count in enumerate(("+7", "0x10", "1e3", "1_000", '"1,000"', "12.0")))),
          1, rejected("invalid_count", 5), file="log.csv", shown_by=(CELLS,)),
    Fault(52, "Latin-1", "The row with such a byte is rejected.",
          csv(row("52-a", notes="Z").replace(b"Z", b"caf\xe9"), row("52-b")), 1, rejected("invalid_utf8"), file="log.csv"),
    Fault(53, "what a spreadsheet made of ids and times", "A time like 11/1/26 or 45962 is rejected, never guessed; an id stands as it is.",
          csv(row("1.23E+11"), row("53-b", at="11/1/26"), row("53-c", at="45962")), 1,
          rejected("invalid_timestamp", 2), file="log.csv"),
    Fault(54, "cells that begin like a formula", "They are text, and stay text.",
          csv(row("=54+1", notes="=cmd|'/c calc'!A0"), row("@54"), row("+54")), 3, file="log.csv"),
    Fault(55, "no bytes, or a header alone",
          "A file without bytes is refused; a header alone is an empty export. Where its predecessor held records, it alarms, once.",
          b"", refused="empty_file", file="log.csv",
          shown_by=("test_moving_inputs.py::test_an_empty_export_where_the_day_before_had_data_is_an_alarm_once",)),
)  # fmt: skip

FILE_FAULTS = (
    Fault(56, "a gzip file that is cut short", "The file is refused; nothing of it counts.",
          gz(56)[:-9], refused="truncated_gzip", file="log.jsonl.gz", shown_by=(ROWS,)),
    Fault(57, "a gzip file with a wrong checksum", "The file is refused.",
          gz(57)[:-8] + bytes(byte ^ 1 for byte in gz(57)[-8:-4]) + gz(57)[-4:], refused="corrupt_gzip", file="log.jsonl.gz"),
    Fault(58, "several gzip members or zstd frames in a file", "All are read.",
          gz(58) + gzip.compress(lines(line("58-c"))), 3, file="log.jsonl.gz", shown_by=(ROWS,)),
    Fault(59, "a gzip file with something behind it", "The file is refused.", gz(59) + b"trailer",
          refused="corrupt_gzip", file="log.jsonl.gz"),
    Fault(60, "a gzip file padded with zeros", "It is read.", gz(60) + b"\0" * 512, 2, file="log.jsonl.gz"),
    Fault(61, "a zstd file that is cut short", "The file is refused.", zst(61)[:-3], refused="truncated_zstd",
          file="log.jsonl.zst"),
    Fault(62, "a file cut exactly between two members",
          "Nobody can see that from the file. Its missing rest shows as a smaller day, and counts when the whole file comes.",
          gz(62), 2, file="log.jsonl.gz"),
    Fault(63, "plain content in a file called .gz, or the reverse", "What a file is, its first bytes say.",
          own(63, PLAIN), 2, file="log.jsonl.gz"),
    Fault(64, "a .gz file without bytes", "The file is refused.", b"", refused="empty_file", file="log.jsonl.gz"),
    Fault(65, "a decompression bomb",
          "Content above 1 GiB that is more than 1,000 times its file is refused, and any above --max-decompressed; it is never held whole.",
          shown_by=("test_moving_inputs.py::test_compressed_content_above_the_limit_is_refused_and_plain_content_is_not",
                    "test_catalogue.py::test_a_bomb_is_stopped_without_being_held")),
    Fault(66, "zip, xz, bzip2, 7z, Parquet", "The file is refused, with what to give instead.",
          b"PK\x03\x04" + zlib.compress(PLAIN), refused="unsupported_archive", shown_by=(ROWS,)),
    Fault(67, "a file that is truncated or rewritten while it is read",
          "It is read once more at once; if it changes again it is refused, and tried the next night.",
          shown_by=("test_moving_inputs.py::test_a_file_that_is_changed_under_the_reader_is_read_again_at_once",
                    "test_moving_inputs.py::test_a_file_that_never_stands_still_is_refused_and_tried_again_the_next_night",
                    "test_moving_inputs.py::test_a_log_that_is_rotated_away_under_the_reader_is_read_whole")),
    Fault(68, "a log that grows while it is read", "It is read up to the size it had; the rest is for the next night.",
          shown_by=("test_moving_inputs.py::test_a_log_that_grows_while_it_is_read_is_read_up_to_the_size_it_had",)),
    Fault(69, "the same content under two names, linked or packed", "It counts once, and is remembered under each name.",
          shown_by=("test_moving_inputs.py::test_a_night_that_only_remembers_publishes_the_same_rollups",
                    "test_same_bytes.py::test_a_file_exported_again_under_another_name_or_packing_changes_no_number")),
    Fault(70, "the same name with new content", "It is read; records that count already are duplicates.",
          shown_by=("test_moving_inputs.py::test_a_file_that_was_written_anew_under_its_name_keeps_the_rejects_of_the_old_content",
                    "test_identity.py::test_a_log_that_grows_counts_its_new_lines")),
    Fault(71, "exports that overlap", "Each record counts once.",
          shown_by=("test_same_bytes.py::test_exports_that_overlap_count_once_across_nights",
                    "test_same_bytes.py::test_exports_that_overlap_count_once_in_one_run")),
    Fault(72, "the same request twice, alike", "The second is a duplicate.", lines(line("72-a"), line("72-a")), 1,
          {"duplicate/same_content": 1}),
    Fault(73, "the same request twice with other tokens", "One stands, the other is set aside as a conflict with both hashes.",
          lines(line("73-a"), line("73-a", prompt=2000)), 1, {"conflict/content_differs": 1},
          shown_by=("test_identity.py::test_what_is_published_stands_and_the_other_is_kept_with_both_hashes",)),
    Fault(74, "a request without an id", "A fingerprint of the whole record identifies it; true repeats in one file all count.",
          lines(line("74", id=None), line("74", id=""), line("74", id=None)), 3,
          shown_by=("test_identity.py::test_true_repeats_stay_within_a_file_and_exports_of_them_meet",)),
    Fault(75, "quotes, line breaks, glob characters or a dash in a name", "The file is read; its name is one line wherever it is shown.",
          lines(line("75-a")), 1, file="it's [1]*?;-- \n.jsonl",
          shown_by=("test_bad_inputs.py::test_a_name_beats_a_glob_and_a_leading_dash_needs_two_dashes",)),
    Fault(76, "links, loops, FIFOs, devices, folders called .jsonl", "Links to files are followed; what could block is refused unopened.",
          shown_by=("test_bad_inputs.py::test_a_folder_gives_its_logs_and_nothing_that_could_block_or_loop",
                    "test_bad_inputs.py::test_what_is_no_file_is_refused_when_it_is_named")),
    Fault(77, "paths that lead out of the warehouse", "No name in a snapshot is made of what a log says; a manifest with such a name is refused.",
          shown_by=("test_warehouse.py::test_a_file_that_no_reader_would_find_is_refused",)),
    Fault(78, "a file that may not be read, or is gone", "It is refused by name and tried the next night; the others count.",
          shown_by=("test_bad_inputs.py::test_a_file_that_may_not_be_read_is_named_and_the_others_are_priced",
                    "test_bad_inputs.py::test_a_disk_that_fails_in_the_middle_of_a_file_costs_only_that_file",
                    "test_moving_inputs.py::test_a_file_that_vanishes_after_the_folder_was_listed_costs_only_itself")),
    Fault(79, "a name that is not UTF-8", "The file is read; such bytes are shown as \\xe9.", lines(line("79-a")), 1,
          file="caf\udce9.jsonl"),
    Fault(80, "very many small files", "Each is opened, read and closed; how many there are does not matter.",
          shown_by=("test_catalogue.py::test_many_files_are_read_with_few_open",)),
)  # fmt: skip

MEANING_FAULTS = (
    Fault(81, "more cached tokens than tokens", "The record is rejected.",
          beside(81, *counting(81, '10,"prompt_tokens_details":{"cached_tokens":11}')), 2, rejected("parts_exceed_whole")),
    Fault(82, "a total that is not the sum", "It is not looked at: cost follows from the parts.",
          beside(82, line("82-a", usage={"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 7})), 3),
    Fault(83, "a model or tier without rates", "It is published without a price, never at 0, and the run ends with 3.",
          shown_by=("test_unpriced.py::test_without_a_rate_the_cost_is_null_and_says_why",
                    "test_unpriced.py::test_an_unknown_model_is_told_once_and_again_when_there_is_more_of_it")),
    Fault(84, "no rate at that instant", "It is published without a price and says so; no row is lost in the look-up.",
          shown_by=("test_rating.py::test_the_first_price_status_that_applies_is_given",)),
    Fault(85, "two rates in force at once", "The rates are refused, naming both.",
          shown_by=("test_rate_card.py::test_overlapping_rates_are_refused_naming_both",
                    "test_rating.py::test_two_rates_in_force_at_once_are_refused_by_name_and_never_counted_twice")),
    Fault(86, "the very instant at which a price changes", "A rate applies from its first instant to just before its end.",
          shown_by=("test_rating.py::test_a_rate_applies_from_its_start_to_before_its_end",)),
    Fault(87, "a rate that is corrected afterwards", "A day keeps the version it was rated with; a price moves on purpose only.",
          shown_by=("test_rating.py::test_a_day_keeps_the_version_it_was_rated_with",
                    "test_rating.py::test_a_card_as_it_was_known_rates_as_it_did_then")),
    Fault(88, "a rate with too many decimals, negative, NaN", "It is refused, with file and line.",
          shown_by=("test_rate_card.py::test_a_field_that_cannot_be_read_exactly_is_refused_with_its_file_and_line",
                    "test_rate_card.py::test_a_rate_is_exactly_what_is_written")),
    Fault(89, "other currencies", "Every amount is in USD and says so in its name.",
          shown_by=("test_readers_agree.py::test_no_published_file_has_a_floating_column",)),
    Fault(90, "small amounts that rounding would lose", "One exact product, no division: one token costs what it costs.",
          shown_by=("test_rating.py::test_the_smallest_and_the_largest_cost_are_exact",
                    "test_rating.py::test_rating_loses_no_digit")),
    Fault(91, "sums that overflow", "They are refused instead of wrapped.",
          shown_by=("test_rating.py::test_a_sum_that_does_not_fit_64_bits_is_refused",)),
    Fault(92, "ties in rounding", "Nothing is rounded.", shown_by=("test_rating.py::test_rating_loses_no_digit",)),
    Fault(93, "NULL in sums", "A cost is NULL only where there is no price; beside the sum stands what it leaves out.",
          shown_by=("test_unpriced.py::test_a_cost_is_null_when_and_only_when_it_is_unpriced_and_0_only_where_nothing_is_charged",
                    "test_charges.py::test_what_has_no_price_is_shown_and_never_counted_as_zero")),
    Fault(94, "times with offsets, and the hour that comes twice in autumn", "An offset says which instant it is.",
          csv(row("94-a", at="2025-11-02T01:30:00-04:00"), row("94-b", at="2025-11-02T01:30:00-05:00")), 2, file="log.csv"),
    Fault(95, "a time without a zone", "The record is rejected, unless --assume-tz says which.",
          csv(row("95-a", at="2026-06-01T12:00:00"), row("95-b")), 1, rejected("naive_timestamp"), file="log.csv",
          shown_by=("test_identity.py::test_a_file_with_rejects_is_read_again_under_other_options",)),
    Fault(96, "the last tenth of a microsecond of a day", "The day is that of UTC; fractions are cut, so it stays in its day.",
          csv(row("96-a", at="2026-05-31T23:59:59.9999999Z")), 1, file="log.csv", shown_by=("test_oracle.py::test_times",)),
    Fault(97, "a leap second", "It counts as the last microsecond of its minute, in its day.",
          csv(row("97-a", at="2026-05-31T23:59:60Z")), 1, file="log.csv", shown_by=("test_oracle.py::test_times",)),
    Fault(98, "24:00:00, 30 February", "The record is rejected.",
          csv(row("98-a", at="2026-05-31T24:00:00Z"), row("98-b", at="2026-02-30T12:00:00Z"), row("98-c")), 1,
          rejected("invalid_timestamp", 2), file="log.csv"),
    Fault(99, "seconds, milliseconds or microseconds", "The format says seconds; other units give an implausible time.",
          beside(99, line("99-a", created=1_780_315_200_000), line("99-b", created=1_500_000_000)), 2,
          rejected("implausible_timestamp", 2)),
    Fault(100, "a time in the future", "More than a day after the run began is implausible; the run's instant is an argument.",
          shown_by=("test_catalogue.py::test_a_day_after_the_run_began_is_the_latest_plausible_time",)),
    Fault(101, "late records of an open day", "The day is summed anew as a whole.",
          shown_by=("test_same_bytes.py::test_exports_that_overlap_count_once_across_nights",)),
    Fault(102, "late records of a closed month", "They are booked as corrections in the first open month; what was closed stands.",
          shown_by=("test_close.py::test_a_late_record_of_a_closed_month_is_a_correction_in_the_first_open_one",
                    "test_close.py::test_nothing_is_published_that_changes_a_closed_month")),
    Fault(103, "models called `..`, `a/b` or `NULL`", "They are values: files are parted by day alone.",
          beside(103, *(line(f"103-{at}", model=name) for at, name in enumerate(("..", "a/b", "NULL", "A" * 300)))), 6,
          is_unpriced=True),
)  # fmt: skip

MACHINE_FAULTS = (
    Fault(104, "killed at any step", "The old snapshot or the new one; the next run sweeps and comes to the same.",
          shown_by=("test_faults.py::test_a_fault_at_any_call_leaves_the_old_snapshot_or_the_new_one_and_heals",
                    "test_faults.py::test_no_call_escapes_the_faults")),
    Fault(105, "interrupted or told to stop", "It stops within two seconds, publishes nothing, and ends with 128 and the signal's number.",
          shown_by=("test_cron.py::test_a_signal_stops_a_run_within_two_seconds_wherever_it_is",
                    "test_cron.py::test_a_second_signal_ends_at_once")),
    Fault(106, "stdout closed, full, no terminal, LANG=C", "No traceback, and an exit code that says what happened.",
          shown_by=("test_cron.py::test_streams_that_are_closed_or_full_do_not_change_the_exit_status",
                    "test_cron.py::test_without_home_terminal_or_path_it_runs_as_ever",
                    "test_same_bytes.py::test_neither_clock_nor_language_nor_hash_seed_changes_a_byte")),
    Fault(107, "power loss", "Everything new is on the disk before the link moves.",
          shown_by=("test_warehouse.py::test_everything_new_is_on_the_disk_before_the_link_moves",)),
    Fault(108, "a full disk", "The old snapshot stands; exit 5.",
          shown_by=("test_faults.py::test_a_fault_at_any_call_leaves_the_old_snapshot_or_the_new_one_and_heals",
                    "test_warehouse.py::test_a_full_disk_at_any_step_leaves_the_old_snapshot_and_the_next_run_heals")),
    Fault(109, "a disk that fails or does not confirm", "Nothing that was not confirmed is published.",
          shown_by=("test_warehouse.py::test_what_the_disk_does_not_confirm_is_not_published",
                    "test_warehouse.py::test_an_error_after_the_rename_of_the_link_keeps_what_is_published")),
    Fault(110, "a folder that cannot be written", "One line says which, and what to do.",
          shown_by=("test_warehouse.py::test_a_disk_error_names_the_path_and_what_to_do",)),
    Fault(111, "out of memory", "As killed; memory does not grow with a file.",
          shown_by=("test_warehouse.py::test_a_killed_run_leaves_the_old_snapshot_and_the_next_run_sweeps",)),
    Fault(112, "two runs at once", "The second ends with 4 and says who holds the lock.",
          shown_by=("test_warehouse.py::test_a_second_run_is_told_who_holds_the_lock",)),
    Fault(113, "the lock of a run that died", "The system gives it back.",
          shown_by=("test_warehouse.py::test_the_first_run_can_die_before_its_link_and_run_again",)),
    Fault(114, "a file system without hard links", "Files are copied instead.",
          shown_by=("test_warehouse.py::test_where_links_are_impossible_the_file_is_copied",)),
    Fault(115, "staging on another file system", "Snapshots are built inside the warehouse.",
          shown_by=("test_warehouse.py::test_a_discarded_snapshot_leaves_nothing",)),
    Fault(116, "a reader while a run publishes", "It keeps the snapshot it began with.",
          shown_by=("test_sql_command.py::test_a_snapshot_stays_the_same_while_the_next_is_published",)),
    Fault(117, "flipped bits, edited or missing files", "`verify` names the file; nothing is published upon a broken parent.",
          shown_by=("test_verify.py::test_a_flipped_bit_is_found", "test_verify.py::test_a_carefully_edited_price_is_found",
                    "test_warehouse.py::test_nothing_is_published_upon_a_parent_that_lost_a_file")),
    Fault(118, "a clock that was set back", "Snapshots are numbered; no order follows from a clock.",
          shown_by=("test_same_bytes.py::test_neither_clock_nor_language_nor_hash_seed_changes_a_byte",
                    "test_snapshots.py::test_a_clock_that_was_set_back_removes_nothing")),
)  # fmt: skip

CHAPTERS = {
    "JSON logs": LOG_FAULTS,
    "CSV": CSV_FAULTS,
    "Files": FILE_FAULTS,
    "Meaning, rates, time": MEANING_FAULTS,
    "Machines": MACHINE_FAULTS,
}
FAULTS = tuple(fault for chapter in CHAPTERS.values() for fault in chapter)
