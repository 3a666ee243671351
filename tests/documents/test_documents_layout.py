"""Layout: reading order, running headers and footers, and the quality of text of typeset files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pdfs import typeset
from rapidfuzz.distance import Levenshtein
from reportlab.pdfgen.canvas import Canvas

from pace_integrations.documents import Corpus, Document, ReadOptions
from pace_integrations.documents.formats.pdf.fragments import Fragment, build_fragment_lines
from pace_integrations.documents.formats.running_lines import Line, RunningLines

TYPESET = Path(__file__).parents[1] / "typeset"
FACTS = json.loads((TYPESET / "text.json").read_text(encoding="utf-8"))
ENGINES = ["pypdf", "pdfium"]


def read(path: Path, engine: str) -> Document:
    return Corpus.from_paths(path, options=ReadOptions(pdf=engine)).documents[0]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["latex", "libreoffice", "chromium", "chromium-columns"])
def test_typeset_files_read_as_they_were_written(name, engine):
    document = read(TYPESET / f"{name}.pdf", engine)
    rows = [" ".join(row) for row in FACTS["table"]]
    wanted = " ".join([*FACTS["paragraphs"], *rows])
    found = " ".join(" ".join(page.text.split()) for page in document.pages)
    running = [line for page in document.pages[1:2] for line in (page.header, page.footer)]
    for line in running:
        found = found.replace(re.sub(r"\W*\d+(/\d+)?$", "", line), "", 1)
    assert Levenshtein.distance(wanted, found) <= 0.003 * len(wanted)
    assert len(document.pages) >= 3
    for page in document.pages[1:]:
        assert page.header
        assert page.footer
        assert FACTS["footer"] not in page.text
    if name != "libreoffice":  # where a cell of the table is wrapped
        assert "\n".join(rows[1:]) in document.pages[-1].text


def pages_of(tmp_path: Path, *pages: str, engine: str = "pypdf") -> Document:
    (tmp_path / "a.pdf").write_bytes(typeset(*pages))
    return read(tmp_path / "a.pdf", engine)


def body(page: int) -> str:
    return "\n".join(f"Line {number * page * page} of the body goes on" for number in range(1, 39))


@pytest.mark.parametrize("engine", ENGINES)
def test_headers_and_footers_that_repeat_or_count_are_kept_apart(tmp_path, engine):
    pages = [
        f"Annual report 2024\nPage {n + 7} of 12\nThings {n * n}\n{body(n)}\n{n}"
        for n in range(1, 6)
    ]
    document = pages_of(tmp_path, *pages, engine=engine)
    first, *others = document.pages
    assert first.text.startswith("Annual report 2024\nThings 1\nLine 1 of")
    assert first.header == "Page 8 of 12"
    for n, page in enumerate(others, 2):
        assert page.header == f"Annual report 2024 Page {n + 7} of 12"
        assert page.text.startswith(f"Things {n * n}\nLine {n * n} of")
    for n, page in enumerate(document.pages, 1):
        assert page.footer == str(n)
        assert page.text.endswith(f"Line {38 * n * n} of the body goes on")


def test_what_only_looks_like_a_header_stays(tmp_path):
    single = pages_of(tmp_path, f"Annual report\n{body(1)}")
    assert single.pages[0].text.startswith("Annual report\n")
    assert single.pages[0].header is None
    counted = pages_of(
        tmp_path, *(f"The rent of room {n} is 900 euros.\nTail {n * n}" for n in (1, 2, 3))
    )
    assert [page.header for page in counted.pages] == [None] * 3
    alike = pages_of(tmp_path, *["The same words"] * 4)
    assert [page.text for page in alike.pages] == ["The same words"] * 4
    different = pages_of(tmp_path, *(f"Room {n * n}\n{body(n)}" for n in (3, 5, 8, 9)))
    assert [page.header for page in different.pages] == [None] * 4


def test_a_line_below_another_is_a_line_of_its_own():
    fragments = [
        Fragment("the last word of the bo", 0.80, 0.012),
        Fragment("dy", 0.80, 0.012),
        Fragment("2", 0.796, 0.008),  # raised: a footnote's number
        Fragment("Footer", 0.9, 0.012),
        Fragment("\n", None, 0.0),
        Fragment("a\nb", 0.1, 0.012),
    ]
    assert build_fragment_lines(fragments) == [
        Line("the last word of the body2", 0.80, size=0.012),
        Line("Footer", 0.9, size=0.012),
        Line("a", 0.1, size=0.012),
        Line("b", 0.1, size=0.012),
    ]


TABLE = [["City", "People", "Area"], ["Aarhus", "285,273", "91"], ["Odense", "182,387", "79"]]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("turned", [0, 90, 180, 270])
def test_the_rows_of_a_table_are_lines_however_they_are_drawn(tmp_path, engine, order, turned):
    canvas = Canvas(str(tmp_path / "a.pdf"), pagesize=(400, 400))
    canvas.setPageRotation(turned)
    canvas.rotate(turned)
    canvas.translate(*{0: (0, 0), 90: (0, -400), 180: (-400, -400), 270: (-400, 0)}[turned])
    for row, cells in enumerate(TABLE):
        for column in order:
            canvas.drawString(40 + 110 * column, 300 - 16 * row, cells[column])
    canvas.save()
    text = read(tmp_path / "a.pdf", engine).pages[0].text
    assert text == "\n".join(" ".join(row) for row in TABLE)


def test_lines_without_a_place_are_no_headers():
    running = RunningLines()
    pages = [[Line("Report"), Line(f"Body {n}", 0.5)] for n in range(4)]
    for index, lines in enumerate(pages, 1):
        running.count_page(lines, index)
    assert running.split_page(pages[0], 1) == ("Report\nBody 0", None, None)
