"""From the bill to the invoice and to the signed close: every step adds up, and the evidence is kept and cited.

November is two days of gpt-4.1 (2 USD per million in, batch 1): on the 21st 1,000,000 tokens, 2.00 USD; on the 30th a
batch of 1,000,000 tokens, 1.00 USD. The bill has the first in full, and of the batch one half: the rest ends after
midnight.
"""

from __future__ import annotations

import csv
import json
import re
import shlex
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.nights import CHECKOUT, Ran, costroll
from tests.test_reconcile import NEW_HEADER, chat, csv_row, in_batch

MODEL = "gpt-4.1-2025-04-14"
BATCH = f"batch api | {MODEL}, input"
INVOICE = "number,period,net,tax,credit_applied,currency\n"
CREDITS = "day,kind,amount,currency\n"


class Books:
    """A warehouse with November in it, and the files that finance has."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.warehouse = folder, folder / "warehouse"
        records = [
            chat(1, "2025-11-21", MODEL, 1_000_000, 0, 0),
            in_batch(chat(2, "2025-11-30", MODEL, 1_000_000, 0, 0)),
        ]
        self.run("november.jsonl", records)

    def __call__(self, *arguments: Path | str) -> Ran:
        return costroll("--warehouse", self.warehouse, *arguments)

    def run(self, name: str, records: list[dict[str, Any]]) -> None:
        log = self.file(name, "".join(json.dumps(record) + "\n" for record in records))
        assert self("run", log).code == 0

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def november(self) -> Path:
        rows = [csv_row(NEW_HEADER, f"2025-11-{day:02d}", "") for day in range(1, 31) if day not in (21, 30)]
        rows.append(csv_row(NEW_HEADER, "2025-11-21", "2.00", f"{MODEL}, input", quantity="1000000.0"))
        rows.append(csv_row(NEW_HEADER, "2025-11-30", "0.50", BATCH, quantity="500000.0"))
        return self.file("cost_2025-11-01_2025-12-01.csv", "".join(f"{row}\n" for row in [NEW_HEADER, *rows]))

    def december(self) -> Path:
        row = csv_row(NEW_HEADER, "2025-12-01", "0.50", BATCH, quantity="500000.0")
        return self.file("cost_2025-12.csv", f"{NEW_HEADER}\n{row}\n")


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(tmp_path)


def test_the_bridge_leads_from_usage_to_what_is_due(books: Books) -> None:
    """3.00 ours, less 0.50 that is billed later, is 2.50; net 2.50, tax 0.475 and credit 1.00 make 1.975 due."""
    invoices = books.file("invoices.csv", INVOICE + "INV-1,2025-11,2.50,0.475,1.00,USD\n")
    ran = books("--json", "reconcile", books.november(), "--invoices", invoices)

    assert ran.code == 7  # half a dollar is more than a cent, whatever its name is
    steps = [(one["step"], Decimal(one["amount_usd"])) for one in ran.said["bridge"]]
    assert steps == [
        ("ours, as rated", Decimal("3.00")),
        ("day_boundary", Decimal("-0.50")),
        ("the provider's cost", Decimal("2.50")),
        ("invoices, net", Decimal("2.50")),
        ("tax", Decimal("0.475")),
        ("credit applied", Decimal("-1.00")),
        ("due", Decimal("1.975")),
    ]
    assert books("reconcile", books.november(), "--invoices", invoices, "--accept", "day_boundary").code == 0


@pytest.mark.parametrize(
    ("net", "step", "code"),
    # Two invoices of 2.50 together may be rounded by half a cent each.
    [("1.51", "rounding of the invoice", 0), ("1.52", "invoice differs from cost", 7)],
)
def test_an_invoice_that_is_not_the_bill_is_named(books: Books, net: str, step: str, code: int) -> None:
    invoices = books.file("invoices.csv", INVOICE + f"INV-1,2025-11,1,,,usd\nINV-2,2025-11,{net},,,usd\n")
    ran = books("--json", "reconcile", books.november(), "--invoices", invoices, "--accept", "day_boundary")

    assert ran.code == code
    [found] = [one for one in ran.said["bridge"] if "invoice " in one["step"] or "the invoice" in one["step"]]
    assert (found["step"], Decimal(found["amount_usd"])) == (step, Decimal(net) + 1 - Decimal("2.50"))


def test_every_verdict_minds_the_invoice(books: Books) -> None:
    """2.50 is billed and 9.99 invoiced: 7.49 has no reason, whoever asks."""
    invoices = books.file("invoices.csv", INVOICE + "INV-1,2025-11,9.99,0,0,USD\n")
    given = ("reconcile", books.november(), "--invoices", invoices, "--accept", "day_boundary")
    summary, whole, json = books(*given, "--summary"), books(*given), books("--json", *given)

    assert (summary.code, whole.code, json.code) == (7, 7, 7)
    assert summary.out.startswith("does not reconcile: ")
    for ran in (summary, whole):
        assert "within the tolerance of 0.01, but the invoices leave 7.49 USD unexplained" in ran.out
    assert (json.said["is_reconciled"], json.said["holds"]) == (False, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("INV-1,2025-10,1,,,USD\n", "the invoices are for 2025-10-01 to 2025-10-31 and the bill for 2025-11-01 to"),
        ("INV-1,2025-11,1,,,EUR\n", "invoices.csv:2: the currency is 'EUR'"),
        ("INV-1,2025-11,1,,,USD\nINV-1,2025-11,1,,,USD\n", "invoices.csv:3: invoice 'INV-1' has no number, or stands"),
        ("INV-1,November,1,,,USD\n", "period 'November' is no month such as 2025-11"),
    ],
)
def test_invoices_that_do_not_fit_are_refused(books: Books, text: str, message: str) -> None:
    ran = books("reconcile", books.november(), "--invoices", books.file("invoices.csv", INVOICE + text))

    assert ran.code == 2 and message in ran.err


def test_credits_roll_forward_to_their_closing_balance(books: Books) -> None:
    """10 + 5 + 2 - 1 - 3 = 13; at 12.50 half a dollar is missing."""
    rows = ["2025-11-01,opening,10,USD", "2025-11-02,purchase,5,USD", "2025-11-03,grant,2,USD"]
    rows += ["2025-11-30,usage,1,USD", "2025-11-30,expiry,3,USD", "2025-11-30,closing,{},USD"]
    text = CREDITS + "".join(f"{row}\n" for row in rows)

    def ran(closing: str) -> Ran:
        file = books.file("credits.csv", text.format(closing))
        return books("--json", "reconcile", books.november(), "--credits", file, "--accept", "day_boundary")

    right, wrong = ran("13"), ran("12.50")
    assert right.code == 0 and [Decimal(one["amount_usd"]) for one in right.said["credits"]] == [10, 5, 2, -1, -3, 13]
    assert wrong.code == 7 and wrong.said["credits"][-2]["step"] == "does not close"
    assert Decimal(wrong.said["credits"][-2]["amount_usd"]) == Decimal("-0.50")
    assert wrong.said["is_reconciled"] is False


def test_credits_and_invoices_must_say_the_same(books: Books) -> None:
    invoices = books.file("invoices.csv", INVOICE + "INV-1,2025-11,2.50,0,1.00,USD\n")
    balances = CREDITS + "2025-11-01,opening,5,USD\n2025-11-30,usage,2,USD\n2025-11-30,closing,3,USD\n"
    credit_file = books.file("credits.csv", balances)
    ran = books("reconcile", books.november(), "--invoices", invoices, "--credits", credit_file)

    assert ran.code == 2 and "usage of 2 is not the 1.00 that the invoices have as credit applied" in ran.err


def test_a_timing_item_is_carried_to_the_next_month(books: Books) -> None:
    books("reconcile", books.november(), "--out", books.folder / "november")
    explanations = books.folder / "november" / "explanations.csv"
    [item] = csv.DictReader(explanations.read_text().splitlines())
    assert (item["class"], item["quantity"]) == ("day_boundary", "500000")

    without, carried = (
        books("--json", "reconcile", books.december(), *options).said["findings"]
        for options in ((), ("--explanations", explanations))
    )
    assert [one["class"] for one in without] == ["late_or_lost"]
    assert [(one["class"], Decimal(one["amount_usd"])) for one in carried] == [("day_boundary", Decimal("-0.50"))]
    assert "carried over from 2025-11-30 (explanations.csv)" in carried[0]["evidence"]


def test_the_close_cites_what_was_kept_with_who_prepared_and_who_reviewed_it(books: Books) -> None:
    options = ["--accept", "day_boundary", "--keep", "--preparer", "P. Repair", "--reviewer", "R. View"]
    kept = books("reconcile", books.november(), *options)
    assert kept.code == 0 and kept.out.splitlines()[-1].startswith("published snapshot 00000002")

    closed = books("--json", "close", "2025-11")
    assert closed.code == 0
    [evidence] = closed.said["reconciliations"]
    assert (evidence["preparer"], evidence["reviewer"], evidence["snapshot"]) == ("P. Repair", "R. View", 1)
    assert len(evidence["statements"][0]["sha256"]) == 64 and evidence["classes"] == {"day_boundary": "0.500000000000"}
    assert closed.said["reconciliation"].startswith("openai reconciled: difference 0.5 USD, unexplained 0 USD, against")
    assert closed.said["reconciliation"].endswith("snapshot 1, prepared by P. Repair, reviewed by R. View")
    # The bill's lines are kept, to the last digit, and can be asked for.
    kept_lines = books("--json", "sql", "select day, line_item, quantity, amount_usd from statements order by day").said
    assert [(line["day"], line["quantity"], line["amount_usd"]) for line in kept_lines] == [
        ("2025-11-21", "1000000.0", "2.00"),
        ("2025-11-30", "500000.0", "0.50"),
    ]
    # It stays with the warehouse, and the warehouse stays sound.
    assert "reconciled" in books("close", "--list").out and books("verify").code == 0


def test_evidence_of_days_that_changed_since_is_no_evidence(books: Books) -> None:
    books("reconcile", books.november(), "--keep")
    books.run("late.jsonl", [chat(9, "2025-11-22", MODEL, 1_000, 0, 0)])

    assert books("--json", "close", "2025-11").said["reconciliation"] == "unreconciled"


def test_evidence_that_covers_a_part_of_the_month_closes_nothing(books: Books) -> None:
    row = csv_row(NEW_HEADER, "2025-11-21", "2.00", f"{MODEL}, input", quantity="1000000.0")
    books("reconcile", books.file("cost.csv", f"{NEW_HEADER}\n{row}\n"), "--keep")

    assert books("--json", "close", "2025-11", "--dry-run").said["reconciliation"] == "unreconciled"


def test_what_did_not_reconcile_is_cited_as_that(books: Books) -> None:
    assert books("reconcile", books.november(), "--keep").code == 7

    said = books("--json", "close", "2025-11", "--dry-run").said["reconciliation"]
    assert said.startswith("openai does not reconcile: difference 0.5 USD")
    assert said.endswith("prepared by nobody named, not reviewed")


def test_evidence_of_one_account_says_that_it_is_of_one_account(tmp_path: Path) -> None:
    books = Books(tmp_path)
    more = books.file("more.jsonl", json.dumps(chat(7, "2025-11-21", MODEL, 1_000_000, 0, 0)) + "\n")
    assert books("run", more, "--account", "acme").code == 0
    books("reconcile", books.november(), "--account", "acme", "--keep")

    said = books("--json", "close", "2025-11", "--dry-run").said["reconciliation"]
    assert said.startswith("openai, account acme only, does not reconcile")


def test_nobody_reviews_their_own_work(books: Books) -> None:
    ran = books("reconcile", books.november(), "--keep", "--preparer", "A", "--reviewer", "A")

    assert ran.code == 2 and "A cannot review what A prepared" in ran.err
    assert books("reconcile", books.november(), "--preparer", "A").code == 2  # nothing is kept


def test_the_walk_of_the_documentation_is_what_is_printed(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    books.november()
    books.file("invoices.csv", INVOICE + "INV-1,2025-11,2.50,0.475,1.00,USD\n")
    rows = ("01,opening,10", "14,purchase,5", "30,usage,1", "30,closing,14")
    books.file("credits.csv", CREDITS + "".join(f"2025-11-{row},USD\n" for row in rows))
    monkeypatch.chdir(books.folder)
    page = (CHECKOUT / "docs" / "reconcile.md").read_text()
    walk = page[page.index("## A month's close") :]

    commands = [line[2:] for line in walk.splitlines() if line.startswith("$ costroll")]
    assert [command.split()[1] for command in commands] == ["reconcile", "close"]
    for command in commands:
        ran = books(*shlex.split(command)[1:])
        assert ran.code == 0
        for line in ran.out.splitlines():
            # The hash and the instant of a close differ from run to run.
            shown = re.sub(r"[0-9a-f]{64}|since 20.*", "", line).rstrip()
            assert shown in walk, line
