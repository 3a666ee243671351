"""Rectangles of words on PDF pages, by pdfium, and highlights over them, by pypdf.

Runs in the process that parses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pypdfium2
from pypdf import PdfReader, PdfWriter
from pypdf.annotations import Highlight
from pypdf.generic import ArrayObject, FloatObject, NameObject, TextStringObject

from pace_integrations.documents.quotes.alignment import find_words

Mark = tuple[int, str, int, str]
Box = tuple[float, float, float, float]

_COLOR = "ffe24d"
_OVERLAP = 0.5
_GAP = 3.0  # letters' heights between words of one line, at most


def _read_characters(text: pypdfium2.PdfTextPage) -> str:
    """Return the page's characters, one for each index that pdfium knows."""
    codes = (
        pypdfium2.raw.FPDFText_GetUnicode(text.raw, index) for index in range(text.count_chars())
    )
    return "".join(chr(code) if 0 < code < 0xD800 or code > 0xDFFF else " " for code in codes)


def _letter_boxes(text: pypdfium2.PdfTextPage, start: int, end: int) -> Iterator[Box]:
    for index in range(start, end):
        left, bottom, right, top = text.get_charbox(index, loose=True)
        if right > left and top > bottom:
            yield left, bottom, right, top


def _is_beside(line: Box, box: Box, along: int) -> bool:
    """Tell whether a letter goes on a line that has been begun.

    Lines run along axis 0, or along axis 1 where the page is turned on its side.
    """
    across = 1 - along
    height = min(line[across + 2] - line[across], box[across + 2] - box[across])
    overlap = min(line[across + 2], box[across + 2]) - max(line[across], box[across])
    gap = max(box[along] - line[along + 2], line[along] - box[along + 2])
    return overlap > _OVERLAP * height and gap < _GAP * height


def _merge_boxes(boxes: Iterator[Box], along: int) -> list[Box]:
    """Return one rectangle for each line of letters."""
    lines: list[Box] = []
    for box in boxes:
        if lines and _is_beside(lines[-1], box, along):
            last = lines[-1]
            lines[-1] = (
                min(last[0], box[0]),
                min(last[1], box[1]),
                max(last[2], box[2]),
                max(last[3], box[3]),
            )
        else:
            lines.append(box)
    return lines


def _find_mark(document: pypdfium2.PdfDocument, mark: Mark) -> list[Box]:
    """Return the rectangles of one quote, or none."""
    page_index, quote, occurrence, _ = mark
    if not 1 <= page_index <= len(document):
        return []
    with closing(document[page_index - 1]) as page, closing(page.get_textpage()) as text:
        span = find_words(_read_characters(text), quote, occurrence)
        along = 1 if page.get_rotation() in (90, 270) else 0
        return [] if span is None else _merge_boxes(_letter_boxes(text, *span), along)


def _make_highlight(boxes: Sequence[Box], note: str) -> Highlight:
    around = (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )
    corners = [
        FloatObject(value)
        for left, bottom, right, top in boxes
        for value in (left, top, right, top, left, bottom, right, bottom)
    ]
    annotation = Highlight(
        rect=around, quad_points=ArrayObject(corners), highlight_color=_COLOR, printing=True
    )
    if note:
        annotation[NameObject("/Contents")] = TextStringObject(note)
    return annotation


def _write_copy(
    data: bytes, password: str | None, marks: Sequence[Mark], found: list[list[Box]]
) -> bytes:
    """Return the file with its highlights; a viewer opens it at the first."""
    reader = PdfReader(BytesIO(data))
    if reader.is_encrypted:
        reader.decrypt(password or "")
    writer = PdfWriter(clone_from=reader)
    shown = [(mark, boxes) for mark, boxes in zip(marks, found, strict=True) if boxes]
    for (page, _, _, note), boxes in shown:
        writer.add_annotation(page - 1, _make_highlight(boxes, note))
    if shown:
        first = writer.pages[shown[0][0][0] - 1]
        destination = ArrayObject([first.indirect_reference, NameObject("/FitH")])
        destination.append(FloatObject(shown[0][1][0][3] + 40))
        writer.root_object[NameObject("/OpenAction")] = destination
    buffer = BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def mark_quotes(
    path: Path, marks: Sequence[Mark], target: Path | None, password: str | None
) -> list[list[Box]]:
    """Find quotes and write a copy of the file with highlights over them.

    Args:
        path: The PDF.
        marks: For every quote its 1-based page, its words, which occurrence, and a note.
        target: Where to write the copy, or None.
        password: The file's password, or None.

    Returns:
        For every quote its rectangles, one for each line; none where it is not found.
    """
    data = path.read_bytes()
    with closing(pypdfium2.PdfDocument(data, password=password)) as document:
        found = [_find_mark(document, item) for item in marks]
    if target is not None:
        target.write_bytes(_write_copy(data, password, marks, found))
    return found
