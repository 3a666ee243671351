"""`PaceLoader`: files read page by page, as LangChain documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from pace_integrations.adapters.page_metadata import find_origin
from pace_integrations.documents import Corpus, NothingReadError, Page, ReadOptions, Report
from pace_integrations.documents import Document as PaceDocument
from pace_integrations.documents.discovery import Paths, expand_paths
from pace_integrations.errors import ConfigError


class PaceLoader(BaseLoader):
    """Loads files, folders and globs, a document for every page that carries text.

    Metadata follow LangChain's loaders: ``source``, ``page`` (0-based), ``page_label``,
    ``total_pages`` and ``title``, with the 1-based ``page_index`` and the ``document_id`` that
    citations use.

    Args:
        paths: One path, folder or pattern, or several.
        file_path: The same, under the name that LangChain's loaders of files have for it.
        path: The same, under the name that LangChain's loaders of folders have for it.
        options: Limits, parsers, passwords, workers and OCR.

    Attributes:
        report: What became of each file that was loaded so far.

    Raises:
        ConfigError: None or several of the first three are given.
    """

    def __init__(
        self,
        paths: Paths | None = None,
        *,
        file_path: Paths | None = None,
        path: Paths | None = None,
        options: ReadOptions | None = None,
    ) -> None:
        given = [value for value in (paths, file_path, path) if value is not None]
        if len(given) != 1:
            raise ConfigError("a loader needs one of paths=, file_path= and path=")
        self._paths = given[0]
        self._options = options
        self.report = Report()

    def lazy_load(self) -> Iterator[Document]:
        """Load one file at a time; what cannot be read is in the report, and does not end it.

        Raises:
            DocumentError: A path does not exist, a pattern matches nothing, or no file at all
                could be read.
        """
        self.report = Report()
        for path in expand_paths(self._paths):
            try:
                corpus = Corpus.from_paths(path, options=self._options)
            except NothingReadError as error:
                self.report = _join_reports(self.report, error.report)
                continue
            self.report = _join_reports(self.report, corpus.report)
            for document, page in corpus.pages():
                yield to_document(document, page)
        if not any(file.pages_with_text for file in self.report.files):
            raise NothingReadError(self.report)


def _join_reports(a: Report, b: Report) -> Report:
    return Report((*a.files, *b.files), a.skipped + b.skipped)


def to_document(document: PaceDocument, page: Page, **more: Any) -> Document:  # noqa: ANN401
    """Return a page as a LangChain document.

    Args:
        document: The document it belongs to.
        page: The page.
        more: Further metadata.
    """
    origin = find_origin(page)
    metadata = {
        **(document.metadata if origin is None else origin.metadata),
        "source": document.source or document.title,
        "title": document.title,
        "document_id": document.id,
        "page": page.index - 1,
        "page_index": page.index,
        "page_label": page.label or str(page.index),
        "total_pages": document.pages[-1].index,
        **more,
    }
    own_id = None if origin is None else origin.id or origin.document_id
    return Document(page.text, id=own_id or f"{document.id}-{page.index}", metadata=metadata)
