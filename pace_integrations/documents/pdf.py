"""Reads PDF files with pypdf."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO

from pypdf import PasswordType, PdfReader
from pypdf.generic import DictionaryObject

from pace_integrations.documents.fonts import prefer_named_encodings
from pace_integrations.documents.pdf_pages import PdfLimits, read_pdf, refused
from pace_integrations.documents.types import Reading


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
        page_limit: Most pages read of one file.
        seconds_limit: Seconds after which no further page of a file is begun.
    """

    page_limit: int = 20_000
    seconds_limit: float = 300.0

    def read(self, data: bytes, suffix: str) -> Reading:
        """Reads every page; a page that fails costs that page only."""
        reader = PdfReader(BytesIO(data), strict=False)
        if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
            return refused("encrypted")
        if len(reader.pages) == 0:
            return refused("empty" if _has_empty_tree(reader) else "corrupt")
        return read_pdf(_Pypdf(reader), PdfLimits(self.page_limit, self.seconds_limit))


def _has_empty_tree(reader: PdfReader) -> bool:
    """Tells a file that was made without pages from one whose pages cannot be found."""
    tree = reader.root_object["/Pages"].get_object()
    return isinstance(tree, DictionaryObject) and not (tree.get("/Kids") or tree.get("/Count"))
