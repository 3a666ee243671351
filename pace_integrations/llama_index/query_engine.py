"""`PaceQueryEngine`: ask what has been read, whole, and get pages as sources."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.response.schema import (
    RESPONSE_TYPE,
    Response,
)
from llama_index.core.callbacks import CallbackManager
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.prompts.mixin import PromptMixinType
from llama_index.core.schema import BaseNode, QueryBundle

from pace_integrations.llama_index.events import replace_documents
from pace_integrations.llama_index.factories import QuestionPrompt, SessionFactories
from pace_integrations.llama_index.llm import PaceLLM
from pace_integrations.llama_index.nodes import to_corpus
from pace_integrations.llama_index.streaming import (
    amake_streaming_response,
    make_streaming_response,
)

if TYPE_CHECKING:
    from pace_integrations.session import Session
    from pace_integrations.session.state import ReadCost


class PaceQueryEngine(QuestionPrompt, SessionFactories, BaseQueryEngine):
    """A query engine without retrieval: the documents were read whole, once.

    Args:
        llm: What answers; its session is made on the first query.
        streaming: Whether queries give streaming responses.
        callback_manager: LlamaIndex's callbacks; None takes those of `llm`.
        text_qa_template: How a query becomes a question; None asks the query itself.
    """

    own_options: ClassVar[tuple[str, ...]] = ("streaming", "text_qa_template")

    def __init__(
        self,
        llm: PaceLLM,
        *,
        streaming: bool = False,
        callback_manager: CallbackManager | None = None,
        text_qa_template: BasePromptTemplate | None = None,
    ) -> None:
        super().__init__(callback_manager or llm.callback_manager)
        self._llm = llm
        self._streaming = streaming
        if text_qa_template is not None:
            self._question_template = text_qa_template

    @property
    def session(self) -> Session:
        """The session that is asked; the first use loads the model and reads the corpus."""
        return self._llm.session

    def refresh(self, documents: Iterable[BaseNode]) -> ReadCost:
        """Put new versions of documents in the place of the old ones, and add new ones.

        All pages of a changed file must be given. Only what follows the first change is read
        again. Questions that are being answered go on with what they started from.

        Args:
            documents: Documents that name their file, or whose ids are the caller's own.

        Returns:
            How many tokens were read, and how many were kept.

        Raises:
            DocumentError: A document has neither file nor id of its own, so that nobody can tell
                which one it replaces.
            ContextOverflowError: The result does not fit the model's context.
        """
        return replace_documents(self._llm.session, to_corpus(documents, named=True))

    async def arefresh(self, documents: Iterable[BaseNode]) -> ReadCost:
        """`refresh` without blocking the event loop."""
        await self._llm.asession()
        return await asyncio.to_thread(self.refresh, list(documents))

    def _get_prompt_modules(self) -> PromptMixinType:
        return {}

    def _query(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        llm, question = self._llm, self._make_question(query_bundle.query_str)
        # The session is read in the query's own span, not in that of the completion.
        _ = llm.session
        if self._streaming:
            return make_streaming_response(llm.stream_complete(question), llm.find_source_nodes)
        said = llm.complete(question)
        return Response(said.text, llm.find_source_nodes(said.raw), said.raw)

    async def _aquery(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        llm, question = self._llm, self._make_question(query_bundle.query_str)
        await llm.asession()
        if self._streaming:
            stream = await llm.astream_complete(question)
            return amake_streaming_response(stream, llm.find_source_nodes)
        said = await llm.acomplete(question)
        return Response(said.text, llm.find_source_nodes(said.raw), said.raw)
