"""Reads plain text and Markdown."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import NamedTuple

from pace_integrations.documents.types import Page, Reading

# UTF-32 comes first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LOST = "\ufffd"
_SAVE_AGAIN = "Save the file as UTF-8 text and read it again."
_NOT_TEXT = "The file is not text, or in an encoding that it does not declare; save it as UTF-8."
_EMPTY = "The file holds no text; check that it was saved or downloaded whole."
# Western European text has few accented letters; more of them mean another alphabet.
_MOST_ACCENTED = 0.15
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]")
_FENCE = re.compile(r"^ {0,3}(```+|~~~+).*?^ {0,3}\1[`~]*[ \t]*$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(
    r"^ {0,3}#{1,6}[ \t]+(?P<atx>.*?)[ \t]*#*[ \t]*$"
    r"|^ {0,3}(?P<setext>\S.*?)[ \t]*\n {0,3}(?:=+|-{3,})[ \t]*$",
    re.MULTILINE,
)
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n.*?^---[ \t]*$\n?", re.MULTILINE | re.DOTALL)
_MARKUP = re.compile(r"[*_`]{1,3}|!?\[([^\]]*)\]\([^)]*\)")


class Decoded(NamedTuple):
    """Text made of bytes.

    Attributes:
        text: The text, or None where the bytes are none.
        problem: What was lost or guessed, or None.
    """

    text: str | None
    problem: str | None = None


def _marked(data: bytes) -> Decoded | None:
    """Decodes bytes that begin with a byte order mark."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            text = data[len(mark) :].decode(encoding, "replace")
            lost = text.count(_LOST)
            return Decoded(text, f"{lost} characters are no valid {encoding}" if lost else None)
    return None


def _guessed(data: bytes) -> Decoded:
    """Decodes bytes that are no valid UTF-8: UTF-8 with damage, Windows-1252, or no text."""
    text = data.decode("utf-8", "replace")
    lost = text.count(_LOST)
    letters = sum(not char.isascii() for char in text) - lost
    if letters > lost:
        return Decoded(text, f"{lost} characters are no valid UTF-8")
    accented = sum(byte > 127 for byte in data)
    if accented <= _MOST_ACCENTED * len(data):
        return Decoded(
            data.decode("cp1252", "replace"), "the file is not UTF-8; it was read as Windows-1252"
        )
    return Decoded(None, "the bytes are no valid UTF-8 and have no byte order mark")


def decode(data: bytes) -> Decoded:
    """Decodes a text file: by its byte order mark, as UTF-8, or by a guess that it reports.

    Never raises. NUL bytes without a mark mean a binary file.
    """
    marked = _marked(data)
    if marked is not None:
        return marked
    if data.count(0) > 0.01 * len(data):
        return Decoded(None, "the file holds binary data")
    try:
        return Decoded(data.decode("utf-8"))
    except UnicodeDecodeError:
        return _guessed(data)


def split_pages(text: str) -> tuple[tuple[Page, ...], int]:
    """Splits a text into pages at form feeds.

    Args:
        text: Any text.

    Returns:
        The pages that carry text, without labels, and the number of all pages.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # Tokenizers refuse lone surrogates, which a str may hold.
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    parts = _CONTROLS.sub("", text).rstrip().split("\f")
    bodies = [part.strip("\n").rstrip() for part in parts]
    pages = tuple(Page(index, None, body) for index, body in enumerate(bodies, 1) if body.strip())
    return pages, len(bodies)


def markdown_title(text: str) -> str | None:
    """The first heading of a Markdown text, without its markup, or None."""
    body = _FENCE.sub("", _FRONT_MATTER.sub("", text))
    for match in _HEADING.finditer(body):
        heading = match["atx"] or match["setext"] or ""
        title = " ".join(_MARKUP.sub(r"\1", heading).split())
        if any(char.isalnum() for char in title):
            return title
    return None


@dataclass(frozen=True, slots=True)
class TextFiles:
    """Reads plain text and Markdown; both are read as they stand."""

    @property
    def suffixes(self) -> frozenset[str]:
        """Suffixes of text files."""
        return frozenset({".txt", ".text", ".md", ".markdown", ".rst"})

    def recognises(self, head: bytes, suffix: str) -> bool:
        """Goes by the suffix alone: any bytes may be text."""
        return suffix in self.suffixes

    def read(self, data: bytes, suffix: str) -> Reading:
        """Decodes the bytes and splits them into pages at form feeds."""
        text, problem = decode(data)
        warnings = () if problem is None else (problem,)
        if text is None:
            return Reading("corrupt", warnings=warnings, remedy=_NOT_TEXT)
        pages, count = split_pages(text)
        if not pages:
            return Reading("empty", page_count=count, warnings=warnings, remedy=_EMPTY)
        title = markdown_title(pages[0].text) if suffix in {".md", ".markdown"} else None
        if problem is None:
            return Reading("ok", pages, count, title)
        return Reading("partial", pages, count, title, warnings=warnings, remedy=_SAVE_AGAIN)
