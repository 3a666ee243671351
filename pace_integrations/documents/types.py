"""Documents as values: what was read, page by page, and what became of each file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal[
    "ok", "partial", "encrypted", "corrupt", "no_text_layer", "empty", "unsupported"
]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of text.

    Attributes:
        index: 1-based position in the file.
        label: Label printed on the page, such as ``"iv"``; None where the format has no pages.
        text: The page's text.
    """

    index: int
    label: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """A readable document.

    Attributes:
        id: Stable id: the first 16 hexadecimal digits of ``sha256``.
        title: The title in the file's metadata, or its name.
        pages: The pages that carry text, in order.
        sha256: Hash of the file's bytes, or of the text where there is no file.
        source: Path of the file as it was found, or None.
        metadata: What the file says of itself (author, creation date and the like).
    """

    id: str
    title: str
    pages: tuple[Page, ...]
    sha256: str
    source: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one file.

    Attributes:
        path: The file.
        status: ``ok``: every page was read. ``partial``: some pages failed or carry no text.
            ``encrypted``, ``corrupt``, ``no_text_layer``, ``empty``, ``unsupported``: nothing
            was read, for that reason.
        pages: Pages in the file, as far as it could be told.
        pages_with_text: Pages that were read.
        seconds: Time spent on it.
        warnings: What the parser said on the way.
        remedy: What the user can do about it, or None for ``ok``.
    """

    path: str
    status: Status
    pages: int
    pages_with_text: int
    seconds: float
    warnings: tuple[str, ...] = ()
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What became of every file of a corpus, in reading order."""

    files: tuple[FileReport, ...] = ()

    @property
    def problems(self) -> tuple[FileReport, ...]:
        """The files that were not read whole."""
        return tuple(file for file in self.files if file.status != "ok")

    def counts(self) -> dict[str, int]:
        """How many files have each status."""
        return dict(Counter(file.status for file in self.files))

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON-ready values."""
        return {"counts": self.counts(), "files": [asdict(file) for file in self.files]}


