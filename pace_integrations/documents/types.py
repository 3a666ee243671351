"""Documents as values: what was read, page by page, and what became of each file."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from pace_integrations._checks import check_types, is_whole
from pace_integrations._renamed import keep_renamed
from pace_integrations._text import repair_text
from pace_integrations.errors import ConfigError, DocumentError

Status = Literal["ok", "partial", "encrypted", "corrupt", "no_text_layer", "empty", "unsupported"]


def short_id(sha256: str) -> str:
    """Return the document id that belongs to a hash: its first 16 hexadecimal digits."""
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
        text: The page's text. A running header or footer stands on the first page that has it.
        section: Where a person finds the page: the heading (or path of headings, ``A > B``) that
            it stands under, the sheet and rows, the slide, the part of a message; None where the
            file has no such thing.
        header: Running header that was left out of the text, or None.
        footer: Running footer that was left out of the text, or None.
        metadata: What its owner says of it, as plain values of JSON; nothing is read from it.
    """

    index: int
    label: str | None
    text: str
    section: str | None = None
    header: str | None = None
    footer: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if not is_whole(self.index):
            raise DocumentError(f"the index of a page is a whole number, not {self.index!r}")
        object.__setattr__(self, "index", int(self.index))
        metadata: object = self.metadata
        if not isinstance(metadata, Mapping):
            raise DocumentError(f"the metadata of a page is a mapping, not {metadata!r}")
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
        repaired = {
            name: repair_text(value) if isinstance(value, str) else value
            for name, value in self.metadata.items()
        }
        object.__setattr__(self, "metadata", repaired)

    @classmethod
    def from_pages(
        cls,
        title: str,
        pages: Iterable[Page],
        *,
        source: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Document:
        """Make a document of pages that another reader produced; the hash is that of the text."""
        kept = tuple(page for page in pages if page.text.strip())
        digest = hashlib.sha256()
        for page in kept:
            # Lone surrogates are legal in a str and illegal in UTF-8; a hash must not fail on them.
            digest.update(f"{page.index}\0{page.text}\0".encode("utf-8", "surrogatepass"))
        sha256 = digest.hexdigest()
        return cls(short_id(sha256), title, kept, sha256, source, dict(metadata or {}))

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Document:
        """Return the document that `to_dict` made plain."""
        pages = tuple(Page(**page) for page in row["pages"])
        return cls(**{**row, "pages": pages})

    def to_dict(self) -> dict[str, Any]:
        """Return the document as plain JSON-ready values."""
        row = asdict(self)
        for page in row["pages"]:
            if not page["metadata"]:
                del page["metadata"]
        return row


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one file.

    Attributes:
        path: The file, or the title of a text that came from no file.
        status: ``ok``: everything was read; blank pages do no harm. ``partial``: some pages
            failed, are pictures or lie beyond a limit, some characters could not be decoded, or
            the document proper is somewhere the reader cannot go. ``encrypted``, ``corrupt``,
            ``no_text_layer``, ``empty``, ``unsupported``: nothing was read, for that reason.
        pages: Pages in the file, as far as it could be told.
        pages_with_text: Pages that were read.
        seconds: Time spent on it.
        warnings: What the parser said on the way, and what the file holds that was not read.
        remedy: What the user can do about it, or None for ``ok``.
        words: Words that were read.
        duplicate_of: Path of an earlier file with the same bytes, or None.
        duplicate_pages: Pages whose words stand in another page that came before.
        tokens: Tokens of it that a model has read, or None while none has.
        encrypted: Whether it took a password to open it.
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
    encrypted: bool = False

    @property
    def on_pages(self) -> tuple[str, ...]:
        """The warnings that name pages: without text, not read, or read by OCR."""
        return tuple(line for line in self.warnings if line.startswith("pages "))

    @property
    def reasons(self) -> tuple[str, ...]:
        """The warnings that explain the status, or name what the file holds and was not read."""
        named = tuple(w for w in self.warnings if w.startswith("pages ") or "not read" in w)
        return named if self.status == "ok" else tuple(dict.fromkeys((*named, *self.warnings)))[:4]


@dataclass(frozen=True, slots=True)
class Report:
    """What became of every file of a corpus, in reading order.

    Attributes:
        files: The files.
        skipped: Files that desktops leave in folders (``Thumbs.db``, ``~$lock.docx``) and the
            folders of saved web pages: skipped and only counted.
    """

    files: tuple[FileReport, ...] = ()
    skipped: int = 0

    @property
    def problems(self) -> tuple[FileReport, ...]:
        """The files that were not read completely."""
        return tuple(file for file in self.files if file.status != "ok")

    def counts(self) -> dict[str, int]:
        """Count the files of each status."""
        return dict(Counter(file.status for file in self.files))

    def with_tokens(self, tokens: Mapping[str, int]) -> Report:
        """Return the report with the tokens of some files, by their paths."""
        files = tuple(replace(f, tokens=tokens.get(f.path, f.tokens)) for f in self.files)
        return replace(self, files=files)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Report:
        """Return the report that `to_dict` made plain.

        Raises:
            DocumentError: It is none, or one of another version.
        """
        try:
            files = [FileReport(**{**f, "warnings": tuple(f["warnings"])}) for f in row["files"]]
            report = cls(tuple(files), row.get("skipped", 0))
            for part in (report, *files):
                check_types(part)
        except (AttributeError, KeyError, TypeError, ConfigError) as error:
            raise DocumentError(f"this is no report of files ({error})") from error
        return report

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON-ready values."""
        files = [asdict(file) for file in self.files]
        return {"counts": self.counts(), "skipped": self.skipped, "files": files}


@dataclass(frozen=True, slots=True)
class ParseResult:
    """What a parser makes of the bytes of one file, beside its pages.

    Attributes:
        status: One of the status words of `FileReport`.
        page_count: Pages in the file, as far as it could be told.
        title: Title the file gives itself, or None.
        metadata: What the file says of itself.
        warnings: What was noticed on the way, and what was not read.
        remedy: What the user can do about it, or None for ``ok``.
        pages: The pages that carry text, once they are put together.
    """

    status: Status
    page_count: int = 0
    title: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    remedy: str | None = None
    pages: tuple[Page, ...] = ()


class LimitExceededError(DocumentError):
    """A file costs more than it may."""


__getattr__ = keep_renamed(__name__)
