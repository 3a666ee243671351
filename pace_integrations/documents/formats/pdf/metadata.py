"""An open PDF file, and what it says beside its text: labels, headings, title, metadata."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from pace_integrations.documents.formats.clean import clean_characters
from pace_integrations.documents.formats.page_assembly import Preamble
from pace_integrations.documents.formats.running_lines import Line

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


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a file holds beside the text of its pages.

    Attributes:
        attachments: Names of the files in it.
        is_portfolio: Whether its pages are but the cover of the files in it.
        is_xfa: Whether its form is drawn by a program that few viewers have.
    """

    attachments: Sequence[str] = ()
    is_portfolio: bool = False
    is_xfa: bool = False


class OpenPdf(Protocol):
    """An open PDF file. Every method may raise anything."""

    @property
    def count(self) -> int:
        """Number of pages."""
        ...

    def lines(self, index: int) -> list[Line]:
        """Return the lines of the page with a 1-based index, in reading order."""
        ...

    def has_picture(self, index: int) -> bool:
        """Tell whether the page with a 1-based index has a picture as large as a scan."""
        ...

    def is_blank(self, index: int) -> bool:
        """Tell whether a page without text draws nothing at all."""
        ...

    def notes(self, index: int) -> list[Line]:
        """Return the words that people wrote on a page: typed annotations, fields of a form."""
        ...

    def inventory(self) -> Inventory:
        """Return what the file holds beside the text of its pages."""
        ...

    def attached(self) -> Iterator[tuple[str, bytes]]:
        """Yield names and bytes of the files in the file, and of those on the pages read."""
        ...

    def xfa_packets(self) -> dict[str, bytes]:
        """Return the packets of an XFA form by their names."""
        ...

    def labels(self) -> list[str]:
        """Return the label that the file defines for each page; blank ones where there is none."""
        ...

    def outline(self) -> list[tuple[str, int]]:
        """Return the headings of the outline, each with the 1-based page that it leads to."""
        ...

    def metadata(self) -> Mapping[str, object]:
        """Return the entries of the information dictionary, by names such as ``/Author``."""
        ...


def real_title(title: str) -> str | None:
    """Return a metadata title as one line, or None if it is only a program's placeholder."""
    line = " ".join(clean_characters(title).split())
    worded = sum(char.isalpha() for char in line) >= 3
    if not worded or len(line) > _LONGEST or _NO_TITLE.fullmatch(line):
        return None
    return line


def _clean_metadata(info: Mapping[str, object]) -> dict[str, str]:
    """Return the document's own words about itself, as plain strings of bounded length."""
    values = {key: info[key] for key in ("/Title", *_METADATA) if key in info}
    cleaned = {
        key[1:].lower(): " ".join(clean_characters(value).split())[:_LONGEST]
        for key, value in values.items()
        if isinstance(value, str)
    }
    return {key: value for key, value in cleaned.items() if value not in _NO_VALUE}


def _clean_labels(printed: list[str], count: int) -> tuple[str, ...]:
    """Return the label of every page, or () where the file defines none."""
    cleaned = [" ".join(clean_characters(label).split())[:_LABEL] for label in printed[:count]]
    return tuple(cleaned) if any(cleaned) else ()


def _find_sections(outline: list[tuple[str, int]], count: int) -> list[str | None]:
    """Return for every page the first heading on it, or else the last before it."""
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


def _try(what: str, get: Callable[[], T], warnings: list[str]) -> T | None:
    """Return what a file says beside its text; where that is damaged the text is worth having."""
    try:
        return get()
    except Exception as error:  # a parser of hostile input may raise anything
        warnings.append(f"{what} could not be read: {type(error).__name__}: {error}")
        return None


def read_preamble(file: OpenPdf, limit: int, warnings: list[str]) -> Preamble:
    """Return what the file says beside the text of its first pages."""
    count = file.count
    pages = min(count, limit)
    labels = _try("page labels", lambda: _clean_labels(file.labels(), pages), warnings)
    metadata = _try("metadata", lambda: _clean_metadata(file.metadata()), warnings) or {}
    sections = _try("outline", lambda: _find_sections(file.outline(), pages), warnings)
    title = real_title(metadata.pop("title", ""))
    return Preamble(count, labels or (), tuple(sections or ()), title, metadata)


def is_stamped(file: OpenPdf, index: int, lines: Sequence[Line]) -> bool:
    """Tell whether a page has no more text than a stamp or a number, and a picture beside it."""
    letters = sum(len(line.text.strip()) for line in lines)
    if not 0 < letters < _STAMP:
        return False
    try:
        return file.has_picture(index)
    except Exception:  # a parser of hostile input may raise anything
        return False
