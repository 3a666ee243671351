"""Reads PDF files with pypdf."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO

from pypdf import PasswordType, PdfReader
from pypdf.generic import DictionaryObject

from pace_integrations.documents.clean import clean_characters, clean_pages
from pace_integrations.documents.fonts import prefer_named_encodings
from pace_integrations.documents.types import Page, Reading, Status

MAGIC = b"%PDF-"

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


def _metadata(reader: PdfReader) -> dict[str, str]:
    """The document's own words about itself, as plain strings of bounded length."""
    info: Mapping[str, object] = reader.metadata or {}
    values = {key: info[key] for key in ("/Title", *_METADATA) if key in info}
    cleaned = {
        key[1:].lower(): " ".join(clean_characters(value).split())[:_LONGEST]
        for key, value in values.items()
        if isinstance(value, str)
    }
    return {key: value for key, value in cleaned.items() if value not in _NO_VALUE}


def _labels(reader: PdfReader, count: int) -> list[str]:
    """The printed label of every page; the index where the file defines none."""
    printed = [" ".join(clean_characters(label).split()) for label in reader.page_labels]
    printed += [""] * (count - len(printed))
    return [label[:_LABEL] or str(index) for index, label in enumerate(printed[:count], 1)]


def _numbers(indices: list[int]) -> str:
    """Page numbers as people write them: ``3, 5-9``."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


@dataclass(frozen=True, slots=True)
class PdfFiles:
    """Reads PDF files.

    Attributes:
        page_limit: Most pages read of one file.
        seconds_limit: Seconds after which no further page of a file is begun.
    """

    page_limit: int = 20_000
    seconds_limit: float = 300.0

    @property
    def suffixes(self) -> frozenset[str]:
        """Suffixes that are taken for PDF whatever the file begins with."""
        return frozenset({".pdf"})

    def recognises(self, head: bytes, suffix: str) -> bool:
        """A PDF says so in its first 1024 bytes, after whatever a mailer put before it."""
        return suffix in self.suffixes or MAGIC in head

    def read(self, data: bytes, suffix: str) -> Reading:
        """Reads every page; a page that fails costs that page only."""
        reader = PdfReader(BytesIO(data), strict=False)
        if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
            return Reading("encrypted", remedy=_REMEDIES["encrypted"])
        count = len(reader.pages)
        if count == 0:
            status: Status = "empty" if _has_empty_tree(reader) else "corrupt"
            return Reading(status, remedy=_REMEDIES[status])
        texts, failed, warnings = self._texts(reader, count)
        labels, metadata = _optional(reader, count, warnings)
        pages = tuple(
            Page(index, label, text)
            for index, (label, text) in enumerate(zip(labels, clean_pages(texts), strict=False), 1)
            if text
        )
        return _reading(pages, count, failed, metadata, warnings)

    def _texts(self, reader: PdfReader, count: int) -> tuple[list[str], list[int], list[str]]:
        """Raw text of the pages read, the 1-based pages that failed, and what went wrong."""
        start, texts, failed, warnings = time.monotonic(), list[str](), list[int](), list[str]()
        for index in range(1, min(count, self.page_limit) + 1):
            if time.monotonic() - start > self.seconds_limit:
                break
            text, problem = _page_text(reader, index)
            texts.append(text)
            if problem is not None:
                failed.append(index)
                warnings.append(problem)
        if len(texts) < count:
            left = _numbers(list(range(len(texts) + 1, count + 1)))
            limits = f"{self.page_limit} pages or {self.seconds_limit:g} seconds"
            warnings.append(f"pages not read, over the limit of {limits} per file: {left}")
        return texts, failed, warnings


def _has_empty_tree(reader: PdfReader) -> bool:
    """Tells a file that was made without pages from one whose pages cannot be found."""
    tree = reader.root_object["/Pages"].get_object()
    return isinstance(tree, DictionaryObject) and not (tree.get("/Kids") or tree.get("/Count"))


def _page_text(reader: PdfReader, index: int) -> tuple[str, str | None]:
    """Raw text of one page, or empty text and what its parser raised."""
    try:
        page = reader.pages[index - 1]
        with suppress(Exception):  # odd resources may still be good enough for pypdf
            prefer_named_encodings(page)
        return page.extract_text(), None
    except Exception as error:  # a parser of hostile input may raise anything
        return "", f"page {index} could not be read: {type(error).__name__}: {error}"


def _optional(
    reader: PdfReader, count: int, warnings: list[str]
) -> tuple[list[str], dict[str, str]]:
    """Labels and metadata; where they are damaged the text is still worth having."""
    labels, metadata = [str(index) for index in range(1, count + 1)], dict[str, str]()
    try:
        labels = _labels(reader, count)
    except Exception as error:
        warnings.append(f"page labels could not be read: {type(error).__name__}: {error}")
    try:
        metadata = _metadata(reader)
    except Exception as error:
        warnings.append(f"metadata could not be read: {type(error).__name__}: {error}")
    return labels, metadata


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
