"""Completions that are streamed, as streaming responses of engines and synthesizers."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, closing
from typing import Any, cast

from llama_index.core.base.llms.types import CompletionResponseAsyncGen, CompletionResponseGen
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.schema import NodeWithScore

Sources = Callable[[Any], list[NodeWithScore]]
Ended = Callable[[Any], None]


def pieces(stream: CompletionResponseGen, ended: Ended | None = None) -> Generator[str, None, None]:
    """The new text of every step.

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


async def apieces(
    stream: CompletionResponseAsyncGen, ended: Ended | None = None
) -> AsyncGenerator[str, None]:
    """`pieces` for event loops."""
    raw = None
    async with aclosing(stream):
        async for step in stream:
            raw = step.raw
            if step.delta:
                yield step.delta
    if ended:
        ended(raw)


class _Target:
    """Fills in what is known only at the end of a stream, if anybody still holds its response.

    A response holds its pieces. If they held it too, one that is dropped half-way would write on
    until the garbage collector comes by.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self.response: weakref.ref[StreamingResponse | AsyncStreamingResponse] | None = None

    def __call__(self, said: Any) -> None:  # noqa: ANN401
        response = self.response() if self.response else None
        if response is not None:
            response.source_nodes = self._sources(said)
            response.metadata = said


def streamed(stream: CompletionResponseGen, sources: Sources) -> StreamingResponse:
    """A response that brings its sources and metadata when it has been consumed.

    Args:
        stream: Steps of a completion.
        sources: Makes nodes of what is known of the answer.
    """
    target = _Target(sources)
    response = StreamingResponse(response_gen=pieces(stream, target), metadata={})
    target.response = weakref.ref(response)
    return response


def astreamed(stream: CompletionResponseAsyncGen, sources: Sources) -> AsyncStreamingResponse:
    """`streamed` for event loops."""
    target = _Target(sources)
    response = AsyncStreamingResponse(response_gen=apieces(stream, target), metadata={})
    target.response = weakref.ref(response)
    return response
