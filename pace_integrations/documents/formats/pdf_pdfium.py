"""Reads PDF files with pdfium, which is several times as fast as pypdf and keeps memory flat."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field

import pypdfium2

from pace_integrations.documents.formats.layout import Fragment, Line, lines_of
from pace_integrations.documents.formats.pdf import read_pdf, read_whole
from pace_integrations.documents.formats.pdf_metadata import SCAN, OpenPdf
from pace_integrations.documents.formats.pdf_pypdf import OCR_SHARE, PdfFiles
from pace_integrations.documents.options import ReadLimits
from pace_integrations.documents.types import ParseJob, ParseResult

# What pdfium writes for a hyphen at a line's end that it takes for a broken word's.
_BROKEN = str.maketrans({"\ufffe": "-\n", "\x02": "-\n"})
_WORD = re.compile(r"\s*([^\s\ufffe\x02]*)[\ufffe\x02]?")


@dataclass(frozen=True, slots=True)
class _Pdfium:
    """A file opened by pdfium."""

    document: pypdfium2.PdfDocument

    @property
    def count(self) -> int:
        return len(self.document)

    def lines(self, index: int) -> list[Line]:
        with closing(self.document[index - 1]) as page, closing(page.get_textpage()) as text:
            return lines_of(_fragments(text, page.get_height(), upright=page.get_rotation() == 0))

    def has_picture(self, index: int) -> bool:
        with closing(self.document[index - 1]) as page:
            images = page.get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE], max_depth=3)
            return any(math.prod(image.get_px_size()) >= SCAN for image in images)

    def labels(self) -> list[str]:
        return [self.document.get_page_label(index) for index in range(self.count)]

    def outline(self) -> list[tuple[str, int]]:
        found = []
        for bookmark in self.document.get_toc():
            target = bookmark.get_dest()
            index = None if target is None else target.get_index()
            if index is not None:
                found.append((str(bookmark.get_title()), index + 1))
        return found

    def metadata(self) -> Mapping[str, object]:
        found = self.document.get_metadata_dict(skip_empty=True)
        return {f"/{key}": value for key, value in found.items()}


def _fragments(text: pypdfium2.PdfTextPage, height: float, *, upright: bool) -> Iterator[Fragment]:
    """The words of a page, with the spaces and line ends that pdfium puts between them."""
    whole = str(text.get_text_range())
    for match in _WORD.finditer(whole):
        word = match[0].translate(_BROKEN).replace("\r", "")
        if not match[1] or not upright:
            yield Fragment(word, None, 0.0)
            continue
        _, bottom, _, top = text.get_charbox(match.start(1), loose=True)
        yield Fragment(word, 1.0 - bottom / height, (top - bottom) / height)


@dataclass(frozen=True, slots=True)
class PdfiumFiles:
    """Reads PDF files.

    Attributes:
        limits: Where the reading of one file ends.
        ocr: Languages in which pages without text are recognised, or None.
    """

    limits: ReadLimits = field(default_factory=ReadLimits)
    ocr: str | None = None

    def read(self, data: bytes, suffix: str) -> ParseResult:
        """Reads every page into the reading."""
        return read_whole(self, data)

    def read_into(self, data: bytes, job: ParseJob) -> ParseResult:
        """Reads every page; a page that fails costs that page only."""
        try:
            document = pypdfium2.PdfDocument(data, password=job.password)
        except pypdfium2.PdfiumError:
            # pdfium's last error may be that of another file; pypdf tells why, or repairs more.
            return PdfFiles(self.limits, self.ocr).read_into(data, job)
        with closing(document):
            file: OpenPdf = _Pdfium(document)
            if self.ocr is not None:
                from pace_integrations.documents.formats.ocr import WithOcr

                file = WithOcr(file, document, self.ocr, OCR_SHARE * self.limits.seconds)
            return read_pdf(file, self.limits, job)
