"""Tells the kind of a file by its first bytes and its suffix. Loads no parser."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

HEAD = 1024
"""Bytes from the start of a file that tell its kind."""

TAIL = 4096
"""Bytes from the end of a file that tell the kind of a zip archive."""

_PDF = b"%PDF-"
_ZIP = b"PK\x03\x04"
_EPUB = b"mimetypeapplication/epub+zip"
_WORD = b"word/document.xml"
_HTML = re.compile(rb"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html[\s>])", re.I | re.S)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file that is read.

    Attributes:
        name: Its name.
        suffixes: Lower-case suffixes, with the dot.
        hostile: Whether its parser is so involved that it runs in a process of its own.
    """

    name: str
    suffixes: frozenset[str]
    hostile: bool = True


TEXT = Kind("text", frozenset({".txt", ".text", ".md", ".markdown", ".rst"}), hostile=False)
PDF = Kind("pdf", frozenset({".pdf"}))
HTML = Kind("html", frozenset({".html", ".htm", ".xhtml"}))
DOCX = Kind("docx", frozenset({".docx"}))
EPUB = Kind("epub", frozenset({".epub"}))
KINDS = (TEXT, PDF, HTML, DOCX, EPUB)
SUFFIXES = tuple(sorted(suffix for kind in KINDS for suffix in kind.suffixes))


def _by_content(head: bytes, tail: bytes) -> Kind | None:
    """The kind that a file says it is, whatever its name."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n\x00")
    # A text about PDF files may quote their first line anywhere but at its very start.
    if start.startswith(_PDF):
        return PDF
    if start.startswith(_ZIP):
        return EPUB if _EPUB in head else DOCX if _WORD in tail else None
    return HTML if _HTML.match(start) else None


def kind_of(head: bytes, suffix: str, tail: bytes = b"") -> Kind | None:
    """The kind of a file.

    What a file begins with counts more than its suffix; a PDF may come after a mail's header.

    Args:
        head: The first `HEAD` bytes of the file, or all of a shorter one.
        suffix: Its suffix, with the dot.
        tail: Its last `TAIL` bytes, where a zip archive lists its members.

    Returns:
        The kind, or None if files of this kind are not read.
    """
    suffix = suffix.lower()
    named = next((kind for kind in KINDS if suffix in kind.suffixes), None)
    return _by_content(head, tail) or named or (PDF if _PDF in head else None)


def kind_in(file: BinaryIO, suffix: str) -> Kind | None:
    """The kind of an open file; leaves it at its start."""
    head = file.read(HEAD)
    file.seek(-min(TAIL, file.seek(0, os.SEEK_END)), os.SEEK_END)
    tail = file.read(TAIL)
    file.seek(0)
    return kind_of(head, suffix, tail)


def is_supported(path: Path) -> bool:
    """Tells whether a file is of a kind that is read. A file that cannot be opened counts."""
    try:
        with path.open("rb") as file:
            return kind_in(file, path.suffix) is not None
    except OSError:
        return path.suffix.lower() in SUFFIXES


def is_kind(path: str | Path, kind: Kind) -> bool:
    """Tells whether a file is of a kind; one that cannot be opened is of none."""
    try:
        with Path(path).open("rb") as file:
            return kind_in(file, Path(path).suffix) is kind
    except OSError:
        return False
