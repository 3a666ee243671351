"""Word, Excel, PowerPoint and OpenDocument files: what hangs on the text is read or named."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from samples import archive, open_document, paragraph, shape, sheets, slides, word

from pace_integrations.documents.ingest import read_file


@pytest.fixture
def read(tmp_path: Path):
    def read_bytes(data: bytes, name: str):
        (tmp_path / name).write_bytes(data)
        document, report = read_file(tmp_path / name)
        text = "\n".join(page.text for page in document.pages) if document else ""
        return text, report, document

    return read_bytes


RUN = "<w:r>{}<w:t>{}</w:t></w:r>"
RAISED = '<w:rPr><w:vertAlign w:val="superscript"/></w:rPr>'
HIDDEN = "<w:rPr><w:vanish/></w:rPr>"


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (f"<w:sdt><w:sdtContent>{paragraph('Employee: A')}</w:sdtContent></w:sdt>", "Employee: A"),
        (f"<w:p><w:ins>{RUN.format('', 'New.')}</w:ins><w:del><w:r><w:delText>Old.</w:delText>"
         "</w:r></w:del></w:p>", "New."),
        (f"<w:p><w:moveFrom>{RUN.format('', 'Moved.')}</w:moveFrom></w:p>"
         f"<w:p><w:moveTo>{RUN.format('', 'Moved.')}</w:moveTo></w:p>", "Moved."),
        (f"<w:p>{RUN.format(HIDDEN, 'secret')}{RUN.format('', 'shown')}</w:p>", "shown"),
        ("<w:p><m:oMath><m:f><m:num><m:r><m:t>a+b</m:t></m:r></m:num><m:den><m:r><m:t>2</m:t></m:r>"
         "</m:den></m:f></m:oMath></w:p>", "(a+b)/2"),
        ("<w:p><w:r><w:t>10</w:t></w:r>"
         + RUN.format(RAISED, "6")
         + RUN.format("", " litres") + "</w:p>", "10^6 litres"),
        ("<w:p><w:r><w:t>500</w:t></w:r>"
         + RUN.format(RAISED, "1") + "</w:p>", "500 ^1"),
        ('<w:p><w:r><w:t>non</w:t><w:noBreakHyphen/><w:t>stop</w:t><w:tab/><w:t>on</w:t>'
         '<w:sym w:font="Wingdings" w:char="F0FE"/></w:r></w:p>', "non-stop on☒"),
        ("<w:p><w:r><mc:AlternateContent><mc:Choice><w:drawing><wps:txbx><w:txbxContent>"
         f"{paragraph('In a box.')}</w:txbxContent></wps:txbx></w:drawing></mc:Choice><mc:Fallback>"
         f"<w:pict><w:txbxContent>{paragraph('In a box.')}</w:txbxContent></w:pict></mc:Fallback>"
         "</mc:AlternateContent></w:r>" + RUN.format("", "Beside.") + "</w:p>",
         "Beside.\nIn a box."),
        ('<w:p><w:r><w:drawing><wp:docPr descr="Map of the quay"/></w:drawing></w:r></w:p>',
         "[Image: Map of the quay]"),
    ],
)  # fmt: skip
def test_what_word_shows_is_read_once_and_what_it_hides_is_not(read, body, wanted):
    text, report, _ = read(word(body), "a.docx")
    assert (text, report.status) == (wanted, "ok")


def test_what_is_left_out_of_a_word_document_is_named(read):
    body = (
        f"<w:p><w:del><w:r><w:delText>Old.</w:delText></w:r></w:del>{RUN.format('', 'New.')}"
        f"{RUN.format(HIDDEN, 'secret')}</w:p>"
    )
    _, report, _ = read(word(body), "a.docx")
    assert report.reasons == (
        "deleted text of tracked changes, not read: 1",
        "hidden text, not read: 1",
    )


def cell(inner: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{inner}</w:tc>"


def test_cells_keep_their_place_and_tables_in_them_their_rows(read):
    inner = "".join(
        f"<w:tr>{cell(paragraph(a))}{cell(paragraph(b))}</w:tr>" for a, b in ["kl", "mn"]
    )
    wrapped = f"<w:sdt><w:sdtContent>{cell(paragraph('in a control'))}</w:sdtContent></w:sdt>"
    rows = [
        cell(paragraph("Stop")) + cell(paragraph("Weekday")) + cell(paragraph("Sunday")),
        cell(paragraph("Voss")) + cell(paragraph("")) + cell(paragraph("9:05")),
        cell(paragraph("Geilo"), '<w:vMerge w:val="restart"/>')
        + wrapped
        + cell(f"<w:tbl>{inner}</w:tbl>"),
        cell(paragraph(""), "<w:vMerge/>") + cell(paragraph("below")) + cell(paragraph("")),
    ]
    text, _, _ = read(
        word("<w:tbl>" + "".join(f"<w:tr>{r}</w:tr>" for r in rows) + "</w:tbl>"), "a.docx"
    )
    assert text.split("\n") == [
        "Stop | Weekday | Sunday",
        "Voss | | 9:05",
        "Geilo | in a control | k | l; m | n",
        "| below",
    ]


def test_list_numbers_count_as_word_counts_them(read):
    levels = "".join(
        f'<w:lvl w:ilvl="{n}"><w:start w:val="{start}"/><w:numFmt w:val="{kind}"/>'
        f'<w:lvlText w:val="{text}"/></w:lvl>'
        for n, (start, kind, text) in enumerate(
            [(3, "decimal", "%1."), (1, "lowerLetter", "%1.%2)")]
        )
    )
    numbering = (
        f'<w:abstractNum w:abstractNumId="0">{levels}</w:abstractNum>'
        '<w:num w:numId="5"><w:abstractNumId w:val="0"/></w:num>'
    )

    def item(text: str, depth: int) -> str:
        marks = f'<w:numPr><w:ilvl w:val="{depth}"/><w:numId w:val="5"/></w:numPr>'
        return paragraph(text, marks)

    body = (
        item("Open.", 0) + item("Left.", 1) + item("Right.", 1) + item("Wait.", 0) + item("Up.", 1)
    )
    text, _, _ = read(word(body, numbering=numbering), "a.docx")
    assert text.split("\n") == ["3. Open.", "3.a) Left.", "3.b) Right.", "4. Wait.", "4.a) Up."]


def test_notes_comments_headers_and_footers_are_read_where_they_belong(read):
    body = (
        '<w:p><w:r><w:t>Fee</w:t></w:r><w:r><w:footnoteReference w:id="2"/></w:r>'
        '<w:r><w:commentReference w:id="0"/></w:r></w:p>' + paragraph("End.")
        + '<w:sectPr><w:headerReference r:id="header1"/><w:footerReference r:id="footer1"/>'
        "</w:sectPr>"
    )  # fmt: skip
    data = word(
        body,
        footnotes=f'<w:footnote w:id="2">{paragraph("For one day.")}</w:footnote>',
        comments=f'<w:comment w:id="0" w:author="Jon">{paragraph("Check.")}</w:comment>',
        header1=paragraph("Policy 55-2210"),
        footer1=paragraph("9 Quay Road"),
    )
    text, _, _ = read(data, "a.docx")
    assert text.split("\n") == [
        "Policy 55-2210",
        "Fee^1",
        "[Footnote 1: For one day.]",
        "[Comment by Jon: Check.]",
        "End.",
        "9 Quay Road",
    ]


def test_long_documents_are_cut_at_headings_and_say_where(read):
    def heading(text: str, level: int) -> str:
        return paragraph(text, f'<w:outlineLvl w:val="{level - 1}"/>')

    prose = "".join(paragraph(f"Sentence {n} of the harbor's rules. " * 5) for n in range(30))
    body = heading("Rules", 1) + heading("Fees", 2) + prose + heading("Quay", 2) + prose
    _, report, document = read(word(body), "a.docx")
    sections = [page.section for page in document.pages]
    assert sections[0] == "Rules"
    assert sections[-1] == "Rules > Quay"
    assert all(len(page.text) < 9_001 for page in document.pages)
    assert report.pages == len(document.pages) == document.pages[-1].index


def test_a_document_behind_a_password_says_so_and_an_old_one_what_to_do(read):
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
    locked = ole + "EncryptedPackage".encode("utf-16-le") + bytes(600)
    assert read(locked, "a.docx")[1].status == "encrypted"
    _, report, _ = read(ole, "report.bin")
    assert report.status == "unsupported"
    assert "old Office format" in report.remedy
    manifest = '<m><encryption-data xmlns=""/></m>'
    odt = archive({"content.xml": "<x/>", "META-INF/manifest.xml": manifest})
    assert read(odt, "a.odt")[1].status == "encrypted"


def test_sheets_keep_their_header_with_every_slice(read):
    rows = [
        ["City", "Opened", "Share"],
        *([f"Town {n}", 1900 + n % 100, n / 7] for n in range(900)),
    ]
    text, report, document = read(sheets(Stations=rows, Notes=[["Only a line"]]), "a.xlsx")
    first, second, *_, last = document.pages
    assert first.text.startswith("[Sheet Stations]\nCity | Opened | Share\nTown 0 | 1900 | 0\n")
    assert second.text.startswith("[Sheet Stations]\nCity | Opened | Share\nTown ")
    assert (first.section[:16], last.section) == ("Stations, rows 2", "Notes, row 1")
    assert all(f"Town {n} |" in text for n in range(900))
    assert report.status == "ok"


def test_cells_are_shown_as_the_sheet_shows_them(read, tmp_path):
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    for place, value, shown in [
        ("A1", datetime.date(2025, 2, 3), "yyyy-mm-dd"),
        ("B1", 0.175, "0.0%"),
        ("C1", 1234.5, "#,##0.00"),
        ("D1", True, "General"),
        ("E1", "=1+1", "General"),
    ]:
        sheet[place] = value
        sheet[place].number_format = shown
    sheet["A2"] = "Hidden too"
    sheet["A2"].comment = openpyxl.comments.Comment("Ask Jon.", "Ada")
    book.create_sheet("Old")["A1"] = "kept"
    book["Old"].sheet_state = "hidden"
    book.save(tmp_path / "b.xlsx")
    text, report, _ = read((tmp_path / "b.xlsx").read_bytes(), "a.xlsx")
    assert "2025-02-03 | 17.5% | 1,234.50 | TRUE" in text
    assert "[Comment on A2: Ask Jon.]" in text.replace("Ada:", "").replace("  ", " ")
    assert "kept" in text
    assert report.warnings == (
        "formulas without a stored value, not read: 1",
        "hidden sheets, read: Old",
    )


def test_slides_are_pages_with_their_titles_tables_and_notes(read):
    table = (
        '<p:graphicFrame><a:tbl xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main">'
        "<a:tr><a:tc><a:p><a:r><a:t>Narvik</a:t></a:r></a:p></a:tc><a:tc><a:p><a:r><a:t>1902</a:t>"
        "</a:r></a:p></a:tc></a:tr></a:tbl></p:graphicFrame>"
    )
    data = slides(
        shape("Ferry times", "title") + shape("It leaves at six.") + shape("7", "sldNum"),
        shape("Stations", "title") + table,
        note="Say it slowly.",
    )
    _, report, document = read(data, "a.pptx")
    assert [(page.index, page.section, page.text) for page in document.pages] == [
        (
            1,
            "slide 1: Ferry times",
            "Ferry times\nIt leaves at six.\n[Speaker note: Say it slowly.]",
        ),
        (2, "slide 2: Stations", "Stations\nNarvik | 1902"),
    ]
    assert report.status == "ok"


def test_open_documents_are_read_with_lists_notes_and_raised_digits(read):
    styles = (
        '<text:list-style style:name="L"><text:list-level-style-number text:level="1" '
        'style:num-format="a" style:num-suffix=")"/></text:list-style>'
        '<style:style style:name="T1"><style:text-properties style:text-position="super 58%"/>'
        "</style:style>"
    )
    body = (
        '<text:h text:outline-level="1">Quay</text:h><text:p>10<text:span text:style-name="T1">6'
        '</text:span> litres<text:note text:note-class="footnote"><text:note-body><text:p>About.'
        '</text:p></text:note-body></text:note></text:p><text:list text:style-name="L">'
        "<text:list-item><text:p>Open.</text:p></text:list-item><text:list-item><text:p>Wait.</text:p>"
        "</text:list-item></text:list><table:table><table:table-row><table:table-cell><text:p>a</text:p>"
        "</table:table-cell><table:table-cell/><table:table-cell><text:p>c</text:p></table:table-cell>"
        "</table:table-row></table:table>"
    )
    text, report, _ = read(open_document(body, styles=styles), "a.odt")
    assert text.split("\n") == [
        "Quay",
        "10^6 litres^1",
        "[Footnote 1: About.]",
        "a) Open.",
        "b) Wait.",
        "a | | c",
    ]
    assert report.status == "ok"
    row = "<table:table-row><table:table-cell><text:p>Lunde</text:p></table:table-cell>"
    table = f'<table:table table:name="S">{row}</table:table-row></table:table>'
    _, _, document = read(open_document(table, kind="spreadsheet"), "a.ods")
    assert (document.pages[0].text, document.pages[0].section) == ("[Sheet S]\nLunde", "S, row 1")


def test_a_paragraph_whose_end_was_deleted_goes_on_in_the_next(read):
    ended = "<w:rPr><w:del/></w:rPr>"
    body = paragraph("The ware", ended) + paragraph("house is at ", ended) + paragraph("quay 7.")
    body += (
        paragraph("Open", ended) + f"<w:tbl><w:tr><w:tc>{paragraph('Fee')}</w:tc></w:tr></w:tbl>"
    )
    body += paragraph("End", ended)
    wanted = ["The warehouse is at quay 7.", "Open", "Fee", "End"]
    assert read(word(body), "a.docx")[0].split("\n") == wanted
