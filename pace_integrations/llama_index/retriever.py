"""`CitedPageRetriever`: the pages that the model itself points to, for anybody's engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.schema import NodeWithScore, QueryBundle

from pace_integrations._renamed import keep_renamed
from pace_integrations.answer import Citation
from pace_integrations.documents import best_passage
from pace_integrations.llama_index.convert import read_citations
from pace_integrations.llama_index.factories import QuestionPrompt, SessionFactories
from pace_integrations.llama_index.llm import PaceLLM
from pace_integrations.llama_index.source_nodes import make_source_nodes

if TYPE_CHECKING:
    from pace_integrations.session import Session


class CitedPageRetriever(QuestionPrompt, SessionFactories, BaseRetriever):
    """Asks a session and returns the pages its answer rests on.

    Pages that the answer cites come first; then those that hold most of the words of answer and
    question, up to `similarity_top_k`. Nothing is embedded.

    Args:
        llm: What is asked.
        similarity_top_k: Most pages of one query.
        callback_manager: LlamaIndex's callbacks; None takes those of `llm`.
        text_qa_template: How a query becomes a question; None asks the query itself.
    """

    own_options: ClassVar[tuple[str, ...]] = ("similarity_top_k", "text_qa_template")

    def __init__(
        self,
        llm: PaceLLM,
        *,
        similarity_top_k: int = 2,
        callback_manager: CallbackManager | None = None,
        text_qa_template: BasePromptTemplate | None = None,
    ) -> None:
        super().__init__(callback_manager or llm.callback_manager)
        self._llm = llm
        self._top_k = similarity_top_k
        if text_qa_template is not None:
            self._question_template = text_qa_template

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        question = self._make_question(query_bundle.query_str)
        session = self._llm.session
        said = self._llm.complete(question)
        return self._find_pages(session, query_bundle.query_str, said.text, said.raw)

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        question = self._make_question(query_bundle.query_str)
        session = await self._llm.asession()
        said = await self._llm.acomplete(question)
        return await asyncio.to_thread(
            self._find_pages, session, query_bundle.query_str, said.text, said.raw
        )

    def _find_pages(
        self, session: Session, question: str, answer: str, said: dict[str, Any] | None
    ) -> list[NodeWithScore]:
        found = _drop_repeated(read_citations(said))[: self._top_k]
        while len(found) < self._top_k:
            following = _find_next_best(session, question, answer, found)
            if following is None:
                break
            found.append(following)
        return make_source_nodes(session.passages, found)


__getattr__ = keep_renamed(__name__)


def _drop_repeated(found: Iterable[Citation]) -> list[Citation]:
    return list({citation.passage: citation for citation in found}.values())


def _find_next_best(
    session: Session, question: str, answer: str, found: list[Citation]
) -> Citation | None:
    """Return the page with most of the words, of those not found yet."""
    from pace_integrations.session.citations import make_citation

    taken = {citation.passage for citation in found}
    left = [passage for passage in session.passages if passage.number not in taken]
    best = best_passage([p.page.text for p in left], f"{answer} {question}", question)
    return None if best is None else make_citation(left[best[0]], best[1], "matched")
