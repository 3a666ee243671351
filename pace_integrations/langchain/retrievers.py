"""`PageRetriever`: the pages that are most like a question, by their words (BM25)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field, PrivateAttr, model_validator

from pace_integrations._bm25 import BM25
from pace_integrations._checks import require
from pace_integrations._renamed import keep_renamed
from pace_integrations.documents import Corpus
from pace_integrations.documents.discovery import Paths
from pace_integrations.documents.quotes.words import content_keys, word_keys
from pace_integrations.errors import ConfigError
from pace_integrations.langchain.document_loaders import to_document
from pace_integrations.langchain.document_sets import DocumentSet

if TYPE_CHECKING:
    from pace_integrations.session import Session
else:  # so that the field can be declared without PyTorch
    Session = Any


class PageRetriever(BaseRetriever):
    """Ranks the pages of what a session has read, or of a corpus, for a question (BM25).

    Documents come with ``score`` and ``passage`` (the number that answers cite) in their metadata,
    best first; pages that share no word with the question are left out.

    Attributes:
        session: The session whose pages are ranked; it may grow.
        corpus: The corpus, where there is no session.
        k: Most pages of an answer; `invoke` takes it as well.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    session: Session | None = None
    corpus: Corpus | None = None
    k: int = Field(default=4, ge=1)

    _indexed: tuple[Corpus, BM25] | None = PrivateAttr(default=None)
    _set: DocumentSet | None = PrivateAttr(default=None)
    _lock: Any = PrivateAttr(default_factory=Lock)

    @model_validator(mode="after")
    def _require_pages(self) -> Self:
        if (self.session is None) == (self.corpus is None):
            raise ConfigError("a retriever needs a session= or a corpus=, and not both")
        return self

    @classmethod
    def from_documents(cls, documents: Sequence[Document], **options: Any) -> Self:  # noqa: ANN401
        """Return a retriever over LangChain's documents, which it gives back as they are.

        Their ``passage`` is their number among the documents, counted from 1.

        Args:
            documents: The documents.
            **options: Fields of the retriever, such as ``k``.
        """
        chosen = DocumentSet.collect(documents)
        made = cls(corpus=chosen.corpus, **options)
        made._set = chosen
        return made

    @classmethod
    def from_paths(cls, paths: Paths, **options: Any) -> Self:  # noqa: ANN401
        """Return a retriever over files, folders and globs, which are read now."""
        return cls(corpus=Corpus.from_paths(paths), **options)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        corpus = self.session.corpus if self.session else self.corpus
        if corpus is None or not corpus.documents:
            return []
        index = self._find_index(corpus)
        known = [word for word in sorted(content_keys(query)) if word in index.vocab_dict]
        if not known:
            return []
        scores = index.get_scores(known)
        best = np.argsort(-scores, kind="stable")[: check_count(k) or self.k]
        pages = list(corpus.pages())
        found = [(int(i), float(scores[i])) for i in best if scores[i] > 0]
        if self._set is not None:
            numbers = self._set.numbers
            return [
                self._set.find_document(i + 1, score=score, passage=numbers[i + 1])
                for i, score in found
            ]
        return [to_document(*pages[i], score=score, passage=i + 1) for i, score in found]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        sync = run_manager.get_sync()
        return await asyncio.to_thread(self._get_relevant_documents, query, run_manager=sync, k=k)

    def _find_index(self, corpus: Corpus) -> BM25:
        """Return the index of a corpus, made once for each."""
        with self._lock:
            if self._indexed is None or self._indexed[0] is not corpus:
                self._indexed = (corpus, _build_index(corpus))
            return self._indexed[1]


__getattr__ = keep_renamed(__name__)


def check_count(k: int | None) -> int | None:
    """Return the pages that a call asks for, or None.

    Raises:
        ConfigError: It asks for less than one.
    """
    require(k is None or (isinstance(k, int) and k >= 1), f"k must be at least 1, got {k!r}")
    return k


def _build_index(corpus: Corpus) -> BM25:
    index = BM25()
    texts = (f"{document.title} {page.text}" for document, page in corpus.pages())
    index.index([_split_words(text) for text in texts], show_progress=False)
    return index


def _split_words(text: str) -> list[str]:
    """Return words in the form in which they are compared, as often as they come."""
    return [key for part in text.split() for key in sorted(word_keys(part))]
