"""Sets of documents that a model has read: each distinct set is read once and asked many times."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document

from pace_integrations.documents import Corpus, Page
from pace_integrations.documents import Document as PaceDocument
from pace_integrations.langchain.chat_models import ChatPace
from pace_integrations.session import Session


class Readings:
    """Models over what they have read, least lately used first.

    Args:
        llm: Whose settings and model they have.
        most: Most of them to hold.
    """

    def __init__(self, llm: ChatPace, most: int) -> None:
        self._llm = llm
        self._most = max(1, most)
        self._held: OrderedDict[str, ChatPace] = OrderedDict()
        self._lock = threading.Lock()

    def model(self, documents: Sequence[Document]) -> ChatPace:
        """A model over documents; without any it has nothing to answer from and says so itself."""
        corpus = to_corpus(documents)
        return self.over(corpus) if corpus.documents else self._llm

    def over(self, corpus: Corpus | Session) -> ChatPace:
        """A model over a corpus, which is read if it has not been, or over a session."""
        session = corpus if isinstance(corpus, Session) else None
        key = corpus.fingerprint if isinstance(corpus, Corpus) else str(id(corpus))
        with self._lock:  # two chains that ask at once must not read twice
            if key not in self._held:
                pace = self._llm.loaded
                self._held[key] = self._llm.over(session or pace.read(corpus))  # type: ignore[arg-type]
            self._held.move_to_end(key)
            while len(self._held) > self._most:
                self._held.popitem(last=False)
            return self._held[key]


def to_corpus(documents: Sequence[Document]) -> Corpus:
    """LangChain's documents as a corpus: by source, pages in order, chunks of a page together.

    ``page`` counts from 0, as LangChain's loaders have it; documents without it are pages of their
    own in the order of their texts.
    """
    sources: dict[str, list[Document]] = {}
    for document in documents:
        if document.page_content.strip():
            sources.setdefault(_source(document), []).append(document)
    made = (_document(name, sources[name]) for name in sorted(sources))
    return Corpus(tuple(made))


def _source(document: Document) -> str:
    metadata = document.metadata
    return str(metadata.get("source") or metadata.get("title") or "Retrieved text")


def _document(source: str, chunks: Sequence[Document]) -> PaceDocument:
    pages: dict[int, list[Document]] = {}
    for number, chunk in enumerate(sorted(chunks, key=_order), start=1):
        pages.setdefault(_index(chunk) or number, []).append(chunk)
    first = chunks[0].metadata
    return PaceDocument.from_pages(
        str(first.get("title") or source),
        [_page(index, pages[index]) for index in sorted(pages)],
        source=source,
    )


def _page(index: int, chunks: Sequence[Document]) -> Page:
    texts = dict.fromkeys(chunk.page_content for chunk in chunks)
    label: Any = chunks[0].metadata.get("page_label")
    return Page(index, None if label is None else str(label), "\n\n".join(texts))


def _index(chunk: Document) -> int | None:
    page = chunk.metadata.get("page")
    return page + 1 if isinstance(page, int) else None


def _order(chunk: Document) -> tuple[int, int, str]:
    start = chunk.metadata.get("start_index")
    return (_index(chunk) or 0, start if isinstance(start, int) else 0, chunk.page_content)
