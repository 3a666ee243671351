"""LangChain's documents as a corpus: a set is read once, and cited by the caller's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document

from pace_integrations.adapters.lru import LruCache
from pace_integrations.adapters.page_metadata import describe_origin
from pace_integrations.documents import Corpus, Page
from pace_integrations.documents import Document as PaceDocument
from pace_integrations.langchain.errors import translate_errors

if TYPE_CHECKING:
    from pace_integrations.langchain.chat_models import ChatPace


@dataclass(frozen=True)
class DocumentSet:
    """Documents in an order of their own, so that the same set is the same reading.

    Attributes:
        corpus: What is read; every document is a passage.
        numbers: The caller's number of each passage, counted from 1.
        documents: The caller's documents by passage.
    """

    corpus: Corpus
    numbers: Mapping[int, int]
    documents: Mapping[int, Document]

    @classmethod
    def collect(cls, documents: Sequence[Document]) -> DocumentSet:
        """Return the set of a caller's documents; those without text are left out.

        ``page`` counts from 0, as LangChain's loaders have it; documents without it are pages of
        their own in the order of their texts.
        """
        sources: dict[str, list[tuple[int, Document]]] = {}
        seen: set[tuple[str, str, object]] = set()
        for number, document in enumerate(documents, start=1):
            key = (_source_of(document), document.page_content, document.metadata.get("page"))
            if document.page_content.strip() and key not in seen:
                seen.add(key)
                sources.setdefault(key[0], []).append((number, document))
        made, order = [], list[tuple[int, Document]]()
        for source in sorted(sources):
            chunks = sorted(sources[source], key=lambda pair: _reading_order(pair[1]))
            made.append(_to_document(source, [chunk for _, chunk in chunks]))
            order += chunks
        numbers = {i: number for i, (number, _) in enumerate(order, start=1)}
        originals = {i: document for i, (_, document) in enumerate(order, start=1)}
        return cls(Corpus(tuple(made)), numbers, originals)

    def find_document(self, passage: int, /, **more: Any) -> Document:  # noqa: ANN401
        """Return the caller's document of a passage, with further metadata."""
        found = self.documents[passage]
        return found.model_copy(update={"metadata": {**found.metadata, **more}})


class ChatModelCache:
    """LRU cache of chat models, one for each set of documents.

    Args:
        llm: Whose settings and model they have.
        max_sets: Most of them to hold.
    """

    def __init__(self, llm: ChatPace, max_sets: int) -> None:
        self._llm = llm
        self._models: LruCache[str, ChatPace] = LruCache(max(1, max_sets))

    def find_model(self, documents: Sequence[Document]) -> ChatPace:
        """Return a model over documents; without any it has nothing to answer from."""
        chosen = DocumentSet.collect(documents)
        if not chosen.corpus.documents:
            return self._llm
        return self.read_corpus(chosen.corpus).with_numbers(chosen.numbers)

    def read_corpus(self, corpus: Corpus) -> ChatPace:
        """Return a model over a corpus, which is read if it has not been."""

        def read() -> ChatPace:
            with translate_errors():
                return self._llm.over(self._llm.loaded.read(corpus))

        return self._models.get_or_create(corpus.fingerprint, read)


def _source_of(document: Document) -> str:
    metadata = document.metadata
    return str(metadata.get("source") or metadata.get("title") or document.id or "Retrieved text")


def _to_document(source: str, chunks: Sequence[Document]) -> PaceDocument:
    pages = []
    for number, chunk in enumerate(chunks, start=1):
        label: Any = chunk.metadata.get("page_label")
        shown = None if label is None else str(label)
        origin = describe_origin(chunk.metadata, id=chunk.id)
        pages.append(Page(_page_of(chunk) or number, shown, chunk.page_content, metadata=origin))
    title = str(chunks[0].metadata.get("title") or source)
    return PaceDocument.from_pages(title, pages, source=source)


def _page_of(chunk: Document) -> int | None:
    page = chunk.metadata.get("page")
    return page + 1 if isinstance(page, int) else None


def _reading_order(chunk: Document) -> tuple[int, int, str]:
    start = chunk.metadata.get("start_index")
    return (_page_of(chunk) or 0, start if isinstance(start, int) else 0, chunk.page_content)
