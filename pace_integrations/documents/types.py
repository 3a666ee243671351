"""Documents as values: what was read, page by page, and what became of each file."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from pace_integrations._text import repair_text
from pace_integrations.errors import DocumentError

Status = Literal["ok", "partial", "encrypted", "corrupt", "no_text_layer", "empty", "unsupported"]


def short_id(sha256: str) -> str:
    """The document id that belongs to a hash: its first 16 hexadecimal digits."""
    return sha256[:16]


def _repair_field(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise DocumentError(f"the {name} of a document or page is a string, not {value!r}")
    return repair_text(value)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of text.

    Attributes:
        index: 1-based position in the file.
        label: Label printed on the page, such as ``"iv"``; a PDF without labels of its own has
            its index here. None where the format has no printed pages.
        text: The page's text, running headers and footers left out.
        section: Heading that the page stands under where it begins, or that it begins with; None
            where the file has no outline.
        header: Running header that was left out of the text, or None.
        footer: Running footer that was left out of the text, or None.
    """

    index: int
    label: str | None
    text: str
    section: str | None = None
    header: str | None = None
    footer: str | None = None

    def __post_init__(self) -> None:
        for name in ("label", "text", "section", "header", "footer"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, _repair_field(name, value))


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

    def __post_init__(self) -> None:
        # The source stays as it is: a path may hold bytes that are no text, and must still open.
        object.__setattr__(self, "title", _repair_field("title", self.title))

    @classmethod
    def from_pages(
        cls,
        title: str,
        pages: Iterable[Page],
        *,
        source: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Document:
        """Makes a document of pages that another reader produced; the hash is that of the text."""
        kept = tuple(page for page in pages if page.text.strip())
        digest = hashlib.sha256()
        for page in kept:
            # Lone surrogates are legal in a str and illegal in UTF-8; a hash must not fail on them.
            digest.update(f"{page.index}\0{page.text}\0".encode("utf-8", "surrogatepass"))
        sha256 = digest.hexdigest()
        return cls(short_id(sha256), title, kept, sha256, source, dict(metadata or {}))


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one file.

    Attributes:
        path: The file, or the title of a text that came from no file.
        status: ``ok``: every page was read. ``partial``: some pages failed or carry no text, or
            some characters could not be decoded. ``encrypted``, ``corrupt``, ``no_text_layer``,
            ``empty``, ``unsupported``: nothing was read, for that reason.
        pages: Pages in the file, as far as it could be told.
        pages_with_text: Pages that were read.
        seconds: Time spent on it.
        warnings: What the parser said on the way.
        remedy: What the user can do about it, or None for ``ok``.
        words: Words that were read.
        duplicate_of: Path of an earlier file with the same bytes, or None.
        duplicate_pages: Pages whose words stand in another page that came before.
        tokens: Tokens of it that a model has read, or None while none has.
    """

    path: str
    status: Status
    pages: int
    pages_with_text: int
    seconds: float
    warnings: tuple[str, ...] = ()
    remedy: str | None = None
    words: int = 0
    duplicate_of: str | None = None
    duplicate_pages: int = 0
    tokens: int | None = field(default=None, compare=False)

    @property
    def on_pages(self) -> tuple[str, ...]:
        """The warnings that name pages: without text, not read, or read by OCR."""
        return tuple(line for line in self.warnings if line.startswith("pages "))


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

    def with_tokens(self, tokens: Mapping[str, int]) -> Report:
        """The report with the tokens of some files, by their paths."""
        return Report(tuple(replace(f, tokens=tokens.get(f.path, f.tokens)) for f in self.files))

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON-ready values."""
        return {"counts": self.counts(), "files": [asdict(file) for file in self.files]}


@dataclass(frozen=True, slots=True)
class ParseResult:
    """What a reader makes of the bytes of one file.

    Attributes:
        status: One of the status words of `FileReport`.
        pages: The pages that carry text.
        page_count: Pages in the file, as far as it could be told.
        title: Title the file gives itself, or None.
        metadata: What the file says of itself.
        warnings: What was noticed on the way.
        remedy: What the user can do about it, or None for ``ok``.
    """

    status: Status
    pages: tuple[Page, ...] = ()
    page_count: int = 0
    title: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    remedy: str | None = None


class LimitExceededError(DocumentError):
    """A file costs more than it may."""


@dataclass(frozen=True, slots=True)
class ParseJob:
    """Where a reader puts what it reads of one file, so that pages need not gather in memory.

    Attributes:
        emit: Takes the pages that carry text, in order.
        at: Takes the number of pages parsed so far and of all pages.
        journal: File for what was parsed; it outlives a crash. None: a temporary one.
        password: Password to try where the file asks for one, or None.
    """

    emit: Callable[[Page], None]
    at: Callable[[int, int], None] = lambda done, total: None
    journal: Path | None = None
    password: str | None = None


class Reader(Protocol):
    """What reads one kind of file."""

    def read(self, data: bytes, suffix: str) -> ParseResult:
        """Reads the bytes of one file. May raise anything: the caller reports it as corrupt."""
        ...


@runtime_checkable
class PagedReader(Protocol):
    """What reads a kind of file page by page."""

    def read_into(self, data: bytes, job: ParseJob) -> ParseResult:
        """Reads the bytes of one file and gives away its pages; those of the reading are none."""
        ...
