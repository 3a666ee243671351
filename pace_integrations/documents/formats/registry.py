"""Finds the reader of a file and turns whatever happens there into a reading.

Everything here runs in the process that parses.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from pace_integrations.documents.formats.capture import Messages, captured_messages
from pace_integrations.documents.formats.sniffing import (
    DOCX,
    EPUB,
    HTML,
    PDF,
    SUFFIXES,
    Kind,
    kind_in,
)
from pace_integrations.documents.formats.text import TextFiles
from pace_integrations.documents.options import ReadOptions
from pace_integrations.documents.types import (
    LimitExceededError,
    PagedReader,
    ParseJob,
    ParseResult,
    Reader,
)
from pace_integrations.errors import MissingExtraError

_NOT_OURS = f"Convert the file to PDF or text; these are read: {' '.join(SUFFIXES)}."
_NO_ACCESS = "Check that it is a file, that it exists and that you may read it."
_TOO_LARGE = "Split the file, or raise the limits if you trust it."
_DAMAGED = "The file is damaged; open it in its own program, save it anew and read that."
_NO_BYTES = "The file has no content; export or download it again."


def reader_for(kind: Kind, options: ReadOptions) -> Reader | PagedReader:
    """Makes the reader for a kind of file; only now its parser is loaded.

    Raises:
        MissingExtraError: The parser is not installed.
    """
    if kind is PDF:
        return _pdf(options)
    if kind not in (HTML, DOCX, EPUB):
        return TextFiles()
    try:
        if kind is HTML:
            from pace_integrations.documents.formats.html import HtmlFiles

            return HtmlFiles()
        if kind is DOCX:
            from pace_integrations.documents.formats.docx import DocxFiles

            return DocxFiles(options.limits.expanded)
        from pace_integrations.documents.formats.epub import EpubFiles

        return EpubFiles(options.limits.expanded)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"reading {kind.name} files", "documents") from error


def _pdf(options: ReadOptions) -> PagedReader:
    if options.pdf == "pdfium":
        try:
            from pace_integrations.documents.formats.pdf_pdfium import PdfiumFiles
        except ModuleNotFoundError as error:
            raise MissingExtraError("reading PDF files with pdfium", "pdf-fast") from error
        return PdfiumFiles(options.limits, options.ocr)
    from pace_integrations.documents.formats.pdf_pypdf import PdfFiles

    return PdfFiles(options.limits, options.ocr)


def _read(
    path: Path, options: ReadOptions, job: ParseJob, messages: Messages
) -> tuple[ParseResult, str]:
    """Reads a file; returns what became of it and the hash of its bytes."""
    most = options.limits.size
    with path.open("rb") as file:
        kind = kind_in(file, path.suffix)
        if kind is None:
            return ParseResult("unsupported", remedy=_NOT_OURS), ""
        size = os.fstat(file.fileno()).st_size
        if size > most:
            messages.add(f"the file is larger than the limit of {most / 2**20:g} MiB")
            return ParseResult("unsupported", remedy=_TOO_LARGE), ""
        data = file.read(size)  # takes as much memory as it may read
    if not data:
        return ParseResult("empty", remedy=_NO_BYTES), ""
    return _parsed(data, kind, path, options, job, messages), hashlib.sha256(data).hexdigest()


def _parsed(
    data: bytes, kind: Kind, path: Path, options: ReadOptions, job: ParseJob, messages: Messages
) -> ParseResult:
    """Gives the bytes to their reader; whatever it raises becomes a status."""
    try:
        reader = reader_for(kind, options)
        if isinstance(reader, PagedReader):
            return reader.read_into(data, job)
        reading = reader.read(data, path.suffix.lower())
    except MissingExtraError as error:
        return ParseResult("unsupported", remedy=f"{str(error)[0].upper()}{str(error)[1:]}.")
    except LimitExceededError as error:
        messages.add(str(error))
        return ParseResult("unsupported", remedy=_TOO_LARGE)
    except MemoryError:
        messages.add(f"it needs more memory than {options.limits.memory / 2**20:g} MiB, the limit")
        return ParseResult("unsupported", remedy=_TOO_LARGE)
    except Exception as error:  # a parser of hostile input may raise anything
        messages.add(f"{type(error).__name__}: {error}")
        return ParseResult("corrupt", remedy=_DAMAGED)
    for page in reading.pages:
        job.emit(page)
    return replace(reading, pages=())


def read_into(path: Path, options: ReadOptions, job: ParseJob) -> tuple[ParseResult, str]:
    """Reads one file in this process. Never raises for what is in it.

    Args:
        path: The file.
        options: Limits and parsers.
        job: Takes the pages that carry text.

    Returns:
        What became of the file, without its pages and with all that its parser said; and the hash
        of its bytes, or "" where they were not read.
    """
    with captured_messages() as messages:
        if not path.is_file():
            # Opening a pipe or a device would wait for ever.
            messages.add("not a regular file: a folder, a device or a link that leads nowhere")
            reading, sha256 = ParseResult("unsupported", remedy=_NO_ACCESS), ""
        else:
            try:
                reading, sha256 = _read(path, options, job, messages)
            except OSError as error:
                messages.add(f"the file cannot be opened: {error.strerror or error}")
                reading, sha256 = ParseResult("corrupt", remedy=_NO_ACCESS), ""
    return replace(reading, warnings=messages.lines(reading.warnings)), sha256
