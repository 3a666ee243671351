"""What the PDF parsers share: from raw pages, labels and metadata to a reading.

Knows no parser; `pdf` and `pdfium` each give it an open file.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from pace_integrations.documents.clean import clean_characters, clean_pages
from pace_integrations.documents.types import Page, Reading, Status

T = TypeVar("T")

_REMEDIES: dict[Status, str] = {
    "encrypted": "The file needs a password; save a copy without one and read that.",
    "corrupt": "The file is damaged; open it in a PDF viewer, print it to a new PDF and read that.",
    "empty": "The file has no pages; export or download it again.",
    "no_text_layer": "The pages are pictures; run OCR (for example ocrmypdf) and read its output.",
    "partial": "Look at the pages named in the warnings; scanned pages need OCR.",
}
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


def real_title(title: str) -> str | None:
    """A metadata title as one line, or None if it is only a program's placeholder."""
    line = " ".join(clean_characters(title).split())
    worded = sum(char.isalpha() for char in line) >= 3
    if not worded or len(line) > _LONGEST or _NO_TITLE.fullmatch(line):
        return None
    return line


class OpenPdf(Protocol):
    """An open PDF file. Every method may raise anything."""

    @property
    def count(self) -> int:
        """How many pages there are."""
        ...

    def text(self, index: int) -> str:
        """Raw text of the page with a 1-based index."""
        ...

    def labels(self) -> list[str]:
        """The label that the file defines for each page; blank ones where it defines none."""
        ...

    def metadata(self) -> Mapping[str, object]:
        """The entries of the document information dictionary, by names such as ``/Author``."""
        ...


@dataclass(frozen=True, slots=True)
class PdfLimits:
    """Where the reading of one file ends.

    Attributes:
        pages: Most pages read.
        seconds: Seconds after which no further page is begun.
    """

    pages: int
    seconds: float


def refused(status: Status) -> Reading:
    """The reading of a file without any page, with its remedy."""
    return Reading(status, remedy=_REMEDIES[status])


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


def _numbers(indices: list[int]) -> str:
    """Page numbers as people write them: ``3, 5-9``."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _texts(file: OpenPdf, count: int, limits: PdfLimits) -> tuple[list[str], list[int], list[str]]:
    """Raw text of the pages read, the 1-based pages that failed, and what went wrong."""
    start, texts, failed, warnings = time.monotonic(), list[str](), list[int](), list[str]()
    for index in range(1, min(count, limits.pages) + 1):
        if time.monotonic() - start > limits.seconds:
            break
        try:
            texts.append(file.text(index))
        except Exception as error:  # a parser of hostile input may raise anything
            texts.append("")
            failed.append(index)
            warnings.append(f"page {index} could not be read: {type(error).__name__}: {error}")
    if len(texts) < count:
        left = _numbers(list(range(len(texts) + 1, count + 1)))
        most = f"{limits.pages} pages or {limits.seconds:g} seconds"
        warnings.append(f"pages not read, over the limit of {most} per file: {left}")
    return texts, failed, warnings


def _optional(what: str, get: Callable[[], T], otherwise: T, warnings: list[str]) -> T:
    """What a file says beside its text; where that is damaged the text is still worth having."""
    try:
        return get()
    except Exception as error:  # a parser of hostile input may raise anything
        warnings.append(f"{what} could not be read: {type(error).__name__}: {error}")
        return otherwise


def read_pdf(file: OpenPdf, limits: PdfLimits) -> Reading:
    """Reads every page; a page that fails costs that page only."""
    count = file.count
    texts, failed, warnings = _texts(file, count, limits)
    numbers = [str(index) for index in range(1, count + 1)]
    labels = _optional("page labels", lambda: _labels(file.labels(), count), numbers, warnings)
    nothing = dict[str, str]()
    metadata = _optional("metadata", lambda: _metadata(file.metadata()), nothing, warnings)
    pages = tuple(
        Page(index, label, text)
        for index, (label, text) in enumerate(zip(labels, clean_pages(texts), strict=False), 1)
        if text
    )
    return _reading(pages, count, failed, metadata, warnings)


def _reading(
    pages: tuple[Page, ...],
    count: int,
    failed: list[int],
    metadata: dict[str, str],
    warnings: list[str],
) -> Reading:
    """Puts the pages and all that went wrong into a status and a remedy."""
    present = {page.index for page in pages} | set(failed)
    blank = [index for index in range(1, count + 1) if index not in present]
    status: Status = "ok" if len(pages) == count else "partial"
    if not pages:
        status = "corrupt" if failed else "no_text_layer"
    if status == "partial" and blank:
        warnings.append(f"pages without text: {_numbers(blank)}")
    return Reading(
        status,
        pages,
        count,
        real_title(metadata.pop("title", "")),
        metadata,
        tuple(warnings),
        _REMEDIES.get(status),
    )
