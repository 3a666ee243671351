"""Texts, tables and messages as programs really write them: headers, listings, encodings."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from samples import sheets

from pace_integrations.documents.formats.number_formats import format_stored
from pace_integrations.documents.ingest import read_file


@pytest.fixture
def read(tmp_path: Path):
    def read_bytes(data: str | bytes, suffix: str):
        data = data.encode() if isinstance(data, str) else data
        (tmp_path / f"a{suffix}").write_bytes(data)
        document, _ = read_file(tmp_path / f"a{suffix}")
        return document

    return read_bytes


FRAME = "+------+-----+"


@pytest.mark.parametrize(
    ("header", "between"),
    [
        (f"{FRAME}\n| Item | Fee |\n+======+=====+\n", f"{FRAME}\n"),
        (f"{FRAME}\n| Item | Fee |\n{FRAME}\n", ""),
        (" Item | Fee\n------+-----\n", ""),
    ],
    ids=["reStructuredText", "MySQL", "PostgreSQL"],
)
def test_a_framed_table_keeps_its_header_with_every_part(read, header, between):
    rows = "".join(f"| B{n:04} | {n:4} |\n{between}" for n in range(1400))
    pages = read(f"Fees\n====\n\nText.\n\n{header}{rows}", ".rst").pages
    assert len(pages) > 2
    assert all(header.strip() in page.text for page in pages)
    assert sum(page.text.count("B04") for page in pages) == 100


WORDS = "The words of a page. " * 250


def test_a_line_over_a_heading_goes_with_it_and_makes_another_level(read):
    heads = ("======\nHarbor\n======", "-----\n Fees\n-----", "May\n---")
    text = "\n\n".join(f"{head}\n\n{WORDS}" for head in heads)
    pages = read(text, ".rst").pages
    assert [page.section for page in pages] == ["Harbor", "Harbor > Fees", "Harbor > Fees > May"]
    assert pages[1].text.startswith("-----\n Fees\n-----")


def test_headings_of_latex_have_no_commands_and_listings_no_headings(read):
    listing = "\\begin{verbatim}\n\\section{None}\n\\end{verbatim}\n"
    text = (
        "\\title{Fees \\\\ of the {\\bf harbor}}\n"
        f"\\section{{A {{\\bf bold}} claim\\label{{a}}}}\n{listing}{WORDS}\n"
        f"\\subsection[short]{{Rates of $10^{{6}}$~m}}\n{WORDS}"
    )
    document = read(text, ".tex")
    assert document.title == "Fees of the harbor"
    assert document.pages[-1].section == "A bold claim > Rates of $10^6$ m"
    assert listing.strip() in document.pages[0].text


def test_what_begins_with_a_star_in_a_listing_of_org_is_no_heading(read):
    listing = "#+begin_src c\n* a pointer\n#+end_src\n"
    pages = read(f"* Tides\n{listing}{WORDS}\n* Fees :money:\n{WORDS}", ".org").pages
    assert [page.section for page in pages] == ["Tides", "Fees"]


@pytest.mark.parametrize("delimiter", list("^~\x1f\x01"))
def test_rare_delimiters_are_found(read, delimiter):
    text = "Item,Fee,Due\nBerth,40,May\nCrane,7,June\n".replace(",", delimiter)
    assert (
        read(text, ".csv").pages[0].text == "Item | Fee | Due\nBerth | 40 | May\nCrane | 7 | June"
    )


def test_single_quotes_hold_cells_where_no_double_ones_stand(read):
    assert read("Item;Fee\n'Berth; big';40\n", ".csv").pages[0].text.endswith("Berth; big | 40")
    text = read("Item;Fee\nRock 'n' roll;40\n'tis;5\n", ".csv").pages[0].text
    assert "Rock 'n' roll | 40" in text
    assert "tis" in text


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_a_header_below_a_title_is_kept_with_every_slice(read, suffix):
    rows = [["Fees of the harbor"], [], ["Item", "Fee"]]
    rows += [[f"Berth {n}", n] for n in range(1000)]
    if suffix == ".xlsx":
        pages = read(sheets(Fees=rows), suffix).pages
    else:
        pages = read("\n".join(",".join(map(str, row)) for row in rows), suffix).pages
    assert len(pages) > 1
    assert all("Fees of the harbor\nItem | Fee\nBerth" in page.text for page in pages)
    assert pages[0].section.endswith(f"rows 4-{pages[0].text.count('Berth') + 3}")
    assert sum(page.text.count("Berth") for page in pages) == 1000


@pytest.mark.parametrize(
    ("value", "code", "shown"),
    [
        ("2.675", "0.00", "2.68"),
        ("1.005", "0.0%", "100.5%"),
        ("0.5", "0", "1"),
        ("-1.5", "0", "-2"),
        ("1e20", "#,##0", "100,000,000,000,000,000,000"),
    ],
)
def test_numbers_are_rounded_as_sheets_round_them(value, code, shown):
    assert format_stored(value, code) == shown


def test_an_attached_message_that_is_encoded_is_read(read):
    inner = "From: b@x.org\nSubject: Berth\n\nThe key is under the stone.\n"
    for coding, body in (
        ("base64", base64.encodebytes(inner.encode()).decode()),
        ("quoted-printable", inner.replace("under", "=75nder")),
    ):
        part = f"Content-Type: message/rfc822\nContent-Transfer-Encoding: {coding}\n\n{body}"
        if coding == "quoted-printable":  # headers that are encoded too
            part = part.replace("From: b", "=46rom: b")
        text = (
            "From: a@x.org\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B\n\n"
            f"--B\n{part}\n--B--\n"
        )
        assert "Subject: Berth\n\nThe key is under the stone." in read(text, ".eml").pages[0].text


def test_bars_that_a_program_wrote_over_come_once_and_old_headings_are_sections(read):
    outputs = [{"output_type": "stream", "text": ["0%|  |\r", "50%|# |\r", "100%|##|\r\n", "ok"]}]
    cells = [
        {"cell_type": "heading", "level": 2, "source": ["Tides"]},
        {"cell_type": "code", "input": ["run()"], "outputs": outputs},
    ]
    document = read(json.dumps({"nbformat": 3, "worksheets": [{"cells": cells}]}), ".ipynb")
    assert (document.title, document.pages[0].section) == ("Tides", "Tides")
    assert document.pages[0].text.endswith("Out [2]:\n100%|##|\nok")


def test_an_empty_list_is_a_value(read):
    assert read('{"tags": [], "fee": 40.10}', ".json").pages[0].text == "tags: []\nfee: 40.10"


def test_bytes_of_a_font_are_in_the_encoding_of_its_character_set(read):
    text = (
        r"{\rtf1\ansi\ansicpg1251\deff1{\fonttbl{\f0\fcharset0 Times;}{\f1\fcharset204 Arial;}}"
        r"\'cc\'e0\'e9 {\f0 caf\'e9} \plain\'cc\'e0\'e9\par}"
    )
    assert read(text, ".rtf").pages[0].text == "Май café Май"
