"""Reads plain text and Markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pace_integrations.documents.formats.encodings import decode_text
from pace_integrations.documents.types import Page, ParseResult

_SAVE_AGAIN = "Save the file as UTF-8 text and read it again."
_NOT_TEXT = "The file is not text, or in an encoding that it does not declare; save it as UTF-8."
_EMPTY = "The file holds no text; check that it was saved or downloaded whole."
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]")
_FENCE = re.compile(r"^ {0,3}(```+|~~~+).*?^ {0,3}\1[`~]*[ \t]*$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(
    r"^ {0,3}#{1,6}[ \t]+(?P<atx>.*?)[ \t]*#*[ \t]*$"
    r"|^ {0,3}(?P<setext>\S.*?)[ \t]*\n {0,3}(?:=+|-{3,})[ \t]*$",
    re.MULTILINE,
)
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n.*?^---[ \t]*$\n?", re.MULTILINE | re.DOTALL)
_MARKUP = re.compile(r"[*_`]{1,3}|!?\[([^\]]*)\]\([^)]*\)")


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

    def read(self, data: bytes, suffix: str) -> ParseResult:
        """Decodes the bytes and splits them into pages at form feeds."""
        text, problem = decode_text(data)
        warnings = () if problem is None else (problem,)
        if text is None:
            return ParseResult("corrupt", warnings=warnings, remedy=_NOT_TEXT)
        pages, count = split_pages(text)
        if not pages:
            return ParseResult("empty", page_count=count, warnings=warnings, remedy=_EMPTY)
        title = markdown_title(pages[0].text) if suffix in {".md", ".markdown"} else None
        if problem is None:
            return ParseResult("ok", pages, count, title)
        return ParseResult("partial", pages, count, title, warnings=warnings, remedy=_SAVE_AGAIN)
