"""Lines of PDF pages: words that letters reach into, high symbols, axes, names in columns."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

from pace_integrations.documents.formats.pdf.chunks import Word
from pace_integrations.documents.formats.pdf.damage import count_letters
from pace_integrations.documents.formats.pdf.layout import build_lines
from pace_integrations.documents.formats.running_lines import Line
from pace_integrations.documents.ingest import read_file


@pytest.fixture
def read(tmp_path: Path):
    """Return the text of a page that a function draws."""

    def read_page(draw) -> str:
        buffer = BytesIO()
        canvas = Canvas(buffer, pagesize=(595, 842), invariant=1)
        draw(canvas)
        canvas.save()
        (tmp_path / "a.pdf").write_bytes(buffer.getvalue())
        document, _ = read_file(tmp_path / "a.pdf")
        return document.pages[0].text

    return read_page


def word(text: str, left: float, top: float, height: float = 10.0) -> Word:
    return Word(text, left, top, left + 5 * len(text), top + height)


def lines_of(*words: Word) -> list[str]:
    return [line.text for line in build_lines(words, 1000)]


def test_a_slanted_letter_that_reaches_into_a_space_does_not_join_words(read):
    def draw(canvas):
        for n, words in enumerate(["may be wrong from May on", "the set of fonts is wide"]):
            left = 60.0
            for text in words.split():
                canvas.setFont("Times-Italic", 12)
                canvas.drawString(left, 700 - 20 * n, text)
                left += stringWidth(text, "Times-Italic", 12) + 2.8

    assert read(draw) == "may be wrong from May on the set of fonts is wide"


def test_a_single_letter_keeps_its_direction_beside_an_axis(read):
    def draw(canvas):
        canvas.drawString(60, 760, "The figure shows the sample.")
        canvas.saveState()
        canvas.translate(50, 500)
        canvas.rotate(90)
        canvas.drawString(0, 0, "Sample quantiles")
        canvas.restoreState()
        canvas.drawString(60, 400, "x")
        canvas.drawString(70, 400, "<- rt(250, df = 5) gives others.")

    assert "\nx <- rt(250, df = 5) gives others." in read(draw)


def test_the_mark_of_a_note_leaves_the_word_before_it_whole(read):
    def draw(canvas):
        text = canvas.beginText(60, 700)
        for part, rise, size in [
            ("It is printed and lost", 0, 12),
            ("2", 5, 7),
            (". Now on", 0, 12),
        ]:
            text.setFont("Helvetica", size)
            text.setRise(rise)
            text.textOut(part)
        canvas.drawText(text)

    assert read(draw) == "It is printed and lost^2. Now on"


def test_high_symbols_do_not_put_two_lines_into_one():
    """Roots and minus signs come from fonts whose letters may be two lines high."""
    root = [
        *(word(["and", "runs", "in", "time"][n], 72 + 30 * n, 113) for n in range(4)),
        word("\u221a", 200, 108, 22),
        word("b", 206, 113),
    ]
    above = [word("This", 94, 100), word("uses", 120, 100), word("a", 146, 100)]
    below = [word("long", 72, 126), word("b", 98, 126), word("\u2212", 106, 119, 22)]
    found = lines_of(*above, *root, *below)
    assert [text.split()[0] for text in found] == ["This", "and", "long"]
    frame = [word("\u2721", 60, 96, 40), word("\u2720", 400, 96, 40)]
    row = [word("utils", 90, 100), word("Package", 150, 100)]
    found = lines_of(*row, *frame, word("You", 80, 122), word("can", 98, 122))
    assert found == ["\u2721 utils Package \u2720", "You can"]


def test_names_in_columns_are_read_down_though_they_are_sorted_by_their_first_letters_only():
    names = [f"{chr(65 + n // 3)}{'ozi'[n % 3]}{'xyz'[n % 3]}an" for n in range(72)]
    words = [word(name, 60 + 90 * (n // 24), 100 + 14 * (n % 24)) for n, name in enumerate(names)]
    assert lines_of(*words) == names


def test_rows_of_a_table_drawn_by_column_are_rows_where_one_column_is_sorted():
    names = [f"{chr(65 + n)}town" for n in range(22)]
    kinds = [f"{'qbzdkxamwce'[n % 11]}ind" for n in range(22)]
    words = [
        word(text, 60 + 120 * column, 100 + 14 * n)
        for column, texts in enumerate((names, kinds))
        for n, text in enumerate(texts)
    ]
    assert lines_of(*words) == [f"{a} {b}" for a, b in zip(names, kinds, strict=True)]


def test_a_backtick_before_a_capital_is_no_accent(read):
    assert read(lambda canvas: canvas.drawString(60, 700, "added `Architecture` here")) == (
        "added `Architecture` here"
    )


def test_letters_in_long_words_tell_torn_text_from_text_with_signs():
    whole = [Line("The appoggiatura is performed h h n h"), Line("before the beat")]
    torn = [Line("The appoggiatura is perfor med h h n h"), Line("bef ore the beat")]
    assert count_letters(whole) > count_letters(torn)
