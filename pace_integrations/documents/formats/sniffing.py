"""Tells the format of a file by what it holds, and only then by its name. Loads no parser."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from pace_integrations.documents.formats.registry import FORMATS, Format, find_format
from pace_integrations.documents.formats.registry import SUFFIXES as SUFFIXES

HEAD = 4096
"""Bytes from the start of a file that tell its format."""

TAIL = 2**20
"""Bytes from the end of a zip archive, where its members are listed."""

_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_LOCKED = "EncryptedPackage".encode("utf-16-le")
_LOOSE = b"%PDF-"  # a mail's header may come before it
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"BM", b"RIFF", b"\x1f\x8b")
# Controls that no text has; escape (27) colors the logs of terminals.
_BINARY = bytes({*range(9), *range(14, 27), *range(28, 32)} - {8})
_MAX_BINARY = 0.01

TEXT = find_format("text")
PDF = find_format("pdf")


def is_locked_office(head: bytes, tail: bytes) -> bool:
    """Tell whether a file is an Office document behind a password."""
    return head.startswith(_OLE) and (_LOCKED in head or _LOCKED in tail)


def _format_by_content(head: bytes, tail: bytes) -> Format | None:
    """Return the format that a file says it is, whatever its name."""
    # A text about PDF files may quote their first line anywhere but at its very start.
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n\x00")
    for row in FORMATS:
        if any(start.startswith(magic) for magic in row.magic):
            return row
        if row.pattern is not None and row.pattern.match(start):
            return row
        if row.member and start.startswith(_ZIP) and row.member.encode() in tail:
            return row
    return None


def _format_by_name(name: str) -> Format | None:
    """Return the format of a file name or a suffix; the longest suffix counts."""
    name = name.lower()
    for row in FORMATS:
        if any(name.endswith(s) if s.startswith(".") else name == s for s in row.suffixes):
            return row
    return None


def looks_like_text(head: bytes) -> bool:
    """Tell whether bytes are text in some encoding: no controls, or every other byte is zero."""
    if not head or head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    if head.startswith((_ZIP, _OLE, *_PICTURES)):
        return False
    zeros = head.count(0)
    if zeros > 0.2 * len(head):  # UTF-16 of a script with spaces
        return max(head[0::2].count(0), head[1::2].count(0)) > 0.9 * zeros
    return len(head) - len(head.translate(None, _BINARY)) <= _MAX_BINARY * len(head)


def detect_format(head: bytes, name: str, tail: bytes = b"") -> Format | None:
    """Return the format of a file.

    What a file begins with counts more than its name, except among formats that are all text.

    Args:
        head: The first `HEAD` bytes of the file, or all of a shorter one.
        name: Its name or its suffix.
        tail: The last `TAIL` bytes of a zip archive.

    Returns:
        Its row of the table, or None if it is of no format that is read.
    """
    named, found = _format_by_name(name), _format_by_content(head, tail)
    if found is not None and not (named is not None and not named.isolated and found.pattern):
        return found
    if is_locked_office(head, tail):
        return next(row for row in FORMATS if row.member)
    if named is not None:
        return named
    if _LOOSE in head:
        return PDF
    return TEXT if head and looks_like_text(head) else None


def read_ends(file: BinaryIO) -> tuple[bytes, bytes]:
    """Return the head of an open file, and its tail if it is an archive; leaves it at its start."""
    head = file.read(HEAD)
    tail = b""
    if head.startswith((_ZIP, _OLE)):
        file.seek(-min(TAIL, file.seek(0, os.SEEK_END)), os.SEEK_END)
        tail = file.read(TAIL)
    file.seek(0)
    return head, tail


def detect_file(file: BinaryIO, name: str) -> Format | None:
    """Return the format of an open file; leaves it at its start."""
    head, tail = read_ends(file)
    return detect_format(head, name, tail)


def is_supported(path: Path) -> bool:
    """Tell whether a file is of a format that is read. A file that cannot be opened counts."""
    try:
        with path.open("rb") as file:
            return detect_file(file, path.name) is not None
    except OSError:
        return path.suffix.lower() in SUFFIXES


def is_kind(path: str | Path, kind: Format) -> bool:
    """Tell whether a file is of a format; one that cannot be opened is of none."""
    try:
        with Path(path).open("rb") as file:
            return detect_file(file, Path(path).name) is kind
    except OSError:
        return False


def needs_worker(path: Path) -> bool:
    """Tell whether a file is of a format whose parser runs in a process of its own."""
    try:
        if not path.is_file():
            return False  # never opened, only reported
        with path.open("rb") as file:
            row = detect_file(file, path.name)
    except OSError:
        return False
    return row is not None and row.isolated
