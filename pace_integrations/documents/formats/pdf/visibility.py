"""Text of a page that nobody sees: white or without color, or in a layer that is turned off.

PDFium gives such text like any other. What it draws tells: a page is drawn only where the state of
its text gives a reason to, and few times in a file, since pages of scans take long.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pypdfium2

from pace_integrations.documents.formats.pdf.accents import Box
from pace_integrations.documents.formats.pdf.pdfium_words import Letters

raw: Any = pypdfium2.raw

Span: TypeAlias = tuple[int, int]

_LINE = re.compile(r"\S(?:[^\r\n]*\S)?")
_PALE = 245  # of 255; what is darker can be seen
_FAINT = 12  # of 255; what is less covered cannot
_INVISIBLE = 3
_MAX_FRUITLESS = 8  # pages drawn for nothing, after which no more are


@dataclass(slots=True)
class VisibilityCheck:
    """Finds unseen text, page by page.

    Attributes:
        unseen: Pages with white or colorless text.
        turned_off: Pages with text in a layer that is not shown.
    """

    unseen: list[int] = field(default_factory=list)
    turned_off: list[int] = field(default_factory=list)
    _fruitless: int = 0

    def hide_layers(self, page: pypdfium2.PdfPage, letters: Letters, index: int) -> None:
        """Note unseen text of a page, and blank what lies in a layer that is not shown."""
        pale, layered = list[Span](), list[Span]()
        for span in (match.span() for match in _LINE.finditer(letters.text)):
            first = _suspect(letters, span[0])
            if not first:  # as nearly all lines
                continue
            kinds = {first, *(_suspect(letters, place) for place in _samples(*span))}
            if kinds == {"layer"}:
                layered.append(span)
            elif "pale" in kinds:
                pale.append(span)
        if not (pale or layered) or self._fruitless >= _MAX_FRUITLESS:
            return
        shown = _Drawing(page)
        off = [span for span in layered if not any(shown.has_ink(b) for b in _boxes(letters, span))]
        if any(not any(shown.has_ink(b) for b in _boxes(letters, span)) for span in pale):
            self.unseen.append(index)
        if off:
            self.turned_off.append(index)
            letters.blank(off)
        self._fruitless += index not in (*self.unseen[-1:], *self.turned_off[-1:])


def _samples(start: int, end: int) -> Iterator[int]:
    yield from {start, (start + end) // 2, end - 1}


def _boxes(letters: Letters, span: Span) -> list[Box]:
    return [letters.box(place) for place in _samples(*span) if not letters.text[place].isspace()]


# Buffers that PDFium writes into; a file is read by one thread.
_RED, _GREEN, _BLUE, _ALPHA = (ctypes.c_uint() for _ in range(4))
_COLORS = tuple(map(ctypes.byref, (_RED, _GREEN, _BLUE, _ALPHA)))
_NAME = (ctypes.c_ushort * 64)()
_LENGTH = ctypes.c_ulong()


def _suspect(letters: Letters, place: int) -> str:
    """Return why a character may not be seen: ``layer``, ``pale``, or "" where it may."""
    thing = raw.FPDFText_GetTextObject(letters.handle, place)
    if not thing:
        return ""
    for number in range(raw.FPDFPageObj_CountMarks(thing)):
        if _is_optional(raw.FPDFPageObj_GetMark(thing, number)):
            return "layer"
    if raw.FPDFTextObj_GetTextRenderMode(thing) == _INVISIBLE:
        return "pale"
    if not raw.FPDFPageObj_GetFillColor(thing, *_COLORS):
        return ""
    pale = _RED.value >= _PALE and _GREEN.value >= _PALE and _BLUE.value >= _PALE
    return "pale" if pale or _ALPHA.value <= _FAINT else ""


def _is_optional(mark: object) -> bool:
    """Tell whether a mark says that its content belongs to a layer (``/OC``)."""
    known = raw.FPDFPageObjMark_GetName(mark, _NAME, ctypes.sizeof(_NAME), ctypes.byref(_LENGTH))
    return bool(known) and _LENGTH.value == 6 and _NAME[0] == ord("O") and _NAME[1] == ord("C")


class _Drawing:
    """A page as it is shown, a point for a pixel."""

    def __init__(self, page: pypdfium2.PdfPage) -> None:
        area = page.get_bbox()
        self._left, self._top = area[0], area[3]
        turned = page.get_rotation()
        page.set_rotation(0)
        try:
            bitmap = page.render(scale=1, grayscale=True, may_draw_forms=False)
            self._width, self._height = bitmap.width, bitmap.height
            self._stride, self._pixels = bitmap.stride, bytes(bitmap.buffer)
        finally:
            page.set_rotation(turned)

    def has_ink(self, box: Box) -> bool:
        """Tell whether anything in a box differs in brightness."""
        left, right = (min(max(0, round(x - self._left)), self._width) for x in (box[0], box[2]))
        top, bottom = (min(max(0, round(self._top - y)), self._height) for y in (box[3], box[1]))
        rows = (
            self._pixels[y * self._stride + left : y * self._stride + max(right, left + 1)]
            for y in range(top, max(bottom, top + 1))
        )
        values = b"".join(rows)
        return bool(values) and min(values) < _PALE
