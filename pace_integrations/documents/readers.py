"""Finds the reader of a file and turns whatever happens there into a document and a report."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from pace_integrations.documents.capture import Messages, captured_messages
from pace_integrations.documents.pdf import MAGIC, PdfFiles
from pace_integrations.documents.text import TextFiles
from pace_integrations.documents.types import Document, FileReport, Reader, Reading, short_id

_PDF = PdfFiles()
READERS: tuple[Reader, ...] = (TextFiles(), _PDF)
SUFFIXES = tuple(sorted(suffix for reader in READERS for suffix in reader.suffixes))

_HEAD = 1024
_MOST_BYTES = 512 * 2**20
_NOT_OURS = f"Convert the file to PDF or text; these are read: {' '.join(SUFFIXES)}."
_NO_ACCESS = "Check that it is a file, that it exists and that you may read it."
_TOO_LARGE = f"Split the file; at most {_MOST_BYTES // 2**20} MiB of one file are read."
_DAMAGED = "The file is damaged; open it in its own program, save it anew and read that."
_NO_BYTES = "The file has no content; export or download it again."


def find_reader(head: bytes, suffix: str) -> Reader | None:
    """The reader for a file, by its first bytes and its suffix.

    Args:
        head: The first 1024 bytes of the file, or all of a shorter one.
        suffix: Its suffix, with the dot.

    Returns:
        The reader, or None for a kind of file that none reads.
    """
    # A text about PDF files may quote their first line anywhere but at its very start.
    if head.lstrip().startswith(MAGIC):
        return _PDF
    suffix = suffix.lower()
    return next((reader for reader in READERS if reader.recognises(head, suffix)), None)


def is_supported(path: Path) -> bool:
    """Tells whether a file is of a kind that is read. A file that cannot be opened counts."""
    try:
        with path.open("rb") as file:
            return find_reader(file.read(_HEAD), path.suffix) is not None
    except OSError:
        return path.suffix.lower() in SUFFIXES


def _read(path: Path, messages: Messages) -> tuple[Reading, str]:
    """Reads a file; returns what became of it and the hash of its bytes."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
        reader = find_reader(head, path.suffix)
        if reader is None:
            return Reading("unsupported", remedy=_NOT_OURS), ""
        if not head:
            return Reading("empty", remedy=_NO_BYTES), ""
        data = head + file.read(_MOST_BYTES)
    if len(data) > _MOST_BYTES:
        return Reading("unsupported", remedy=_TOO_LARGE), ""
    try:
        reading = reader.read(data, path.suffix.lower())
    except Exception as error:  # a parser of hostile input may raise anything
        messages.add(f"{type(error).__name__}: {error}")
        reading = Reading("corrupt", remedy=_DAMAGED)
    return reading, hashlib.sha256(data).hexdigest()


def _attempt(path: Path) -> tuple[Reading, str, tuple[str, ...]]:
    """Reads a file; adds what its parser said and what the file system refused."""
    with captured_messages() as messages:
        if not path.is_file():
            # Opening a pipe or a device would wait for ever.
            messages.add("not a regular file: a folder, a device or a link that leads nowhere")
            reading, sha256 = Reading("unsupported", remedy=_NO_ACCESS), ""
        else:
            try:
                reading, sha256 = _read(path, messages)
            except OSError as error:
                messages.add(f"the file cannot be opened: {error.strerror or error}")
                reading, sha256 = Reading("corrupt", remedy=_NO_ACCESS), ""
        for warning in reading.warnings:
            messages.add(warning)
    return reading, sha256, messages.lines()


def _name(path: Path) -> str:
    """The file's name; bytes in it that are no UTF-8 would break tokenizers later on."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def read_file(path: Path) -> tuple[Document | None, FileReport]:
    """Reads one file. Never raises for what is in it.

    Args:
        path: The file.

    Returns:
        The document, or None if nothing could be read, and the report on the file.
    """
    start = time.perf_counter()
    reading, sha256, warnings = _attempt(path)
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
