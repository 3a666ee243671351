"""Finds the reader of a file and turns whatever happens there into a document and a report."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from pace_integrations.documents.capture import Messages, captured_messages
from pace_integrations.documents.kinds import (
    DOCX,
    EPUB,
    HTML,
    PDF,
    SUFFIXES,
    Kind,
    kind_in,
)
from pace_integrations.documents.options import ReadOptions
from pace_integrations.documents.text import TextFiles
from pace_integrations.documents.types import (
    Document,
    FileReport,
    LimitExceededError,
    Reader,
    Reading,
    short_id,
)
from pace_integrations.errors import MissingExtraError

_DEFAULT = ReadOptions()
_NOT_OURS = f"Convert the file to PDF or text; these are read: {' '.join(SUFFIXES)}."
_NO_ACCESS = "Check that it is a file, that it exists and that you may read it."
_TOO_LARGE = "Split the file, or raise the limits if you trust it."
_DAMAGED = "The file is damaged; open it in its own program, save it anew and read that."
_NO_BYTES = "The file has no content; export or download it again."


def reader_for(kind: Kind, options: ReadOptions) -> Reader:
    """Makes the reader for a kind of file; only now its parser is loaded.

    Raises:
        MissingExtraError: The parser is not installed.
    """
    limits = options.limits
    if kind is PDF:
        if options.pdf == "pdfium":
            return _pdfium(options)
        from pace_integrations.documents.pdf import PdfFiles

        return PdfFiles(limits.pages, limits.seconds)
    if kind not in (HTML, DOCX, EPUB):
        return TextFiles()
    try:
        if kind is HTML:
            from pace_integrations.documents.html import HtmlFiles

            return HtmlFiles()
        if kind is DOCX:
            from pace_integrations.documents.docx import DocxFiles

            return DocxFiles(limits.expanded)
        from pace_integrations.documents.epub import EpubFiles

        return EpubFiles(limits.expanded)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"reading {kind.name} files", "documents") from error


def _pdfium(options: ReadOptions) -> Reader:
    try:
        from pace_integrations.documents.pdfium import PdfiumFiles
    except ModuleNotFoundError as error:
        raise MissingExtraError("reading PDF files with pdfium", "pdf-fast") from error
    return PdfiumFiles(options.limits.pages, options.limits.seconds)


def _read(path: Path, options: ReadOptions, messages: Messages) -> tuple[Reading, str]:
    """Reads a file; returns what became of it and the hash of its bytes."""
    most = options.limits.size
    with path.open("rb") as file:
        kind = kind_in(file, path.suffix)
        if kind is None:
            return Reading("unsupported", remedy=_NOT_OURS), ""
        data = file.read(most + 1)
    if not data:
        return Reading("empty", remedy=_NO_BYTES), ""
    if len(data) > most:
        messages.add(f"the file is larger than the limit of {most / 2**20:g} MiB")
        return Reading("unsupported", remedy=_TOO_LARGE), ""
    return _parsed(data, kind, path, options, messages), hashlib.sha256(data).hexdigest()


def _parsed(
    data: bytes, kind: Kind, path: Path, options: ReadOptions, messages: Messages
) -> Reading:
    """Gives the bytes to their reader; whatever it raises becomes a status."""
    try:
        return reader_for(kind, options).read(data, path.suffix.lower())
    except MissingExtraError as error:
        return Reading("unsupported", remedy=f"{str(error)[0].upper()}{str(error)[1:]}.")
    except LimitExceededError as error:
        messages.add(str(error))
        return Reading("unsupported", remedy=_TOO_LARGE)
    except Exception as error:  # a parser of hostile input may raise anything
        messages.add(f"{type(error).__name__}: {error}")
        return Reading("corrupt", remedy=_DAMAGED)


def _attempt(path: Path, options: ReadOptions) -> tuple[Reading, str, tuple[str, ...]]:
    """Reads a file; adds what its parser said and what the file system refused."""
    with captured_messages() as messages:
        if not path.is_file():
            # Opening a pipe or a device would wait for ever.
            messages.add("not a regular file: a folder, a device or a link that leads nowhere")
            reading, sha256 = Reading("unsupported", remedy=_NO_ACCESS), ""
        else:
            try:
                reading, sha256 = _read(path, options, messages)
            except OSError as error:
                messages.add(f"the file cannot be opened: {error.strerror or error}")
                reading, sha256 = Reading("corrupt", remedy=_NO_ACCESS), ""
        for warning in reading.warnings:
            messages.add(warning)
    return reading, sha256, messages.lines()


def _name(path: Path) -> str:
    """The file's name; bytes in it that are no UTF-8 would break tokenizers later on."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def read_file(path: Path, options: ReadOptions = _DEFAULT) -> tuple[Document | None, FileReport]:
    """Reads one file in this process. Never raises for what is in it.

    Args:
        path: The file.
        options: Limits and parsers.

    Returns:
        The document, or None if nothing could be read, and the report on the file.
    """
    start = time.perf_counter()
    reading, sha256, warnings = _attempt(path, options)
    report = FileReport(
        str(path),
        reading.status,
        reading.page_count,
        len(reading.pages),
        time.perf_counter() - start,
        warnings,
        reading.remedy,
    )
    if not reading.pages:
        return None, report
    title = reading.title or _name(path)
    document = Document(
        short_id(sha256), title, reading.pages, sha256, str(path), dict(reading.metadata)
    )
    return document, report
