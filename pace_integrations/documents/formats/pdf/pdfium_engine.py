"""Reads pages of PDF files with PDFium, and what stands beside their text."""

from __future__ import annotations

import ctypes
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pypdfium2

from pace_integrations.documents.formats.pdf.layout import build_lines
from pace_integrations.documents.formats.pdf.metadata import SCAN, Inventory
from pace_integrations.documents.formats.pdf.page_turns import (
    take_inside,
    to_words,
    turn_single_letters,
)
from pace_integrations.documents.formats.pdf.pdfium_annotations import (
    Enclosed,
    read_annotation,
    read_attachment,
)
from pace_integrations.documents.formats.pdf.pdfium_words import (
    Advances,
    Letters,
    find_pieces,
    has_stacked_letters,
)
from pace_integrations.documents.formats.pdf.visibility import VisibilityCheck
from pace_integrations.documents.formats.running_lines import Line

raw: Any = pypdfium2.raw

_MAX_RULES = 12


@dataclass(slots=True)
class PdfiumFile:
    """A file opened by PDFium; every method may raise anything.

    Attributes:
        document: The open document.
        outside: Pages with text that lies outside what a viewer shows.
        beyond: Pages with lines that run off them.
        doubtful: Pages whose text PDFium is known to get wrong.
        enclosed: What the annotations of the pages read so far enclose.
        visibility: Which of those pages have text that nobody sees.
    """

    document: pypdfium2.PdfDocument
    outside: list[int] = field(default_factory=list)
    beyond: list[int] = field(default_factory=list)
    doubtful: list[int] = field(default_factory=list)
    enclosed: Enclosed = field(default_factory=Enclosed)
    visibility: VisibilityCheck = field(default_factory=VisibilityCheck)
    _advances: Advances = field(default_factory=lambda: defaultdict(dict))
    _open: tuple[int, pypdfium2.PdfPage] | None = None

    @property
    def count(self) -> int:
        """Number of pages."""
        return len(self.document)

    def _open_page(self, index: int) -> pypdfium2.PdfPage:
        """Return a page; the latest one stays open, since parsing it takes time."""
        if self._open is None or self._open[0] != index:
            if self._open is not None:
                self._open[1].close()
            self._open = None
            self._open = (index, self.document[index - 1])
        return self._open[1]

    def lines(self, index: int) -> list[Line]:
        """Return the lines of the page with a 1-based index, in reading order."""
        page = self._open_page(index)
        with closing(page.get_textpage()) as text:
            area = page.get_bbox()
            letters = Letters(text, self._advances)
            self.visibility.hide_layers(page, letters, index)
            pieces = find_pieces(letters)
            if letters.text and not letters.text.isascii() and has_stacked_letters(letters):
                self.doubtful.append(index)
        if not pieces and self._draws_text(page):
            self.doubtful.append(index)  # by a font that it does not know
        shown, beyond = take_inside(pieces, area)
        if not shown:  # a wrong box, rather than a page that shows nothing of its text
            shown = pieces
        elif len(shown) < len(pieces):
            self.outside.append(index)
        if beyond:
            self.beyond.append(index)
        turn_single_letters(shown)
        lines: list[Line] = []
        for turned in dict.fromkeys(piece.turned for piece in shown):
            words = to_words(shown, turned, area)
            height = area[3] - area[1] if turned % 2 == 0 else area[2] - area[0]
            lines += build_lines(words, height or 1.0)
        return lines

    def _draws_text(self, page: pypdfium2.PdfPage) -> bool:
        texts = page.get_objects(filter=[raw.FPDF_PAGEOBJ_TEXT], max_depth=3)
        return next(iter(texts), None) is not None

    def has_picture(self, index: int) -> bool:
        """Tell whether a page has a picture as large as a scan."""
        page = self._open_page(index)
        images = page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=3)
        return any(math.prod(image.get_px_size()) >= SCAN for image in images)

    def is_blank(self, index: int) -> bool:
        """Tell whether a page without text draws nothing, or but a few rules."""
        page = self._open_page(index)
        if raw.FPDFPage_CountObjects(page.raw) > _MAX_RULES:
            return False
        kinds = (thing.type for thing in page.get_objects(max_depth=1))
        return all(kind == raw.FPDF_PAGEOBJ_PATH for kind in kinds)

    def labels(self) -> list[str]:
        """Return the labels that the file defines; blank ones where it defines none."""
        return [self.document.get_page_label(index) for index in range(self.count)]

    def outline(self) -> list[tuple[str, int]]:
        """Return the headings of the outline and the pages that they lead to."""
        found = []
        for bookmark in self.document.get_toc():
            target = bookmark.get_dest()
            index = None if target is None else target.get_index()
            if index is not None:
                found.append((str(bookmark.get_title()), index + 1))
        return found

    def metadata(self) -> Mapping[str, object]:
        """Return the entries of the document information dictionary."""
        found = self.document.get_metadata_dict(skip_empty=True)
        return {f"/{key}": value for key, value in found.items()}

    def inventory(self) -> Inventory:
        """Return what the file holds beside the text of its pages."""
        form = int(self.document.get_formtype())
        if form:
            self.document.init_forms()
        count = raw.FPDFDoc_GetAttachmentCount(self.document.raw)
        names = [self.document.get_attachment(n).get_name() for n in range(count)]
        xfa = form in (raw.FORMTYPE_XFA_FULL, raw.FORMTYPE_XFA_FOREGROUND)
        return Inventory(names, False, xfa)

    def attached(self) -> Iterator[tuple[str, bytes]]:
        """Yield names and bytes of the files in the file, and of those on the pages read."""
        for number in range(raw.FPDFDoc_GetAttachmentCount(self.document.raw)):
            file = self.document.get_attachment(number)
            yield file.get_name(), read_attachment(file)
        yield from self.enclosed.files

    def xfa_packets(self) -> dict[str, bytes]:
        """Return the packets of an XFA form by their names."""
        packets: dict[str, bytes] = {}
        for number in range(raw.FPDF_GetXFAPacketCount(self.document.raw)):
            size = raw.FPDF_GetXFAPacketName(self.document.raw, number, None, 0)
            name = ctypes.create_string_buffer(size or 1)
            raw.FPDF_GetXFAPacketName(self.document.raw, number, name, size)
            length = ctypes.c_ulong()
            handle, pointer = self.document.raw, ctypes.byref(length)
            raw.FPDF_GetXFAPacketContent(handle, number, None, 0, pointer)
            buffer = ctypes.create_string_buffer(length.value or 1)
            raw.FPDF_GetXFAPacketContent(handle, number, buffer, length.value, pointer)
            key = name.value.decode("utf-8", "replace")
            packets[f"{number} {key}"] = buffer.raw[: length.value]
        return packets

    def notes(self, index: int) -> list[Line]:
        """Return the words that people wrote on a page: typed annotations, fields of a form."""
        page = self._open_page(index)
        count = raw.FPDFPage_GetAnnotCount(page.raw)
        form = self.document.formenv.raw if self.document.formenv is not None else None
        enclosed = self.enclosed
        found = [read_annotation(page, number, form, enclosed) for number in range(count)]
        return [Line(text) for text in dict.fromkeys(found) if text]
