"""Reads PDF files with pypdf."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, TypeAlias

from pypdf import PageObject, PasswordType, PdfReader
from pypdf.generic import DictionaryObject, StreamObject

from pace_integrations.documents.formats.layout import Fragment, Line, lines_of
from pace_integrations.documents.formats.pdf import read_pdf, read_whole, refused
from pace_integrations.documents.formats.pdf_metadata import SCAN
from pace_integrations.documents.formats.pypdf_fonts import (
    forget_visible_spaces,
    prefer_named_encodings,
)
from pace_integrations.documents.options import ReadLimits
from pace_integrations.documents.types import ParseJob, ParseResult

OCR_SHARE = 0.6
"""Share of a file's seconds that may go into OCR."""

Matrix: TypeAlias = Sequence[float]


@dataclass(frozen=True, slots=True)
class _Pypdf:
    """A file opened by pypdf."""

    reader: PdfReader

    @property
    def count(self) -> int:
        return len(self.reader.pages)

    def lines(self, index: int) -> list[Line]:
        with _forgotten(self.reader.resolved_objects):
            page = self.reader.pages[index - 1]
            with suppress(Exception):  # odd resources may still be good enough for pypdf
                prefer_named_encodings(page)
                forget_visible_spaces(page)
            return lines_of(_fragments(page))

    def has_picture(self, index: int) -> bool:
        with _forgotten(self.reader.resolved_objects):
            resources: Any = self.reader.pages[index - 1]["/Resources"].get_object()
            objects = [entry.get_object() for entry in resources["/XObject"].get_object().values()]
            images = [entry for entry in objects if entry.get("/Subtype") == "/Image"]
            return any(int(image["/Width"]) * int(image["/Height"]) >= SCAN for image in images)

    def labels(self) -> list[str]:
        return self.reader.page_labels

    def outline(self) -> list[tuple[str, int]]:
        return list(_headings(self.reader, self.reader.outline))

    def metadata(self) -> Mapping[str, object]:
        return self.reader.metadata or {}


def _headings(reader: PdfReader, entries: Sequence[Any]) -> Iterator[tuple[str, int]]:
    """The outline's headings in their order; nested lists are the levels below."""
    for entry in entries:
        if isinstance(entry, list):
            yield from _headings(reader, entry)
            continue
        with suppress(Exception):  # a heading that leads nowhere
            number = reader.get_destination_page_number(entry)
            if number is not None and number >= 0:
                yield str(entry.title), number + 1


@contextmanager
def _forgotten(objects: MutableMapping[Any, Any]) -> Iterator[None]:
    """Lets pypdf forget the streams of a page, which it would keep until the last page.

    Other objects, such as fonts, stay for the pages to come.
    """
    before = len(objects)
    try:
        yield
    finally:
        added = [objects.popitem() for _ in range(len(objects) - before)]
        kept = [(key, value) for key, value in added if not isinstance(value, StreamObject)]
        objects.update(reversed(kept))


def _fragments(page: PageObject) -> list[Fragment]:
    """The pieces of a page's text, in the order and with the line ends that pypdf gives them."""
    found: list[Fragment] = []
    box, turns = page.mediabox, page.rotation // 90 % 4
    height = float(box.width if turns % 2 else box.height) or 1.0

    def visit(text: str, cm: Matrix, tm: Matrix, font: object, size: float) -> None:
        if text:
            x = tm[4] * cm[0] + tm[5] * cm[2] + cm[4]
            y = tm[4] * cm[1] + tm[5] * cm[3] + cm[5]
            left, right = x - float(box.left), float(box.right) - x
            below, above = y - float(box.bottom), float(box.top) - y
            # Distances from the left and the upper edge of the page as it is shown.
            start, top = ((left, above), (below, left), (right, below), (above, right))[turns]
            letters = abs(size * (tm[3] or tm[1]) * (cm[3] or cm[1])) / height
            found.append(Fragment(text, top / height, letters, start / height))

    page.extract_text(visitor_text=visit)
    return found


@dataclass(frozen=True, slots=True)
class PdfFiles:
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
        reader = PdfReader(BytesIO(data), strict=False)
        if reader.is_encrypted and not _decrypted(reader, job.password):
            return refused("encrypted")
        if len(reader.pages) == 0:
            return refused("empty" if _has_empty_tree(reader) else "corrupt")
        if self.ocr is None:
            return read_pdf(_Pypdf(reader), self.limits, job)
        return self._recognised(reader, data, self.ocr, job)

    def _recognised(
        self, reader: PdfReader, data: bytes, languages: str, job: ParseJob
    ) -> ParseResult:
        from pypdfium2 import PdfDocument, PdfiumError

        from pace_integrations.documents.formats.ocr import WithOcr

        try:
            pictures = PdfDocument(data, password=job.password)
        except PdfiumError:  # pypdf repairs more; the pages that have a text are worth having
            return read_pdf(_Pypdf(reader), self.limits, job)
        with closing(pictures):
            seconds = OCR_SHARE * self.limits.seconds
            return read_pdf(WithOcr(_Pypdf(reader), pictures, languages, seconds), self.limits, job)


def _decrypted(reader: PdfReader, password: str | None) -> bool:
    tries = ("",) if password is None else ("", password)
    return any(reader.decrypt(text) != PasswordType.NOT_DECRYPTED for text in tries)


def _has_empty_tree(reader: PdfReader) -> bool:
    """Tells a file that was made without pages from one whose pages cannot be found."""
    tree = reader.root_object["/Pages"].get_object()
    return isinstance(tree, DictionaryObject) and not (tree.get("/Kids") or tree.get("/Count"))
