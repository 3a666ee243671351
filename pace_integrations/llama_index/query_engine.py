"""`PaceQueryEngine`: ask what has been read, whole, and get pages as sources."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Self

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.response.schema import (
    RESPONSE_TYPE,
    Response,
)
from llama_index.core.callbacks import CallbackManager
from llama_index.core.prompts.mixin import PromptMixinType
from llama_index.core.schema import Document as LlamaDocument
from llama_index.core.schema import QueryBundle

from pace_integrations.adapters.lazy_session import Paths
from pace_integrations.llama_index.convert import source_nodes
from pace_integrations.llama_index.events import renew
from pace_integrations.llama_index.factories import llm_over, take
from pace_integrations.llama_index.llm import PaceLLM
from pace_integrations.llama_index.nodes import to_corpus
from pace_integrations.llama_index.streaming import astreamed, streamed
from pace_integrations.session import Session
from pace_integrations.session.state import ReadCost


class PaceQueryEngine(BaseQueryEngine):
    """A query engine without retrieval: the documents were read whole, once.

    Args:
        llm: What answers; its session is made on the first query.
        streaming: Whether queries give streaming responses.
        callback_manager: LlamaIndex's callbacks; None takes those of `llm`.
    """

    def __init__(
        self,
        llm: PaceLLM,
        *,
        streaming: bool = False,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        super().__init__(callback_manager or llm.callback_manager)
        self._llm = llm
        self._streaming = streaming

    @classmethod
    def from_session(cls, session: Session | str | Path, **options: Any) -> Self:  # noqa: ANN401
        """An engine over a session, or the folder of a saved one; `options` as for `from_paths`."""
        return cls._over(options, session=session)

    @classmethod
    def from_paths(cls, paths: Paths, **options: Any) -> Self:  # noqa: ANN401
        """An engine over files, folders or globs.

        Args:
            paths: What to read, on the first query.
            **options: ``pace`` or ``model``, ``memory`` and ``quantization`` choose the model;
                ``max_new_tokens``, ``temperature``, ``top_p``, ``top_k``, ``seed`` and ``stop``
                set the answers; ``streaming`` and ``callback_manager`` are the engine's.
        """
        return cls._over(options, paths=paths)

    @classmethod
    def from_documents(cls, documents: Iterable[LlamaDocument], **options: Any) -> Self:  # noqa: ANN401
        """An engine over LlamaIndex documents; those of one file are its pages.

        Args:
            documents: What a LlamaIndex reader gave.
            **options: As for `from_paths`.
        """
        return cls._over(options, corpus=to_corpus(documents))

    @classmethod
    def _over(cls, options: dict[str, Any], **given: Any) -> Self:  # noqa: ANN401
        own = take(options, ("streaming",))
        return cls(llm_over(options, **given), **own)

    @property
    def session(self) -> Session:
        """The session that is asked; the first use loads the model and reads the corpus."""
        return self._llm.session

    def refresh(self, documents: Iterable[LlamaDocument]) -> ReadCost:
        """Puts new versions of documents in the place of the old ones, and adds new ones.

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
        return renew(self._llm.session, to_corpus(documents, named=True))

    async def arefresh(self, documents: Iterable[LlamaDocument]) -> ReadCost:
        """`refresh` without blocking the event loop."""
        session = await self._llm.asession()
        return await asyncio.to_thread(renew, session, to_corpus(documents, named=True))

    def _get_prompt_modules(self) -> PromptMixinType:
        return {}

    def _query(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        session = self._llm.session
        if self._streaming:
            stream = self._llm.stream_complete(query_bundle.query_str)
            return streamed(stream, partial(source_nodes, session))
        said = self._llm.complete(query_bundle.query_str)
        return Response(said.text, source_nodes(session, said.raw), said.raw)

    async def _aquery(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        session = await self._llm.asession()
        if self._streaming:
            stream = await self._llm.astream_complete(query_bundle.query_str)
            return astreamed(stream, partial(source_nodes, session))
        said = await self._llm.acomplete(query_bundle.query_str)
        return Response(said.text, source_nodes(session, said.raw), said.raw)
