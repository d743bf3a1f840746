"""Framing in small: chunks, overlong lines and their places, with the limits turned down so that edges are in view."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from etl import decompression, framing, lines
from etl.errors import InputRefused
from etl.framing import Chunk, Content, Input, refuse_unreadable_text
from etl.lines import Lines


def chunks(*blocks: bytes, offset: int = 0) -> list[Chunk]:
    return list(Content(Input("x", None)).chunks(blocks[0], iter(blocks[1:]), offset))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of eight bytes, and lines of at most eight."""
    monkeypatch.setattr(framing, "CHUNK_BYTES", 8)
    monkeypatch.setattr(framing, "LINE_BYTES_MAX", 8)


@pytest.mark.usefixtures("small")
def test_chunks_end_at_line_ends_and_know_their_lines_and_places() -> None:
    found = chunks(b"a\nbb\n", b"ccc\ndd", b"d\n\n", b"e", offset=3)
    assert found == [
        Chunk(b"a\nbb\nccc\n", first_line=1, offset=3, length=9, lines=3),
        Chunk(b"ddd\n\ne", first_line=4, offset=12, length=6, lines=3),
    ]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_of_the_longest_length_is_kept_and_a_longer_one_is_measured(end: bytes) -> None:
    [kept, *_] = chunks(b"", b"12345678", end, b"z\n")
    assert not kept.is_overlong
    long = b"1234567890"
    found = chunks(b"", long, end, *([b"z\n"] if end else []))
    digest = hashlib.sha256(long).hexdigest()
    assert found[0] == Chunk(b"", 1, 0, len(long + end), 1, True, len(long), digest)
    assert found[1:] == ([Chunk(b"z\n", 2, len(long + end), 2, 1)] if end else [])


@pytest.mark.usefixtures("small")
def test_a_carriage_return_between_two_blocks_belongs_to_the_line_end_or_to_the_line() -> None:
    [long] = chunks(b"", b"1234567890\r", b"\n")
    assert (long.content_length, long.length, long.lines) == (10, 12, 1)
    [long, rest] = chunks(b"", b"1234567890\r", b"x\nz")
    assert (long.content_length, long.sha256) == (12, hashlib.sha256(b"1234567890\rx").hexdigest())
    assert rest == Chunk(b"z", 2, 13, 1)
    [long] = chunks(b"", b"1234567890\r")
    assert (long.content_length, long.length) == (10, 11)


def test_a_nul_line_end_count_crosses_the_processors_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "_BYTES_IN_CACHE", 4)
    [chunk] = chunks(b"a\n\nb\nc\n\n\n\nd")
    assert (chunk.lines, len(Lines(chunk))) == (8, 8)


def read(path: Path) -> Content:
    content = Content(Input("x", path))
    assert b"".join(content.blocks()) == path.read_bytes()
    return content


@pytest.mark.parametrize(
    ("within", "blocks"),
    [
        (5, [b"ab\ncdef\n", b"ghij\nkl\n", b"mnopq\nrst"]),  # the last line end of each nine bytes
        (1, [b"ab\ncdef\ng", b"hij\nkl\nmn", b"opq\nrst"]),  # no line ends in the last of each nine
    ],
)
def test_a_file_is_read_up_to_a_line_end_where_one_is_near(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, within: int, blocks: list[bytes]
) -> None:
    data = b"ab\ncdef\nghij\nkl\nmnopq\nrst"
    (tmp_path / "log").write_bytes(data)
    monkeypatch.setattr(decompression, "BLOCK_BYTES", 9)
    monkeypatch.setattr(framing, "CUT_FROM_BYTES", 9)
    monkeypatch.setattr(framing, "CUT_WITHIN_BYTES", within)
    with (tmp_path / "log").open("rb", buffering=0) as file:
        counted = framing._Counted(file, Content(Input("x", None)), len(data))
        assert [*iter(lambda: counted.read(9), b"")] == blocks


def test_chunks_that_end_with_a_line_are_the_blocks_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "CHUNK_BYTES", 8)
    block = b"12345678\n"
    found = list(Content(Input("x", None)).chunks(b"", iter([block, b"9\n"])))
    assert found[0].data is not block  # the head before it is joined with it, even where it is empty
    again = list(Content(Input("x", None)).chunks(block, iter([block, block])))
    assert [chunk.data for chunk in again] == [block * 2, block]
    assert again[1].data is block


def test_what_was_read_is_hashed_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    content = read(tmp_path / "a")
    assert (content.stored_bytes, content.content_bytes) == (3, 3)
    assert content.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert content.status is not None and content.status.st_size == 3


def refusal(path: Path) -> tuple[str, str]:
    with pytest.raises(InputRefused) as caught:
        list(Content(Input("x", path)).blocks())
    return caught.value.code, caught.value.text


def test_what_is_no_file_is_refused_and_left_closed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    before = os.listdir("/dev/fd")
    assert refusal(tmp_path / "fifo")[0] == "not_a_file"
    assert refusal(tmp_path)[0] == "not_a_file"
    assert refusal(tmp_path / "gone")[0] in ("unreadable", "not_a_file")
    assert len(os.listdir("/dev/fd")) == len(before)


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"", "empty_file"),
        (b"\xff\xfea\x00", "wrong_encoding"),
        (b"\xfe\xff\x00a", "wrong_encoding"),
        (b"\x00\x00\xfe\xff", "wrong_encoding"),
        (b"a\x00", "wrong_encoding"),
        (b"abc\x00\x00", "wrong_encoding"),
        (b"\x89PNG\x01\xff\xff", "not_text"),
        (b"a\rb\rc", "cr_line_ends"),
    ],
)
def test_what_is_no_text_is_refused(head: bytes, code: str) -> None:
    with pytest.raises(InputRefused) as caught:
        refuse_unreadable_text(head)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "head",
    [
        b"a",
        b"abcde\x00",  # a third would be too many
        b"a\x00b",  # exactly a third is not
        b"a\rb",
        b"a\rb\r\n",
        b'{"a":"\x01\xff"}',
        b" [\x01\xff",
        b"a\tb\r\n\n",
        b"\x01 caf\xc3\xa9",
        b"\x01 cut in a character \xe2\x82",
        b"\xff without control characters",
    ],
)
def test_what_may_be_text_is_read(head: bytes) -> None:
    refuse_unreadable_text(head)


def test_only_the_first_8_kib_are_looked_at() -> None:
    refuse_unreadable_text(b"a" * 8192 + bytes(8192))
    with pytest.raises(InputRefused, match="UTF-16"):
        refuse_unreadable_text(b"a" * 5000 + bytes(3192))


def test_a_name_that_is_no_utf8_can_be_shown() -> None:
    assert framing.readable(os.fsdecode(b"caf\xe9 \xc3\xa9")) == "caf\\xe9 é"


def test_a_bomb_is_refused_above_a_size_and_a_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "RATIO_APPLIES_ABOVE_BYTES", 5000)
    content = Content(Input("x", None), stored_bytes=5)
    for size, is_bomb in ((5000, False), (5001, True), (4999, False)):
        content.content_bytes = size
        if is_bomb:
            with pytest.raises(InputRefused, match="more than 1000 times"):
                framing._refuse_bomb(content)
        else:
            framing._refuse_bomb(content)
    content.stored_bytes, content.content_bytes = 6, 6000
    framing._refuse_bomb(content)
    content.stored_bytes, content.content_bytes = 0, 5001
    with pytest.raises(InputRefused):
        framing._refuse_bomb(content)


def spelled() -> Iterator[bytes]:
    for before in (b"", b"x", b"xy"):
        for space in (b"", b" ", b"\t", b"\r", b"  \t\r"):
            yield from (before + b"," + space + bracket + after for bracket in (b"}", b"]") for after in (b"", b"y"))


@pytest.mark.parametrize("data", list(spelled()))
def test_a_comma_before_a_bracket_is_found(data: bytes) -> None:
    assert lines.has_trailing_comma(data)
    assert lines.trailing_commas([data]).tolist() == [True]
    assert lines.trailing_commas([b'"' + data + b'"']).tolist() == [False]


@pytest.mark.parametrize(
    "data", [b",", b"}", b",,", b", x}", b"},", b",\n}", b",\x0b}", b"\x0c,", b"=]", b"-}", b",\x01"]
)
def test_no_other_comma_is_found(data: bytes) -> None:
    assert not lines.has_trailing_comma(data)
    assert lines.trailing_commas([data, b""]).tolist() == [False, False]


def test_a_comma_is_found_in_any_stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_BYTES_IN_CACHE", 3)
    for at in range(12):
        assert lines.has_trailing_comma(b"x" * at + b",}" + b"x" * (12 - at))


def test_an_escaped_quote_does_not_end_a_string() -> None:
    assert lines.trailing_commas([rb'{"a":"\",}"}', rb'{"a":"\\",}']).tolist() == [False, True]


def test_a_stretch_of_half_the_limit_without_a_line_end_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LINE_BYTES_MAX", 8)
    cases = {b"xxxx": False, b"xxxxx": True, b"xxx\nxxxx\n": True, b"xxx\nx": False, b"\nxxxx": False}
    assert {data: lines.may_hold_overlong_line(data) for data in cases} == cases


def test_edges_tell_blank_lines_and_what_is_no_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LINE_BYTES_MAX", 6)
    cases = {  # line -> whether it is blank, whether it is odd
        b"": (True, False),
        b"\r": (True, False),
        b" \t": (True, False),
        b"{}": (False, False),
        b"{}\r": (False, False),
        b" {}\t": (False, False),
        b"{": (False, True),
        b"{\r": (False, True),
        b"}": (False, True),
        b"[1]": (False, True),
        b"{'a'}": (False, False),
        b"{'a'}   ": (False, False),
        b"{'ab'}": (False, True),
        b"{}x": (False, True),
    }
    for ending in (b"", b"\n"):
        data = b"\n".join(cases) + ending
        is_blank, is_odd = lines.look_at_edges(Lines(Chunk(data, 1, 0, len(data), len(cases))))
        assert list(zip(is_blank.tolist(), is_odd.tolist(), strict=True)) == list(cases.values())


def test_lines_have_their_bytes_and_places_and_can_be_blanked_out() -> None:
    chunk = Chunk(b"a\r\nbb\n\nccc", first_line=5, offset=100, length=10, lines=4)
    found = Lines(chunk)
    assert [found.content(index) for index in range(len(found))] == [b"a", b"bb", b"", b"ccc"]
    digest = hashlib.sha256(b"ccc").hexdigest()
    assert list(found.places([8, 6])) == [(107, 3, digest), (103, 2, hashlib.sha256(b"bb").hexdigest())]
    blank = found.stretches(np.array([0, 3]))
    assert lines.blanked(chunk.data, blank, 0, 10) == b"  \nbb\n\n   "
    assert lines.blanked(chunk.data, found.stretches(np.array([], np.int64)), 0, 10) is chunk.data


def test_however_a_reader_cuts_it_what_is_blank_is_blank() -> None:
    data, stretches, seen = b"0123456789", [(0, 2), (4, 4), (5, 7), (7, 9)], b"  234    9"
    cuts = [(start, end) for start in range(11) for end in range(start, 11)]
    assert [lines.blanked(data, stretches, *cut) for cut in cuts] == [seen[start:end] for start, end in cuts]


# ------------------------------------------------------------------------------------------------- a file as it is read


def test_the_limits_are_those_that_are_promised() -> None:
    assert (framing.CHUNK_BYTES, framing.LINE_BYTES_MAX) == (30 * 1024 * 1024, 16 * 1024 * 1024)
    assert (framing.RATIO_MAX, framing.RATIO_APPLIES_ABOVE_BYTES) == (1000, 1024 * 1024 * 1024)


@pytest.mark.usefixtures("small")
def test_a_chunk_ends_as_soon_as_it_is_full() -> None:
    assert [chunk.data for chunk in chunks(b"", b"aaaa\nbb\n", b"c\n")] == [b"aaaa\nbb\n", b"c\n"]
    # A full chunk that ends in the middle of a line is cut at its last line end, in whichever block that is.
    found = list(Content(Input("x", None)).chunks(b"\nabcdef", iter([b"gh"])))
    assert found == [Chunk(b"\n", 1, 0, 1, 1), Chunk(b"abcdefgh", 2, 1, 8, 1)]
    assert (found[0].content_length, found[0].sha256) == (0, None)


@pytest.mark.usefixtures("small")
def test_a_longest_line_whose_line_end_is_cut_in_half_is_not_overlong() -> None:
    assert chunks(b"", b"12345678\r", b"\n") == [Chunk(b"12345678\r\n", 1, 0, 10, 1)]


EIGHTY_THOUSAND = b"".join(b"%07d\n" % number for number in range(10_000))


class WhileRead:
    """A file of 80,000 bytes of which 65,536 have been read, and its clock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(EIGHTY_THOUSAND)
        self._clock = path.stat().st_mtime_ns
        self.content = Content(Input("x", path))
        self._blocks = self.content.blocks()
        self.read = next(self._blocks)
        assert len(self.read) == 65_536

    def change(self, at: int, data: bytes) -> None:
        """Write some bytes at a place, a second later."""
        with self.path.open("r+b") as file:
            file.seek(at)
            file.write(data)
        self.touch()

    def touch(self) -> None:
        self._clock += 1_000_000_000
        os.utime(self.path, ns=(self._clock, self._clock))

    def rest(self) -> bytes:
        return b"".join(self._blocks)

    def refusal(self) -> str:
        with pytest.raises(InputRefused) as caught:
            self.rest()
        assert (caught.value.code, self.content.sha256) == ("changed_while_read", "")
        return caught.value.text.split()[0]


@pytest.fixture
def half_read(tmp_path: Path) -> WhileRead:
    return WhileRead(tmp_path / "log")


def test_a_file_that_grows_is_read_up_to_its_old_size(half_read: WhileRead) -> None:
    half_read.change(80_000, b"more\n")
    assert half_read.read + half_read.rest() == EIGHTY_THOUSAND
    assert half_read.content.sha256 == hashlib.sha256(EIGHTY_THOUSAND).hexdigest()


def test_a_file_that_shrinks_is_refused(half_read: WhileRead) -> None:
    os.truncate(half_read.path, 79_999)
    assert half_read.refusal() == "truncated"


def test_a_file_that_shrinks_behind_the_last_read_is_refused(half_read: WhileRead) -> None:
    assert len(next(half_read._blocks)) == 80_000 - 65_536
    os.truncate(half_read.path, 79_999)
    assert half_read.refusal() == "truncated"


def test_a_read_that_ends_before_the_file_does_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was short for a moment, and is long again."""
    monkeypatch.setattr(framing, "decompressed", lambda head, _: iter([head]))
    assert WhileRead(tmp_path / "log").refusal() == "truncated"


def test_a_file_rewritten_in_its_size_is_refused(half_read: WhileRead) -> None:
    half_read.touch()
    assert half_read.refusal() == "rewritten"


@pytest.mark.parametrize("at", [0, 4095, 80_000 - 4096, 79_999])
def test_a_file_that_grows_and_is_changed_at_its_edges_is_refused(half_read: WhileRead, at: int) -> None:
    next(half_read._blocks)
    half_read.change(at, b"!")
    half_read.change(80_000, b"more\n")
    assert half_read.refusal() == "rewritten"


@pytest.mark.parametrize("at", [4096, 80_000 - 4097])
def test_a_file_that_grows_is_looked_at_in_its_edges_alone(half_read: WhileRead, at: int) -> None:
    next(half_read._blocks)
    half_read.change(at, b"!")
    half_read.change(80_000, b"more\n")
    assert half_read.rest() == b""


@pytest.mark.parametrize(
    ("code", "is_changed", "told"),
    [
        ("corrupt_gzip", False, "corrupt_gzip"),
        ("corrupt_gzip", True, "changed_while_read"),
        ("unreadable", True, "unreadable"),
    ],
)
def test_what_looks_damaged_in_a_file_that_changes_is_the_change(
    half_read: WhileRead, monkeypatch: pytest.MonkeyPatch, code: str, is_changed: bool, told: str
) -> None:
    def damaged(head: bytes, _: object) -> Iterator[bytes]:
        yield head[:1]
        if is_changed:
            half_read.touch()
        raise InputRefused(code, "a test")

    monkeypatch.setattr(framing, "decompressed", damaged)
    assert refusal(half_read.path)[0] == told


def test_a_damaged_file_that_was_read_to_its_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"abc")[:-1])
    assert refusal(tmp_path / "a.gz")[0] == "truncated_gzip"


def test_a_disk_that_cannot_be_read_is_said() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(InputRefused, match="Input/output error") as caught:
        framing._Counted(Broken(), Content(Input("x", None)), None).read(4)
    assert caught.value.code == "unreadable"


def test_no_more_is_read_than_asked_for_or_than_the_file_had() -> None:
    content = Content(Input("x", None))
    counted = framing._Counted(io.BytesIO(b"abcdefgh"), content, 5)
    assert [counted.read(2), counted.read(0), counted.read(), counted.read()] == [b"ab", b"", b"cde", b""]
    assert content.stored_bytes == 5
    assert framing._Counted(io.BytesIO(b"abcdefgh"), Content(Input("x", None)), None).read() == b"abcdefgh"


def test_standard_input_is_read_as_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").write_bytes(b"abc")
    content = Content(Input("-", None))
    with (tmp_path / "in").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert list(content.blocks()) == [b"abc"]
    assert (content.status, content.stored_bytes) == (None, 3)


def test_what_stands_before_each_mark_is_hashed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mark at 11 is behind the end: the file became shorter since."""
    data = b"0123456789"
    (tmp_path / "log").write_bytes(data)
    monkeypatch.setattr(framing, "decompressed", lambda *_: iter([data[:5], data[5:]]))
    content = Content(Input("x", tmp_path / "log", frozenset({3, 5, 7, 8, 10, 11})))
    assert b"".join(content.blocks()) == data
    assert content.prefixes == {at: hashlib.sha256(data[:at]).hexdigest() for at in (3, 5, 7, 8, 10)}
    assert content.sha256 == hashlib.sha256(data).hexdigest()


def test_compressed_content_has_a_largest_size(tmp_path: Path) -> None:
    content = Content(Input("x", None), content_bytes_max=10)
    for stored, largest in ((0, 10), (10, 10), (20, 20)):
        content.stored_bytes, content.content_bytes = stored, largest
        framing._refuse_bomb(content)
        content.content_bytes = largest + 1
        with pytest.raises(InputRefused, match="more than 10 bytes"):
            framing._refuse_bomb(content)
    (tmp_path / "zeros.gz").write_bytes(gzip.compress(bytes(1000)))
    with pytest.raises(InputRefused) as caught:
        list(Content(Input("x", tmp_path / "zeros.gz"), content_bytes_max=999).blocks())
    assert caught.value.code == "decompression_bomb"


def test_the_ratio_counts_above_its_size_and_of_one_byte_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "RATIO_APPLIES_ABOVE_BYTES", 1500)
    content = Content(Input("x", None), content_bytes=1500)
    framing._refuse_bomb(content)
    content.content_bytes = 1501
    with pytest.raises(InputRefused):
        framing._refuse_bomb(content)


@pytest.mark.parametrize(
    ("bom", "encoding"),
    [
        (b"\xff\xfe\x00\x00", "is UTF-32;"),
        (b"\x00\x00\xfe\xff", "is UTF-32;"),
        (b"\xff\xfea\x00", "is UTF-16;"),
        (b"\xfe\xff\x00a", "is UTF-16;"),
    ],
)
def test_the_encoding_is_named(bom: bytes, encoding: str) -> None:
    with pytest.raises(InputRefused, match=encoding):
        refuse_unreadable_text(bom)


def test_a_line_end_behind_the_first_8_kib_is_not_seen() -> None:
    refuse_unreadable_text(b"a\r\r" + b"a" * 8188 + b"\n")
    with pytest.raises(InputRefused, match="CR alone"):
        refuse_unreadable_text(b"a\r\r" + b"a" * 8189 + b"\n")


@pytest.mark.parametrize("control", [b"\t", b"\n", b"\r\n"])
def test_tabs_and_line_ends_do_not_make_a_text_binary(control: bytes) -> None:
    refuse_unreadable_text(b"caf\xe9" + control + b"b")


@pytest.mark.parametrize("head", [b"\x01 \xff", b"\x01 \xe2(", b"\x01 \xe2\x82 cut in the middle"])
def test_only_a_character_that_the_end_cuts_may_be_incomplete(head: bytes) -> None:
    with pytest.raises(InputRefused, match="binary"):
        refuse_unreadable_text(head)
