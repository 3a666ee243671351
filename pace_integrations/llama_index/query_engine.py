"""`PaceQueryEngine`: ask what has been read, whole, and get pages as sources."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, Generator, Iterable
from typing import Any, Self

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.response.schema import (
    RESPONSE_TYPE,
    AsyncStreamingResponse,
    Response,
    StreamingResponse,
)
from llama_index.core.callbacks import CallbackManager
from llama_index.core.prompts.mixin import PromptMixinType
from llama_index.core.schema import Document as LlamaDocument
from llama_index.core.schema import QueryBundle

from pace_integrations.answer import Answer
from pace_integrations.binding import Binding, Paths, generation
from pace_integrations.config import GenerationConfig
from pace_integrations.llama_index.convert import raw, source_nodes, to_corpus
from pace_integrations.session import AnswerStream, AsyncAnswerStream, Session


class PaceQueryEngine(BaseQueryEngine):
    """A query engine without retrieval: the documents were read whole, once.

    Args:
        binding: Where the session comes from; it is made on the first query.
        settings: Length, sampling and stop strings of the answers.
        streaming: Whether queries give streaming responses.
        callback_manager: LlamaIndex's callbacks.
    """

    def __init__(
        self,
        binding: Binding,
        *,
        settings: GenerationConfig | None = None,
        streaming: bool = False,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        super().__init__(callback_manager)
        self._binding = binding
        self._settings = settings or GenerationConfig()
        self._streaming = streaming

    @classmethod
    def from_session(cls, session: Session, **options: Any) -> Self:  # noqa: ANN401
        """An engine over a session that has read already; `options` as for `from_paths`."""
        return cls._from(Binding(session=session), options)

    @classmethod
    def from_paths(cls, paths: Paths, **options: Any) -> Self:  # noqa: ANN401
        """An engine over files, folders or globs.

        Args:
            paths: What to read, on the first query.
            **options: ``pace`` or ``model``, ``memory`` and ``quantization`` choose the model;
                ``max_new_tokens``, ``temperature``, ``top_p``, ``top_k``, ``seed`` and ``stop``
                set the answers; ``streaming`` and ``callback_manager`` are the engine's.
        """
        return cls._from(Binding(paths=paths, **_take(options, _MODEL)), options)

    @classmethod
    def from_documents(cls, documents: Iterable[LlamaDocument], **options: Any) -> Self:  # noqa: ANN401
        """An engine over LlamaIndex documents; those of one file are its pages.

        Args:
            documents: What a LlamaIndex reader gave.
            **options: As for `from_paths`.
        """
        corpus = to_corpus(documents)
        return cls._from(Binding(corpus=corpus, **_take(options, _MODEL)), options)

    @classmethod
    def _from(cls, binding: Binding, options: dict[str, Any]) -> Self:
        own = _take(options, ("streaming", "callback_manager"))
        settings = generation(GenerationConfig(), _take(options, _GENERATION))
        if options:
            raise TypeError(f"unknown options: {', '.join(sorted(options))}")
        return cls(binding, settings=settings, **own)

    def _get_prompt_modules(self) -> PromptMixinType:
        return {}

    def _query(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        session = self._binding.session
        stream = session.stream(query_bundle.query_str, generation=self._settings)
        if not self._streaming:
            with stream:
                return _response(session, stream.answer)
        return _streamed(session, stream)

    async def _aquery(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        session = await self._binding.asession()
        stream = session.astream(query_bundle.query_str, generation=self._settings)
        if not self._streaming:
            async with stream:
                return _response(session, await stream.drain())
        return _astreamed(session, stream)


_MODEL = ("pace", "model", "memory", "quantization")
_GENERATION = ("max_new_tokens", "temperature", "top_p", "top_k", "seed", "stop")


def _take(options: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: options.pop(name) for name in names if name in options}


def _response(session: Session, answer: Answer) -> Response:
    return Response(answer.text, source_nodes(session, answer.citations), raw(answer))


# A response holds its pieces. If they held it too, one that is dropped half-way would write on
# until the garbage collector comes by.
Streamed = weakref.ref[StreamingResponse] | weakref.ref[AsyncStreamingResponse]


def _complete(session: Session, answer: Answer, target: Streamed) -> None:
    """Fills in what is known only at the end of a stream, if anybody still holds it."""
    response = target()
    if response is None:
        return
    response.source_nodes = source_nodes(session, answer.citations)
    response.metadata = raw(answer)


def _streamed(session: Session, stream: AnswerStream) -> StreamingResponse:
    def pieces() -> Generator[str, None, None]:
        with stream:
            yield from stream
            _complete(session, stream.answer, target)

    response = StreamingResponse(response_gen=pieces(), metadata={})
    target = weakref.ref(response)
    return response


def _astreamed(session: Session, stream: AsyncAnswerStream) -> AsyncStreamingResponse:
    async def pieces() -> AsyncGenerator[str, None]:
        async with stream:
            async for piece in stream:
                yield piece
            _complete(session, stream.answer, target)

    response = AsyncStreamingResponse(response_gen=pieces(), metadata={})
    target = weakref.ref(response)
    return response
