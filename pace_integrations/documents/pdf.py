"""Reads PDF files with pypdf."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO

from pypdf import PasswordType, PdfReader
from pypdf.generic import DictionaryObject

from pace_integrations.documents.fonts import prefer_named_encodings
from pace_integrations.documents.options import ReadLimits
from pace_integrations.documents.pdf_pages import read_pdf, read_whole, refused
from pace_integrations.documents.types import Job, Reading


@dataclass(frozen=True, slots=True)
class _Pypdf:
    """A file opened by pypdf."""

    reader: PdfReader

    @property
    def count(self) -> int:
        return len(self.reader.pages)

    def text(self, index: int) -> str:
        page = self.reader.pages[index - 1]
        with suppress(Exception):  # odd resources may still be good enough for pypdf
            prefer_named_encodings(page)
        return page.extract_text()

    def labels(self) -> list[str]:
        return self.reader.page_labels

    def metadata(self) -> Mapping[str, object]:
        return self.reader.metadata or {}


@dataclass(frozen=True, slots=True)
class PdfFiles:
    """Reads PDF files.

    Attributes:
        limits: Where the reading of one file ends.
    """

    limits: ReadLimits = field(default_factory=ReadLimits)

    def read(self, data: bytes, suffix: str) -> Reading:
        """Reads every page into the reading."""
        return read_whole(self, data)

    def read_into(self, data: bytes, job: Job) -> Reading:
        """Reads every page; a page that fails costs that page only."""
        reader = PdfReader(BytesIO(data), strict=False)
        if reader.is_encrypted and not _decrypted(reader, job.password):
            return refused("encrypted")
        if len(reader.pages) == 0:
            return refused("empty" if _has_empty_tree(reader) else "corrupt")
        return read_pdf(_Pypdf(reader), self.limits, job)


def _decrypted(reader: PdfReader, password: str | None) -> bool:
    tries = ("",) if password is None else ("", password)
    return any(reader.decrypt(text) != PasswordType.NOT_DECRYPTED for text in tries)


def _has_empty_tree(reader: PdfReader) -> bool:
    """Tells a file that was made without pages from one whose pages cannot be found."""
    tree = reader.root_object["/Pages"].get_object()
    return isinstance(tree, DictionaryObject) and not (tree.get("/Kids") or tree.get("/Count"))
