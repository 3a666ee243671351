"""Streams of the session as LlamaIndex's streams, and as streaming responses of engines."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, cast

from llama_index.core.base.llms.types import CompletionResponseAsyncGen, CompletionResponseGen
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.instrumentation.span import active_span_id
from llama_index.core.schema import NodeWithScore

from pace_integrations.answer import Answer
from pace_integrations.llama_index.events import dispatch_memory_use

if TYPE_CHECKING:
    from pace_integrations.adapters.chat_request import ChatRequest

Step = tuple[Answer | None, str, str]
FindSources = Callable[[Any], list[NodeWithScore]]
Done = Callable[[Any], None]


def stream_steps(request: ChatRequest) -> Iterator[Step]:
    """Yield ``(answer, text so far, new text)``; the last step brings the answer, nothing new."""
    span, stream = active_span_id.get(), request.stream()

    def generate() -> Iterator[Step]:
        with stream:
            text = ""
            for piece in stream:
                text += piece
                yield None, text, piece
            yield dispatch_memory_use(stream.answer, span), text, ""

    return generate()


async def astream_steps(request: ChatRequest) -> AsyncIterator[Step]:
    """Return `stream_steps` for event loops."""
    span, stream = active_span_id.get(), await request.astream()

    async def generate() -> AsyncIterator[Step]:
        async with stream:
            text = ""
            async for piece in stream:
                text += piece
                yield None, text, piece
            yield dispatch_memory_use(stream.answer, span), text, ""

    return generate()


def yield_deltas(
    stream: CompletionResponseGen, ended: Done | None = None
) -> Generator[str, None, None]:
    """Yield the new text of every step.

    Args:
        stream: Steps of a completion.
        ended: Called with what is known of the answer after the last step.
    """
    raw = None
    with closing(cast("Generator[Any, None, None]", stream)):
        for step in stream:
            raw = step.raw
            if step.delta:
                yield step.delta
    if ended:
        ended(raw)


async def ayield_deltas(
    stream: CompletionResponseAsyncGen, ended: Done | None = None
) -> AsyncGenerator[str, None]:
    """Yield `yield_deltas` for event loops."""
    raw = None
    async with aclosing(stream):
        async for step in stream:
            raw = step.raw
            if step.delta:
                yield step.delta
    if ended:
        ended(raw)


class _ResponseCompleter:
    """Fills in what is known only at the end of a stream, if anybody still holds its response.

    A response holds its pieces. If they held it too, one that is dropped half-way would write on
    until the garbage collector comes by.
    """

    def __init__(self, sources: FindSources) -> None:
        self._sources = sources
        self.response: weakref.ref[StreamingResponse | AsyncStreamingResponse] | None = None

    def __call__(self, said: Any) -> None:  # noqa: ANN401
        response = self.response() if self.response else None
        if response is not None:
            response.source_nodes = self._sources(said)
            response.metadata = said


def make_streaming_response(
    stream: CompletionResponseGen, sources: FindSources
) -> StreamingResponse:
    """Return a response that brings its sources and metadata when it has been consumed.

    Args:
        stream: Steps of a completion.
        sources: Makes nodes of what is known of the answer.
    """
    target = _ResponseCompleter(sources)
    response = StreamingResponse(response_gen=yield_deltas(stream, target), metadata={})
    target.response = weakref.ref(response)
    return response


def amake_streaming_response(
    stream: CompletionResponseAsyncGen, sources: FindSources
) -> AsyncStreamingResponse:
    """Return `make_streaming_response` for event loops."""
    target = _ResponseCompleter(sources)
    response = AsyncStreamingResponse(response_gen=ayield_deltas(stream, target), metadata={})
    target.response = weakref.ref(response)
    return response
