"""PDF files: text that nobody sees, layers, accents, lines that run downwards, several columns."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from pdfs import rewritten, typeset
from pypdf.generic import (
    ArrayObject,
    DictionaryObject,
    NameObject,
    NumberObject,
    StreamObject,
    TextStringObject,
)
from reportlab.pdfgen.canvas import Canvas

from pace_integrations.documents.formats.pdf.accents import join_accents
from pace_integrations.documents.formats.pdf.chunks import Word
from pace_integrations.documents.formats.pdf.layout import build_lines
from pace_integrations.documents.ingest import read_file


@pytest.fixture
def read(tmp_path: Path):
    def read_bytes(data: bytes):
        (tmp_path / "a.pdf").write_bytes(data)
        document, report = read_file(tmp_path / "a.pdf")
        return [page.text for page in document.pages], report

    return read_bytes


def drawn(draw) -> bytes:
    buffer = BytesIO()
    canvas = Canvas(buffer, pagesize=(595, 842), invariant=1, pageCompression=0)
    canvas.drawString(60, 700, "Seen words.")
    draw(canvas)
    canvas.save()
    return buffer.getvalue()


def white(canvas: Canvas) -> None:
    canvas.setFillColorRGB(1, 1, 1)
    canvas.drawString(60, 650, "Pale words.")


def colorless(canvas: Canvas) -> None:
    text = canvas.beginText(60, 650)
    text.setTextRenderMode(3)
    text.textOut("Pale words.")
    canvas.drawText(text)


@pytest.mark.parametrize("draw", [white, colorless])
def test_text_that_nobody_sees_is_read_and_named(read, draw):
    texts, report = read(drawn(draw))
    assert texts == ["Seen words.\nPale words."]
    assert report.reasons == ("pages with white or invisible text, read: 1",)


def test_white_text_on_a_dark_ground_is_like_any_other(read):
    def heading(canvas: Canvas) -> None:
        canvas.rect(50, 640, 300, 30, fill=1)
        white(canvas)

    assert read(drawn(heading))[1].reasons == ()


def layer(writer) -> None:
    named = {NameObject("/Type"): NameObject("/OCG"), NameObject("/Name"): TextStringObject("L")}
    group = writer._add_object(DictionaryObject(named))
    groups = ArrayObject([group])
    writer.root_object[NameObject("/OCProperties")] = DictionaryObject(
        {
            NameObject("/OCGs"): groups,
            NameObject("/D"): DictionaryObject({NameObject("/OFF"): groups}),
        }
    )
    page, stream = writer.pages[0], StreamObject()
    page["/Resources"][NameObject("/Properties")] = DictionaryObject({NameObject("/M"): group})
    stream.set_data(
        page.get_contents().get_data().replace(b"%on", b"/OC /M BDC").replace(b"%off", b"EMC")
    )
    page[NameObject("/Contents")] = writer._add_object(stream)


def test_a_layer_that_is_turned_off_is_named_and_not_read(read):
    def draw(canvas: Canvas) -> None:
        canvas._code.append("%on")
        canvas.drawString(60, 650, "Old price: 99 euros")
        canvas._code.append("%off")

    texts, report = read(rewritten(drawn(draw), layer))
    assert texts == ["Seen words."]
    assert report.reasons == ("pages with text in hidden layers, not read: 1",)


def test_a_file_on_a_page_is_read_and_a_stamp_without_words_named(read):
    def attach(writer) -> None:
        stream = StreamObject()
        stream.set_data(b"The note says 77.")
        files = DictionaryObject({NameObject("/F"): writer._add_object(stream)})
        file = DictionaryObject(
            {NameObject("/Type"): NameObject("/Filespec"), NameObject("/EF"): files}
        )
        file[NameObject("/UF")] = file[NameObject("/F")] = TextStringObject("note.txt")
        entries = ArrayObject()
        for kind, more in (("/FileAttachment", {NameObject("/FS"): file}), ("/Stamp", {})):
            box = ArrayObject([NumberObject(value) for value in (60, 600, 80, 620)])
            annotation = DictionaryObject(
                {NameObject("/Subtype"): NameObject(kind), NameObject("/Rect"): box}
            )
            annotation.update(more)
            entries.append(writer._add_object(annotation))
        writer.pages[0][NameObject("/Annots")] = entries

    texts, report = read(rewritten(typeset("Body."), attach))
    assert texts == ["Body.", "The note says 77."]
    assert report.reasons == ("stamps, not read: 1",)


def test_all_chosen_options_of_a_list_are_read(read):
    def form(canvas: Canvas) -> None:
        towns = {"options": ["Oslo", "Voss", "Narvik"], "value": ["Voss", "Narvik"]}
        canvas.acroForm.listbox(name="towns", fieldFlags="multiSelect", x=60, y=500, **towns)

    assert read(drawn(form))[0] == ["Seen words.\n[Field towns: Voss, Narvik]"]


def test_accents_are_put_on_the_letters_that_they_stand_over():
    boxes = {"´": (10, 0, 14, 9), "e": (10, 0, 14, 5), "c": (20, 0, 24, 5), "¸": (20, -3, 24, 0)}
    text = "´e c¸ '´ "
    joined = join_accents(text, lambda place: boxes.get(text[place], (90, 0, 94, 9)))
    assert joined == "e\u0301 c\u0327 '´ "


def test_lines_that_run_downwards_are_read_from_the_right():
    columns = ["契約は九月", "料金は千円"]
    words = [
        Word(char, 500 - 30 * column, 60 + 16 * row, 514 - 30 * column, 74 + 16 * row)
        for column, text in enumerate(columns)
        for row, char in enumerate(text)
    ]
    assert [line.text for line in build_lines(words, 842)] == columns


def place(text: str, left: float, row: int) -> list[Word]:
    parts = text.split()
    return [
        Word(part, left + 30 * n, 60 + 14 * row, left + 30 * n + 27, 72 + 14 * row)
        for n, part in enumerate(parts)
    ]


def test_three_columns_drawn_row_by_row_are_read_down():
    columns = [[f"{name} of some words" for _ in range(8)] for name in ("left", "mid", "right")]
    words = [
        w for row in range(8) for n in range(3) for w in place(columns[n][row], 40 + 160 * n, row)
    ]
    assert [line.text for line in build_lines(words, 842)] == [
        text for texts in columns for text in texts
    ]


def test_a_list_in_the_order_of_the_alphabet_is_no_table():
    names = ["Adlam", "Ahom", "Arabic", "Avestan", "Batak", "Bengali", "Brahmi", "Buhid"]
    words = [w for n, name in enumerate(names) for w in place(name, 60 + 120 * (n // 4), n % 4)]
    assert [line.text for line in build_lines(words, 842)] == names
    built = ["1902", "1883", "1924", "1956"]
    rows = [*names[:4], *built]
    words = [w for n, text in enumerate(rows) for w in place(text, 60 + 120 * (n // 4), n % 4)]
    assert build_lines(words, 842)[0].text == "Adlam 1902"
