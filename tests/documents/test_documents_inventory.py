"""PDF files: what stands beside their text, reading order, printed labels, raised digits."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from pdfs import joined, rewritten, typeset
from pypdf.annotations import FreeText, Link, Text
from pypdf.generic import (
    ArrayObject,
    DictionaryObject,
    NameObject,
    NumberObject,
    StreamObject,
)
from reportlab.pdfgen.canvas import Canvas

from pace_integrations.documents import ReadOptions
from pace_integrations.documents.formats.pdf.chunks import Word
from pace_integrations.documents.formats.pdf.damage import rate_damage
from pace_integrations.documents.formats.pdf.layout import build_lines
from pace_integrations.documents.formats.printed_labels import find_printed_labels
from pace_integrations.documents.formats.running_lines import Line
from pace_integrations.documents.ingest import read_file


@pytest.fixture
def read(tmp_path: Path):
    def read_bytes(data: bytes, **options):
        (tmp_path / "a.pdf").write_bytes(data)
        return read_file(tmp_path / "a.pdf", ReadOptions(**options))

    return read_bytes


def drawn(draw, **settings) -> bytes:
    buffer = BytesIO()
    canvas = Canvas(buffer, pagesize=(595, 842), invariant=1, **settings)
    draw(canvas)
    canvas.save()
    return buffer.getvalue()


def form(canvas: Canvas) -> None:
    canvas.drawString(60, 780, "Application")
    fields = canvas.acroForm
    fields.textfield(name="name", value="Ada Lund", x=60, y=700, width=200, height=20)
    fields.checkbox(name="owner", checked=True, x=60, y=650)
    fields.checkbox(name="tenant", checked=False, x=60, y=600)
    fields.choice(name="class", options=["River", "Coast"], value="Coast", x=60, y=550)


@pytest.mark.parametrize("engine", ["pdfium", "pypdf"])
def test_values_of_a_form_are_read(read, engine):
    document, report = read(drawn(form), pdf=engine)
    text = document.pages[0].text
    assert "Ada Lund" in text
    assert [line for line in text.split("\n") if line][1:] == [
        "[Field name: Ada Lund]",
        "[Field owner: Yes]",
        "[Field class: Coast]",
    ]
    assert report.status == "ok"


def test_typed_annotations_are_read_and_links_are_not(read):
    def annotate(writer):
        rect = (50, 550, 200, 650)
        writer.add_annotation(0, FreeText(text="The shed costs 640 euros", rect=rect))
        writer.add_annotation(0, Text(text="Still unpaid", rect=rect, title_bar="Jon"))
        writer.add_annotation(0, Link(rect=rect, url="https://example.org"))

    document, _ = read(rewritten(typeset("Minutes."), annotate))
    lines = document.pages[0].text.split("\n")
    assert lines[0] == "Minutes."
    assert "[Note: The shed costs 640 euros]" in lines
    assert any("Still unpaid" in line for line in lines)
    assert len(lines) == 3


def test_attached_documents_are_read_others_named_and_a_portfolio_is_no_document(read):
    def attach(writer):
        writer.add_attachment("prices.csv", b"city,price\nVoss,45")
        writer.add_attachment("invoice.xml", b"<invoice/>")

    for engine in ("pdfium", "pypdf"):
        document, report = read(rewritten(typeset("See the file."), attach), pdf=engine)
        assert (report.status, report.pages) == ("ok", 2)
        assert document.pages[1].section == "attached prices.csv > row 2"
        assert document.pages[1].text == "city | price\nVoss | 45"
        assert report.reasons == ("attached files were not read: invoice.xml",)

    def pack(writer):
        attach(writer)
        writer.root_object[NameObject("/Collection")] = DictionaryObject()

    _, report = read(rewritten(typeset("Open this in a viewer."), pack))
    assert report.status == "partial"
    assert "save the files" in report.remedy


def test_a_form_that_another_program_draws_is_not_taken_for_read(read):
    def dynamic(writer):
        stream = StreamObject()
        stream.set_data(
            b"<xdp><template><subform><draw><value><text>Permit</text></value></draw>"
            b"<field name='who'><caption><value><text>Holder</text></value></caption></field>"
            b"<field name='secret' presence='hidden'/></subform></template><datasets><data><form>"
            b"<who>Ada Voss</who><harbor>Lunde</harbor></form></data></datasets></xdp>"
        )
        writer.root_object["/AcroForm"].get_object()[NameObject("/XFA")] = writer._add_object(
            stream
        )

    for engine in ("pdfium", "pypdf"):
        document, report = read(rewritten(drawn(form), dynamic), pdf=engine)
        assert report.status == "partial"
        assert "XFA" in report.warnings[0]
        assert document.pages[1].text.split("\n") == [
            "Permit",
            "[Field Holder: Ada Voss]",
            "[Field harbor: Lunde]",
        ]


def test_text_outside_the_page_is_named_and_not_read(read):
    def crop(writer):
        for name in ("/CropBox", "/MediaBox"):
            box = [NumberObject(value) for value in (0, 0, 595, 790 if name == "/CropBox" else 842)]
            writer.pages[0][NameObject(name)] = ArrayObject(box)

    def draw(canvas):
        canvas.drawString(60, 820, "PRINTER MARKS 99 euros")
        canvas.drawString(60, 700, "The price is 30 euros.")

    document, report = read(rewritten(drawn(draw), crop))
    assert document.pages[0].text == "The price is 30 euros."
    assert report.on_pages == ("pages with text outside what a viewer shows, not read: 1",)


def test_lines_that_run_off_the_page_are_read_whole_and_named(read):
    def draw(canvas):
        canvas.setFont("Courier", 10)
        canvas.drawString(60, 700, "Run this:")
        canvas.drawString(400, 680, "grubconfig --serial=ttyS0,9600n8 --quiet yes")
        canvas.drawString(60, 660, "and wait.")
        canvas.saveState()  # a table on its side, whose last column is off the paper
        canvas.translate(300, 700)
        canvas.rotate(90)
        canvas.drawString(0, 0, "Depth at the western quay 77 m")
        canvas.restoreState()

    document, report = read(drawn(draw))
    text = document.pages[0].text
    assert "grubconfig --serial=ttyS0,9600n8 --quiet yes" in text
    assert "Depth at the western quay 77 m" in text
    assert report.on_pages == ("pages with lines that run off the page, read: 1",)


def test_a_column_that_was_cropped_away_is_not_read(read):
    def crop(writer):
        box = [NumberObject(value) for value in (0, 0, 300, 842)]
        writer.pages[0][NameObject("/CropBox")] = ArrayObject(box)

    def draw(canvas):
        for n, (left, right) in enumerate(zip(LEFT, RIGHT, strict=False)):
            canvas.setFont("Helvetica", 10)
            canvas.drawRightString(298, 700 - 14 * n, left)
            canvas.drawString(310, 700 - 14 * n, right)

    document, report = read(rewritten(drawn(draw), crop))
    text = " ".join(document.pages[0].text.split())
    assert text == " ".join(LEFT[: len(RIGHT)])
    assert report.on_pages == ("pages with text outside what a viewer shows, not read: 1",)


LEFT = [
    "The committee reviewed the annual", "report of the harbor and found that",
    "the dredging contract had been signed", "on the third of March by the warden,",
    "who is paid by the month. No vessel", "may moor at the quay after ten, and",
]  # fmt: skip
RIGHT = [
    "the fee for a late departure is due", "at once. The lighthouse is open to",
    "visitors on Sundays from May on, and", "its keeper is the oldest of the men.",
    "the ferry leaves every forty minutes", "and takes two hundred passengers.",
]  # fmt: skip
FLOW = " ".join([*LEFT, *RIGHT])


@pytest.mark.parametrize("order", ["left first", "right first", "row by row"])
def test_columns_are_read_one_after_the_other_however_they_are_drawn(read, order):
    def draw(canvas):
        canvas.setFont("Helvetica", 10)
        canvas.drawCentredString(297, 800, "Harbor Notes, a title over both of the columns")
        left = [(60, 760 - 14 * n, line) for n, line in enumerate(LEFT)]
        right = [(310, 760 - 14 * n, line) for n, line in enumerate(RIGHT)]
        rows = [item for pair in zip(left, right, strict=True) for item in pair]
        drawn = {"left first": left + right, "right first": right + left, "row by row": rows}
        for item in drawn[order]:
            canvas.drawString(*item)

    document, _ = read(drawn(draw))
    assert FLOW in " ".join(document.pages[0].text.split())


def test_a_table_drawn_by_column_is_read_by_row_and_single_digits_stay_apart(read):
    columns = [["City", "Narvik", "Voss", "Geilo"], ["Year", "1902", "1883", "1907"], list("N342")]

    def draw(canvas):
        canvas.drawString(60, 780, "Stations of the northern line and their platforms")
        for x, column in zip((60, 200, 300), columns, strict=True):
            for row, cell in enumerate(column):
                canvas.drawString(x, 740 - 16 * row, cell)

    document, _ = read(drawn(draw))
    assert document.pages[0].text.split("\n")[1:] == [
        " ".join(row) for row in zip(*columns, strict=True)
    ]


def test_numbers_of_lines_beside_a_text_do_not_cut_it(read):
    def draw(canvas):
        for n in range(8):
            canvas.drawString(60, 760 - 20 * n, str(n + 1))
        for n, line in enumerate([*LEFT, *RIGHT[:2]]):
            canvas.drawString(100, 760 - 20 * n, line)

    document, _ = read(drawn(draw))
    assert " ".join(LEFT) in " ".join(document.pages[0].text.split())


def test_raised_digits_do_not_join_the_number_before_them(read):
    def draw(canvas):
        for y, parts in [
            (700, [("It costs 500", 0, 12), ("1", 5, 7), (" euros.", 0, 12)]),
            (680, [("It holds 10", 0, 12), ("6", 5, 7), (" liters.", 0, 12)]),
        ]:
            text = canvas.beginText(60, y)
            for part, rise, size in parts:
                text.setFont("Helvetica", size)
                text.setRise(rise)
                text.textOut(part)
            canvas.drawText(text)

    document, _ = read(drawn(draw))
    assert document.pages[0].text == "It costs 500 ^1 euros.\nIt holds 10^6 liters."


def words_of(*placed: tuple[str, float, float], height: float = 10.0) -> list[Word]:
    return [Word(t, x, y, x + 5 * len(t), y + height) for t, x, y in placed]


def test_words_are_put_together_by_their_places():
    torn = words_of(("neg", 10, 0), ("ative", 25, 0), ("next", 60, 0))
    assert [line.text for line in build_lines(torn, 100)] == ["negative next"]
    cells = build_lines(words_of(("b", 200, 0), ("a", 10, 0), ("below", 10, 20)), 100)
    assert [(line.text, len(line.cells)) for line in cells] == [("a b", 2), ("below", 0)]
    last = build_lines(words_of(("body", 10, 50), ("header", 10, 0)), 100)
    assert [line.text for line in last] == ["header", "body"]


def test_leader_dots_are_no_damage_and_torn_words_are():
    contents = [Line(f"Chapter {n} of the book . . . . . . . . . . {n}") for n in range(9)]
    assert rate_damage(contents) < 0.1
    assert rate_damage([Line("T h e d e p o s i t w a s p a i d i n M a y b y t h e m")]) > 0.5
    assert rate_damage([Line("\ufffd\ufffd\ufffd")]) == 1.0


def test_the_other_engine_reads_pages_that_look_broken(read, monkeypatch):
    from pace_integrations.documents.formats.pdf import pdfium_engine

    monkeypatch.setattr(
        pdfium_engine, "build_lines", lambda words, height: [Line("T h e g a t e " * 9, 0.5)]
    )
    said = "The gate opens at 7:30 and the quay is shut at ten in the evening."
    document, report = read(typeset(said))
    assert document.pages[0].text == said
    assert report.on_pages[0].startswith("pages read by the other engine")


def numbered(*bottoms: str) -> dict[int, list[Line]]:
    return {n: [Line("Body text.", 0.5), Line(text, 0.95)] for n, text in enumerate(bottoms, 1)}


@pytest.mark.parametrize(
    ("bottoms", "labels"),
    [
        (["iii", "iv", "1", "2", "3"], "iii iv 1 2 3"),
        (["- 7 -", "- 8 -", "- 9 -"], "7 8 9"),
        (["Page 4 of 9", "", "Page 6 of 9"], "4 5 6"),
        (["12 | Rules", "13 | Rules", "14 | Rules"], "12 13 14"),
        (["5 euros", "5 euros", "5 euros"], ""),
        (["1902", "44", "7"], ""),
    ],
)
def test_printed_page_numbers_are_found_where_they_count(bottoms, labels):
    found = find_printed_labels(numbered(*bottoms))
    assert " ".join(found[index] for index in sorted(found)) == labels


def test_headings_of_a_table_stay_with_it_on_every_page(read):
    def page(rows: list[tuple[str, str]]) -> bytes:
        def draw(canvas):
            for row, cells in enumerate([("Part", "Price in euros"), *rows]):
                for x, cell in zip((60, 250), cells, strict=True):
                    canvas.drawString(x, 800 - 16 * row, cell)
            canvas.drawString(60, 60, "Harbor office, 9 Quay Road")

        return drawn(draw)

    data = joined(*(page([(f"Bolt {n}", f"0.{n}5"), (f"Nut {n}", f"0.1{n}")]) for n in (1, 2, 3)))
    document, _ = read(data)
    assert all(p.text.startswith("Part Price in euros\nBolt") for p in document.pages)
    assert [p.footer for p in document.pages] == [None, *["Harbor office, 9 Quay Road"] * 2]
    assert document.pages[0].text.endswith("Harbor office, 9 Quay Road")
