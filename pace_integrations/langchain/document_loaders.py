"""`PaceLoader`: this library's reading of files, as LangChain documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from pace_integrations.adapters.lazy_session import Paths
from pace_integrations.documents import Corpus, NothingReadError, Page, Report
from pace_integrations.documents import Document as PaceDocument
from pace_integrations.documents.discovery import expand_paths


class PaceLoader(BaseLoader):
    """Loads files, folders and globs, a document for every page that carries text.

    Metadata follow LangChain's loaders: ``source``, ``page`` (0-based), ``page_label``,
    ``total_pages`` and ``title``, with the 1-based ``page_index`` and the ``document_id`` that
    citations use.

    Args:
        paths: One path, folder or pattern, or several.

    Attributes:
        report: What became of each file that was loaded so far.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self.report = Report()

    def lazy_load(self) -> Iterator[Document]:
        """Loads one file at a time; what cannot be read is in the report, and does not end it.

        Raises:
            DocumentError: A path does not exist, a pattern matches nothing, or no file at all
                could be read.
        """
        self.report = Report()
        files = expand_paths(self._paths)
        for path in files:
            try:
                corpus = Corpus.from_paths(path)
            except NothingReadError as error:
                self.report = Report((*self.report.files, *error.report.files))
                continue
            self.report = Report((*self.report.files, *corpus.report.files))
            yield from page_documents(corpus)
        if not any(file.pages_with_text for file in self.report.files):
            raise NothingReadError(self.report)


def page_documents(corpus: Corpus) -> Iterator[Document]:
    """Every page of a corpus as a LangChain document."""
    for document, page in corpus.pages():
        yield page_document(document, page)


def page_document(document: PaceDocument, page: Page, **more: Any) -> Document:  # noqa: ANN401
    """A page as a LangChain document.

    Args:
        document: The document it belongs to.
        page: The page.
        more: Further metadata.
    """
    metadata = {
        **document.metadata,
        "source": document.source or document.title,
        "title": document.title,
        "document_id": document.id,
        "page": page.index - 1,
        "page_index": page.index,
        "page_label": page.label or str(page.index),
        "total_pages": document.pages[-1].index,
        **more,
    }
    return Document(page.text, id=f"{document.id}-{page.index}", metadata=metadata)
