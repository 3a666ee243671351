"""`PaceRetriever`: the pages of a session that are most like a question, by their words."""

from __future__ import annotations

from threading import Lock
from typing import Any

import bm25s
import numpy as np
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field, PrivateAttr

from pace_integrations.documents import Corpus
from pace_integrations.documents.quotes.words import content_keys, word_keys
from pace_integrations.errors import ConfigError
from pace_integrations.langchain.document_loaders import page_document
from pace_integrations.session import Session


class PaceRetriever(BaseRetriever):
    """Ranks the pages of what a session has read, or of a corpus, for a question (BM25).

    Documents come with ``score`` and ``passage`` (the number that answers cite) in their metadata,
    best first; pages that share no word with the question are left out.

    Attributes:
        session: The session whose pages are ranked; it may grow.
        corpus: The corpus, where there is no session.
        k: Most pages of an answer; `invoke` takes it as well.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    session: Session | None = None
    corpus: Corpus | None = None
    k: int = Field(default=4, ge=1)

    _indexed: tuple[Corpus, bm25s.BM25] | None = PrivateAttr(default=None)
    _lock: Any = PrivateAttr(default_factory=Lock)

    def model_post_init(self, context: Any, /) -> None:  # noqa: ANN401 - pydantic's signature
        """Refuses to rank nothing."""
        super().model_post_init(context)
        if (self.session is None) == (self.corpus is None):
            raise ConfigError("a retriever needs a session= or a corpus=, and not both")

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        corpus = self.session.corpus if self.session else self.corpus
        if corpus is None:
            return []
        index = self._index(corpus)
        known = [word for word in sorted(content_keys(query)) if word in index.vocab_dict]
        if not known:
            return []
        scores = index.get_scores(known)
        best = np.argsort(-scores, kind="stable")[: k or self.k]
        pages = list(corpus.pages())
        return [
            page_document(*pages[i], score=float(scores[i]), passage=int(i) + 1)
            for i in best
            if scores[i] > 0
        ]

    def _index(self, corpus: Corpus) -> bm25s.BM25:
        """The index of a corpus, made once for each."""
        with self._lock:
            if self._indexed is None or self._indexed[0] is not corpus:
                self._indexed = (corpus, _indexed(corpus))
            return self._indexed[1]


def _indexed(corpus: Corpus) -> bm25s.BM25:
    index = bm25s.BM25()
    texts = (f"{document.title} {page.text}" for document, page in corpus.pages())
    index.index([_words(text) for text in texts], show_progress=False)
    return index


def _words(text: str) -> list[str]:
    """Words in the form in which they are compared, as often as they come."""
    return [key for part in text.split() for key in sorted(word_keys(part))]
