"""An open PDF file, and what it says beside its text: labels, headings, title, metadata."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.formats.layout import Line

T = TypeVar("T")

# What programs write where an author gave no title: a file name, a placeholder, a print job.
_NO_TITLE = re.compile(
    r"(microsoft \w+ - .*|.*\.[a-z]{2,5}|untitled.*|no title|\(?anonymous\)?|unknown|title|"
    r"(document|presentation|powerpoint presentation|slide|book|doc)\s?\d*)",
    re.IGNORECASE | re.DOTALL,
)
_NO_VALUE = frozenset({"", "(unspecified)", "unspecified", "(anonymous)", "anonymous"})
_METADATA = ("/Author", "/Subject", "/Keywords", "/Creator", "/Producer", "/CreationDate")
_LONGEST = 200
_LABEL = 32
_MOST_HEADINGS = 10_000
_STAMP = 80  # characters of a page number, a date, a line of a scanner
SCAN = 500_000
"""Pixels of a picture that a page may be: an A5 page at 100 dots per inch."""


class OpenPdf(Protocol):
    """An open PDF file. Every method may raise anything."""

    @property
    def count(self) -> int:
        """How many pages there are."""
        ...

    def lines(self, index: int) -> list[Line]:
        """The lines of the page with a 1-based index, in reading order."""
        ...

    def has_picture(self, index: int) -> bool:
        """Tells whether the page with a 1-based index has a picture as large as a scan."""
        ...

    def labels(self) -> list[str]:
        """The label that the file defines for each page; blank ones where it defines none."""
        ...

    def outline(self) -> list[tuple[str, int]]:
        """The headings of the outline, each with the 1-based page that it leads to."""
        ...

    def metadata(self) -> Mapping[str, object]:
        """The entries of the document information dictionary, by names such as ``/Author``."""
        ...


def real_title(title: str) -> str | None:
    """A metadata title as one line, or None if it is only a program's placeholder."""
    line = " ".join(clean_characters(title).split())
    worded = sum(char.isalpha() for char in line) >= 3
    if not worded or len(line) > _LONGEST or _NO_TITLE.fullmatch(line):
        return None
    return line


def _metadata(info: Mapping[str, object]) -> dict[str, str]:
    """The document's own words about itself, as plain strings of bounded length."""
    values = {key: info[key] for key in ("/Title", *_METADATA) if key in info}
    cleaned = {
        key[1:].lower(): " ".join(clean_characters(value).split())[:_LONGEST]
        for key, value in values.items()
        if isinstance(value, str)
    }
    return {key: value for key, value in cleaned.items() if value not in _NO_VALUE}


def _labels(printed: list[str], count: int) -> list[str]:
    """The printed label of every page; the index where the file defines none."""
    cleaned = [" ".join(clean_characters(label).split()) for label in printed]
    cleaned += [""] * (count - len(cleaned))
    return [label[:_LABEL] or str(index) for index, label in enumerate(cleaned[:count], 1)]


def _sections(outline: list[tuple[str, int]], count: int) -> list[str | None]:
    """For every page the first heading on it, or else the last before it."""
    headings: dict[int, list[str]] = {}
    for title, page in outline[:_MOST_HEADINGS]:
        line = " ".join(clean_characters(title).split())[:_LONGEST]
        if line and 1 <= page <= count:
            headings.setdefault(page, []).append(line)
    sections: list[str | None] = []
    last: str | None = None
    for page in range(1, count + 1):
        here = headings.get(page)
        sections.append(here[0] if here else last)
        last = here[-1] if here else last
    return sections


def _optional(what: str, get: Callable[[], T], warnings: list[str]) -> T | None:
    """What a file says beside its text; where that is damaged the text is still worth having."""
    try:
        return get()
    except Exception as error:  # a parser of hostile input may raise anything
        warnings.append(f"{what} could not be read: {type(error).__name__}: {error}")
        return None


def preamble(file: OpenPdf, count: int, most: int) -> dict[str, Any]:
    """The journal's first record: what the file says beside the text of its first pages."""
    pages, warnings = min(count, most), list[str]()
    labels = _optional("page labels", lambda: _labels(file.labels(), pages), warnings)
    metadata = _optional("metadata", lambda: _metadata(file.metadata()), warnings)
    sections = _optional("outline", lambda: _sections(file.outline(), pages), warnings)
    return {
        "count": count,
        "labels": labels or [str(index) for index in range(1, pages + 1)],
        "sections": sections or [None] * pages,
        "metadata": metadata or {},
        "warnings": warnings,
    }


def is_stamped(file: OpenPdf, index: int, lines: Sequence[Line]) -> bool:
    """Tells whether a page has no more text than a stamp or a number, and a picture beside it."""
    letters = sum(len(line.text.strip()) for line in lines)
    if not 0 < letters < _STAMP:
        return False
    try:
        return file.has_picture(index)
    except Exception:  # a parser of hostile input may raise anything
        return False
