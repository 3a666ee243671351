"""A collection of documents and the report of how it was read."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pace_integrations.documents.discovery import Paths, find_files
from pace_integrations.documents.formats.text import split_pages
from pace_integrations.documents.ingest import Progress, Watch, read_files
from pace_integrations.documents.options import ReadOptions
from pace_integrations.documents.quotes.words import count_words
from pace_integrations.documents.types import Document, FileReport, Page, Report, short_id
from pace_integrations.errors import DocumentError


class NothingReadError(DocumentError):
    """No document of a corpus could be read.

    Attributes:
        report: What became of every file.
    """

    def __init__(self, report: Report) -> None:
        first = report.files[0]
        counts = ", ".join(f"{count} {status}" for status, count in report.counts().items())
        super().__init__(
            f"no document could be read ({counts}); {first.path!r} is {first.status}: "
            f"{first.remedy}"
        )
        self.report = report


def _read_text(title: str, text: str) -> tuple[Document | None, FileReport]:
    start = time.perf_counter()
    if not isinstance(title, str) or not isinstance(text, str):
        raise DocumentError(f"{title!r}: a title and a text must both be strings")
    pages, count = split_pages(text)
    seconds = time.perf_counter() - start
    if not pages:
        remedy = "The text is blank; leave it out or fill it."
        return None, FileReport(title, "empty", count, 0, seconds, remedy=remedy)
    sha256 = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    words = sum(count_words(page.text) for page in pages)
    report = FileReport(title, "ok", count, len(pages), seconds, words=words)
    return Document(short_id(sha256), title, pages, sha256), report


def _make_corpus(results: Iterable[tuple[Document | None, FileReport]], skipped: int = 0) -> Corpus:
    documents: list[Document] = []
    files: list[FileReport] = []
    for document, file in results:
        files.append(file)
        if document is not None:
            documents.append(document)
    report = Report(tuple(files), skipped)
    if not documents:
        raise NothingReadError(report)
    return Corpus(tuple(documents), report)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents in reading order.

    Attributes:
        documents: The documents that carry text.
        report: What became of every file, the unreadable ones included.
    """

    documents: tuple[Document, ...]
    report: Report = field(default_factory=Report)
    # The fingerprint once it was asked for: both integrations ask with every call.
    _fingerprints: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    @classmethod
    def from_paths(
        cls,
        paths: Paths,
        *,
        options: ReadOptions | None = None,
        progress: Progress | None = None,
        watch: Watch | None = None,
    ) -> Corpus:
        """Read files, folders and glob patterns.

        A file that cannot be read gets its status in the report and the others are read on.

        Args:
            paths: One path, folder or pattern, or several.
            options: Limits, parsers, passwords, workers, OCR, and which files to take.
            progress: Called after every file with the files done and the files in all; what it
                raises ends the reading.
            watch: Called after every page with a `ReadProgress`: pages, pages per second, seconds
                left. What it raises ends the reading, and so does Ctrl-C.

        Returns:
            The corpus, in the order of the paths and the natural order of names within folders.

        Raises:
            DocumentError: A path does not exist, a folder holds no supported file, a pattern
                matches nothing, or no file could be read (then a `NothingReadError`, with the
                report).
        """
        options = options or ReadOptions()
        files, skipped = find_files(paths, options)
        return _make_corpus(read_files(files, options, progress, watch), skipped)

    @classmethod
    def from_texts(cls, texts: Mapping[str, str] | Iterable[tuple[str, str]]) -> Corpus:
        """Make a corpus of texts in memory; form feeds split pages.

        Args:
            texts: Texts by title, or pairs of title and text.

        Returns:
            The corpus, in the order given.

        Raises:
            DocumentError: There is no text, or all of them are blank.
        """
        try:
            pairs = list(texts.items() if isinstance(texts, Mapping) else texts)
        except TypeError:
            raise DocumentError(
                f"texts must be a mapping of titles to texts, not {texts!r}"
            ) from None
        if not pairs:
            raise DocumentError("no text was given; give a mapping of titles to texts")
        if any(not isinstance(pair, tuple | list) or len(pair) != 2 for pair in pairs):
            raise DocumentError("texts must be a mapping of titles to texts, or pairs of them")
        return _make_corpus((_read_text(title, text) for title, text in pairs))

    def __add__(self, other: Corpus) -> Corpus:
        """Append another corpus; what stands in both comes once."""
        if not isinstance(other, Corpus):
            return NotImplemented
        known = {(document.id, document.source, document.title) for document in self.documents}
        added = tuple(d for d in other.documents if (d.id, d.source, d.title) not in known)
        reported = {(file.path, file.status) for file in self.report.files}
        files = tuple(f for f in other.report.files if (f.path, f.status) not in reported)
        skipped = self.report.skipped + other.report.skipped
        return Corpus(self.documents + added, Report(self.report.files + files, skipped))

    def pages(self) -> Iterator[tuple[Document, Page]]:
        """Yield every page with its document, in reading order."""
        for document in self.documents:
            for page in document.pages:
                yield document, page

    @property
    def fingerprint(self) -> str:
        """Return the hash of all that a model reads of the corpus: titles, labels, texts in order.

        Where the files lie does not count, so a copied folder has the same fingerprint.
        """
        if not self._fingerprints:
            digest = hashlib.sha256()
            for document, page in self.pages():
                parts = [document.sha256, document.title, page.index, page.label, page.text]
                digest.update(json.dumps(parts).encode("ascii") + b"\n")
            self._fingerprints.append(digest.hexdigest())
        return self._fingerprints[0]
