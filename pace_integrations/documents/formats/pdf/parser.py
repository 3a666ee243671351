"""Parses a PDF file: PDFium first, pypdf where PDFium cannot open it or a page looks broken."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pace_integrations.documents.formats.attached import AttachedFiles
from pace_integrations.documents.formats.page_assembly import RawPage, format_ranges
from pace_integrations.documents.formats.pdf.damage import count_letters, rate_damage
from pace_integrations.documents.formats.pdf.metadata import (
    Inventory,
    OpenPdf,
    is_stamped,
    read_preamble,
)
from pace_integrations.documents.formats.pdf.xfa import read_xfa
from pace_integrations.documents.formats.registry import ParseJob
from pace_integrations.documents.formats.running_lines import Line
from pace_integrations.documents.types import LimitExceededError, Page, ParseResult, Status
from pace_integrations.errors import MissingExtraError

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

    from pace_integrations.documents.formats.pdf.pdfium_engine import PdfiumFile

OCR_SHARE = 0.6
"""Share of a file's seconds that may go into OCR."""

_REMEDIES: dict[Status, str] = {
    "encrypted": "Give its password (--password, ReadOptions.password) or save a copy without one.",
    "corrupt": "The file is damaged; open it in a PDF viewer, print it to a new PDF and read that.",
    "empty": "The file has no pages; export or download it again.",
}
_PORTFOLIO = "Its pages are but a cover: save the files in it that were not read, and read them."
_XFA = "Its form needs Adobe Reader: open it there, print it to a new PDF and read that."
# Past this share of its time a file ends of itself, before the process that parses it is ended.
_SOFT = 0.85
_MAX_NAMES = 8
_COVER = 2  # pages of a portfolio's cover, at most

_BROKEN_TEXT = 0.25
_KEPT = 0.985


def parse_pdf(data: bytes, job: ParseJob) -> ParseResult:
    """Parse a file page by page; a page that fails costs that page only."""
    if job.options.pdf == "pypdf":
        return _parse_with_pypdf(data, job)
    try:
        import pypdfium2
    except ModuleNotFoundError as error:
        raise MissingExtraError("reading PDF files with pdfium", "pdf-fast") from error
    from pace_integrations.documents.formats.pdf.pdfium_engine import PdfiumFile

    try:
        document = pypdfium2.PdfDocument(data, password=job.password)
        count = len(document)
    except pypdfium2.PdfiumError:
        # PDFium's last error may be that of another file; pypdf tells why, or repairs more.
        return _parse_with_pypdf(data, job)
    with closing(document):
        if count == 0:
            return _parse_with_pypdf(data, job)
        file = PdfiumFile(document)
        return _parse_pages(_with_ocr(file, document, job), file, data, job)


def _parse_with_pypdf(data: bytes, job: ParseJob) -> ParseResult:
    from pace_integrations.documents.formats.pdf.pypdf_engine import open_pypdf

    file = open_pypdf(data, job.password)
    if isinstance(file, str):
        return ParseResult(file, remedy=_REMEDIES.get(file))
    if job.options.ocr is None:
        return _parse_pages(file, None, data, job)
    from pypdfium2 import PdfDocument, PdfiumError

    try:
        pictures = PdfDocument(data, password=job.password)
    except PdfiumError:  # pypdf repairs more; the pages that have a text are worth having
        return _parse_pages(file, None, data, job)
    with closing(pictures):
        return _parse_pages(_with_ocr(file, pictures, job), None, data, job)


def _with_ocr(file: OpenPdf, pictures: PdfDocument, job: ParseJob) -> OpenPdf:
    if job.options.ocr is None:
        return file
    from pace_integrations.documents.formats.pdf.ocr import WithOcr

    seconds = OCR_SHARE * job.options.limits.seconds
    return WithOcr(file, pictures, job.options.ocr, seconds)


@dataclass(slots=True)
class _SecondOpinion:
    """The other engine, opened when the first page asks for it."""

    data: bytes
    job: ParseJob
    pages: list[int] = field(default_factory=list)
    _file: OpenPdf | None = None
    _failed: bool = False

    def choose(self, index: int, lines: list[Line], *, doubtful: bool) -> list[Line]:
        """Return the lines of a page by the engine that reads it better.

        Args:
            index: The page.
            lines: Its lines by the first engine.
            doubtful: Whether the first engine itself doubts them.
        """
        damage = 1.0 if doubtful else rate_damage(lines)
        if damage < _BROKEN_TEXT or self._failed:
            return lines
        try:
            others = self._open().lines(index)
        except Exception:  # the first engine's text is what there is
            self._failed = self._file is None
            return lines
        enough = sum(len(x.text) for x in others) > 0.3 * sum(len(x.text) for x in lines)
        whole = doubtful or count_letters(others) > _KEPT * count_letters(lines)
        if enough and whole and rate_damage(others) < 0.7 * damage:
            self.pages.append(index)
            return others
        return lines

    def _open(self) -> OpenPdf:
        if self._file is None:
            self._file = _open_other(self.data, self.job)
        return self._file

    def close(self) -> None:
        """Free the other engine's file."""
        document = getattr(self._file, "document", None)
        if document is not None:
            document.close()


def _open_other(data: bytes, job: ParseJob) -> OpenPdf:
    if job.options.pdf == "pdfium":
        from pace_integrations.documents.formats.pdf.pypdf_engine import open_pypdf

        file = open_pypdf(data, job.password)
        if isinstance(file, str):
            raise ValueError(file)
        return file
    if importlib.util.find_spec("pypdfium2") is None:
        raise ValueError("there is no other engine")
    import pypdfium2

    from pace_integrations.documents.formats.pdf.pdfium_engine import PdfiumFile

    return PdfiumFile(pypdfium2.PdfDocument(data, password=job.password))


def _attempt(get: Callable[[], list[Line]]) -> list[Line]:
    """Return what stands beside the text, or nothing where that is damaged."""
    with suppress(Exception):
        return get()
    return []


def _parse_pages(
    file: OpenPdf, pdfium: PdfiumFile | None, data: bytes, job: ParseJob
) -> ParseResult:
    """Emit every page and tell what there is beside them."""
    limits, start, warnings = job.options.limits, time.monotonic(), list[str]()
    preamble = read_preamble(file, limits.pages, warnings)
    job.emit(preamble)
    inventory = _take_inventory(file, data, warnings)
    other, scans, size, parsed = _SecondOpinion(data, job), list[int](), 0, 0
    with closing(other):
        for index in range(1, min(preamble.count, limits.pages) + 1):
            if time.monotonic() - start > _SOFT * limits.seconds or size > limits.expanded:
                break
            try:
                page = _parse_page(file, other, index)
            except LimitExceededError as error:
                warnings.append(f"page {index}: {error}")
                break
            except Exception as error:  # a parser of hostile input may raise anything
                problem = f"page {index} could not be read: {type(error).__name__}: {error}"
                page = RawPage(index, (), problem)
            size += sum(len(line.text) for line in page.lines)
            scans += [index] if is_stamped(file, index, page.lines) else []
            parsed = index
            job.emit(page)
            job.report_progress(index, preamble.count)
    warnings[:0] = _describe_pages(file, pdfium, scans, other.pages)
    if parsed < preamble.count:
        left = format_ranges(list(range(parsed + 1, preamble.count + 1)))
        bound = f"{limits.pages} pages or {limits.seconds:g} seconds"
        warnings.insert(0, f"pages not read, over the limit of {bound} per file: {left}")
        named = [f"attached files were not read: {n}" for n in inventory.attachments[:_MAX_NAMES]]
        result = ParseResult("ok", warnings=(*named, *warnings))
    else:
        result = ParseResult("ok", warnings=(*_read_beside(file, inventory, job), *warnings))
    if inventory.is_portfolio:
        return replace(result, status="partial", remedy=_PORTFOLIO)
    return replace(result, status="partial", remedy=_XFA) if inventory.is_xfa else result


def _read_beside(file: OpenPdf, inventory: Inventory, job: ParseJob) -> list[str]:
    """Emit what stands beside the pages behind them: a form's data, files in the file."""
    lines, index, text = list[str](), file.count, ""
    if inventory.is_xfa:
        with suppress(Exception):  # the form is named all the same
            text = "\n".join(read_xfa(file.xfa_packets()))
        if text:
            index += 1
            job.emit(Page(index, None, text, "form (XFA)"))
        lines.append("form (XFA), read after the text" if text else "form (XFA), not read")
    attached = AttachedFiles(job, index)
    try:
        attached.read_all(file.attached())
    except Exception as error:  # a parser of hostile input may raise anything
        lines.append(f"attached files could not be read: {type(error).__name__}: {error}")
    return lines + attached.warnings()


def _parse_page(file: OpenPdf, other: _SecondOpinion, index: int) -> RawPage:
    lines = file.lines(index)
    lines = other.choose(index, lines, doubtful=index in getattr(file, "doubtful", ()))
    lines += _attempt(lambda: file.notes(index))
    blank = not any(line.text.strip() for line in lines) and file.is_blank(index)
    return RawPage(index, tuple(lines), None, blank)


def _take_inventory(file: OpenPdf, data: bytes, warnings: list[str]) -> Inventory:
    try:
        found = file.inventory()
        if found.attachments and not found.is_portfolio and file.count <= _COVER:
            return replace(found, is_portfolio=_is_portfolio(data))
        return found
    except Exception as error:  # a parser of hostile input may raise anything
        warnings.append(f"the list of attachments and forms could not be read: {error}")
        return Inventory()


def _is_portfolio(data: bytes) -> bool:
    if b"/Collection" in data:
        return True
    from pace_integrations.documents.formats.pdf.pypdf_engine import open_pypdf

    with suppress(Exception):
        file = open_pypdf(data, None)
        return not isinstance(file, str) and "/Collection" in file.reader.root_object
    return False


def _describe_pages(
    file: OpenPdf, pdfium: PdfiumFile | None, scans: list[int], others: list[int]
) -> list[str]:
    """Return what concerns many pages, a line for each kind."""
    named = [
        ("pages read by OCR", getattr(file, "recognized", [])),
        ("pages with a large picture and hardly any text, as scans have", scans),
        ("pages read by the other engine, since their text looked broken", others),
    ]
    if pdfium is not None:
        named += [
            ("pages with text outside what a viewer shows, not read", pdfium.outside),
            ("pages with lines that run off the page, read", pdfium.beyond),
            ("pages with text in hidden layers, not read", pdfium.visibility.turned_off),
            ("pages with white or invisible text, read", pdfium.visibility.unseen),
        ]
    lines = [f"{what}: {format_ranges(pages)}" for what, pages in named if pages]
    enclosed = [] if pdfium is None else pdfium.enclosed.left_out.items()
    return lines + [f"{what}, not read: {count}" for what, count in enclosed]
