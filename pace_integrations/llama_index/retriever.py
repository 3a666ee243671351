"""`PaceRetriever`: the pages that the model itself points to, for anybody's engine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import Document as LlamaDocument
from llama_index.core.schema import NodeWithScore, QueryBundle

from pace_integrations.adapters.lazy_session import Paths
from pace_integrations.answer import Citation
from pace_integrations.documents import best_passage
from pace_integrations.llama_index.convert import citations, nodes_of
from pace_integrations.llama_index.factories import llm_over, take
from pace_integrations.llama_index.llm import PaceLLM
from pace_integrations.llama_index.nodes import to_corpus
from pace_integrations.session import Session


class PaceRetriever(BaseRetriever):
    """Asks a session and returns the pages its answer rests on.

    Pages that the answer cites come first; then those that hold most of the words of answer and
    question, up to `similarity_top_k`. Nothing is embedded.

    Args:
        llm: What is asked.
        similarity_top_k: Most pages of one query.
        callback_manager: LlamaIndex's callbacks; None takes those of `llm`.
    """

    def __init__(
        self,
        llm: PaceLLM,
        *,
        similarity_top_k: int = 2,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        super().__init__(callback_manager or llm.callback_manager)
        self._llm = llm
        self._top_k = similarity_top_k

    @classmethod
    def from_session(cls, session: Session | str | Path, **options: Any) -> Self:  # noqa: ANN401
        """A retriever over a session or a saved one's folder; `options` as for `from_paths`."""
        return cls._over(options, session=session)

    @classmethod
    def from_paths(cls, paths: Paths, **options: Any) -> Self:  # noqa: ANN401
        """A retriever over files, folders or globs, which are read on the first query.

        Args:
            paths: What to read.
            **options: As for `PaceQueryEngine.from_paths`, with ``similarity_top_k``.
        """
        return cls._over(options, paths=paths)

    @classmethod
    def from_documents(cls, documents: Iterable[LlamaDocument], **options: Any) -> Self:  # noqa: ANN401
        """A retriever over LlamaIndex documents; those of one file are its pages."""
        return cls._over(options, corpus=to_corpus(documents))

    @classmethod
    def _over(cls, options: dict[str, Any], **given: Any) -> Self:  # noqa: ANN401
        own = take(options, ("similarity_top_k",))
        return cls(llm_over(options, **given), **own)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        session, question = self._llm.session, query_bundle.query_str
        said = self._llm.complete(question)
        return self._pages(session, question, said.text, said.raw)

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        session, question = await self._llm.asession(), query_bundle.query_str
        said = await self._llm.acomplete(question)
        return self._pages(session, question, said.text, said.raw)

    def _pages(
        self, session: Session, question: str, answer: str, said: dict[str, Any] | None
    ) -> list[NodeWithScore]:
        found = _each_once(citations(said))[: self._top_k]
        while len(found) < self._top_k:
            following = _next_best(session, question, answer, found)
            if following is None:
                break
            found.append(following)
        return nodes_of(session, found)


def _each_once(found: Iterable[Citation]) -> list[Citation]:
    return list({citation.passage: citation for citation in found}.values())


def _next_best(
    session: Session, question: str, answer: str, found: list[Citation]
) -> Citation | None:
    """The page with most of the words, of those not found yet."""
    taken = {citation.passage for citation in found}
    left = [passage for passage in session.passages if passage.number not in taken]
    best = best_passage([p.page.text for p in left], f"{answer} {question}", question)
    if best is None:
        return None
    passage, quote = left[best[0]], best[1]
    return Citation(
        document=passage.document.title,
        document_id=passage.document.id,
        source=passage.document.source,
        passage=passage.number,
        page=passage.page.index,
        page_label=passage.page.label,
        quote=quote.text,
        span=(quote.start, quote.end),
        method="matched",
        score=quote.score,
    )
