"""CSV: each row that is a row has the fate, reason and usage that the oracle says; every other costs itself only.

The oracle reads well-formed CSV. What is not is told apart here by a plain rule: a row whose quotes are not where they
belong, or of another width than the header, is `invalid_csv`.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from random import Random

from fuzz.against_oracle import Told, require_agreement, told_by_package
from fuzz.target import BYTES, NUMBERS, TEXTS, Target, damage_bytes, damaged_files, sample_files, scratch, words_of

FIELD = rb'(?:[^",\r\n\x00]*|"(?:[^"\x00]|"")*")'
ROW = re.compile(rb"%(f)s(?:,%(f)s)*\r?\n" % {b"f": FIELD})
BLANK = re.compile(rb"[ \t]*\r?\n")
HEADERS = (
    b"occurred_at,model,provider,request_id,account_id,project_id,tier,input_uncached_tokens,input_cached_tokens,"
    b"output_tokens,web_search_calls,cost_center",
    b"occurred_at,model,tier,input_tokens,input_cached_tokens,output_tokens,cost_center",
    b"start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,model,batch,"
    b"service_tier,input_tokens,output_tokens,input_cached_tokens,input_uncached_tokens,input_audio_tokens",
)


def check(data: bytes) -> None:
    """Read the rows below one of the headers: the first byte says which."""
    header, body = HEADERS[data[0] % len(HEADERS)] if data else HEADERS[0], data[1:]
    width = header.count(b",") + 1
    content = header + b"\n" + body
    if (rows := well_formed(body)) is not None and all(len(row) in (0, width) for row in rows):
        require_agreement("fuzz.csv", content)
        return
    (path := scratch() / "fuzz.csv").write_bytes(content)
    require_every_line(told_by_package(path), content)


def well_formed(body: bytes) -> list[list[str]] | None:
    """The rows, blank ones as empty; None where some quote is not where it belongs, or the last row has no end."""
    rows, at = [], 0
    try:
        body.decode()
    except UnicodeDecodeError:
        return None
    while at < len(body):
        if blank := BLANK.match(body, at):
            rows.append([])
            at = blank.end()
        elif row := ROW.match(body, at):
            rows.append(next(csv.reader(io.StringIO(row[0].decode(), newline=""), strict=True)))
            at = row.end()
        else:
            return None
    return rows


def require_every_line(told: Counter[Told], content: bytes) -> None:
    """Each line that is not blank is a record's first, or within quotes that an earlier one opened."""
    lines = content.split(b"\n")
    begun = {record[2] for record in told if record[0] in ("accepted", "rejected")}
    records = sum(count for record, count in told.items() if record[0] != "refused")
    filled = [number for number, line in enumerate(lines, start=1) if line.strip() and number > 1]
    assert begun <= set(filled)
    assert records <= len(filled)
    if not any(b'"' in line for line in lines):
        assert records == len(filled) or ("refused",) in {record[:1] for record in told}


def change_rows(data: bytes, r: Random) -> bytes:
    """Other rows: cells changed, quoted, added or taken out; rows repeated, joined or ended in another way."""
    head, rows = data[:1] or b"\0", data[1:].split(b"\n")
    for _ in range(r.choice((1, 3, 10))):
        at, kind = r.randrange(len(rows)), r.randrange(12)
        cells = rows[at].split(b",")
        cell = r.randrange(len(cells))
        if kind == 0:
            rows.insert(at, r.choice(rows))
        elif kind == 1:
            rows[at] += r.choice((b"\r", b" ", b"\n", b",", b'"', b"\n\n", b'\n"'))
        elif kind == 2:
            rows[at] = damage_bytes(rows[at], r, BYTES)
        elif kind == 3:
            cells[cell : cell + 1] = r.choice(([], [b"", b""]))
            rows[at] = b",".join(cells)
        elif kind == 4:
            cells[cell] = b'"' + cells[cell].replace(b'"', b'""') + r.choice((b"", b"\n", b",", b"\r\n", b'""')) + b'"'
            rows[at] = b",".join(cells)
        else:
            cells[cell] = r.choice(r.choice((NUMBERS, TEXTS))).encode("utf-8", "surrogatepass")
            rows[at] = b",".join(cells)
    return head + b"\n".join(rows)


def seeds() -> Iterator[bytes]:
    """Damaged rows below the header that is theirs, or nearly; and a few by hand."""
    for content in (*sample_files("*.csv"), *damaged_files(".csv")):
        header, _, body = content.partition(b"\n")
        number = 2 if b"start_time" in header else 1 if b"input_tokens" in header else 0
        yield bytes([number]) + body
    plain = b"2025-11-21T01:00:00Z,gpt-4o-mini-2024-07-18,openai,req-1,acme,p1,standard,128,1920,310,2,x"
    yield b"\0" + b"\n".join((plain, b"", plain.replace(b"req-1", b'"req,2"'), plain.replace(b"x", b'"a\nb"'), b""))
    usage = b"1763683200,1763769600,2025-11-21T00:00:00Z,2025-11-22T00:00:00Z,p1,3,,,gpt-4o-mini,false,,100,10,40,60,0"
    yield b"\2" + usage + b"\r\n" + b"1763683200,1763769600,a,b" + b"," * 12 + b"\n"


TARGET = Target(check, seeds, change_rows, words_of(*NUMBERS, *TEXTS))
