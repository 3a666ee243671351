"""Streams of the session as the steps of LlamaIndex's streams, and what is told at their end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from llama_index.core.instrumentation.span import active_span_id

from pace_integrations.answer import Answer
from pace_integrations.llama_index.events import PaceMemoryEvent, within
from pace_integrations.session import AnswerStream, AsyncAnswerStream

Step = tuple[Answer | None, str, str]


def steps(stream: AnswerStream) -> Iterator[Step]:
    """``(answer, text so far, new text)`` by piece; the last brings the answer, nothing new."""
    span = active_span_id.get()

    def generate() -> Iterator[Step]:
        with stream:
            text = ""
            for piece in stream:
                text += piece
                yield None, text, piece
            yield told(stream.answer, span), text, ""

    return generate()


def asteps(stream: AsyncAnswerStream) -> AsyncIterator[Step]:
    """`steps` for event loops."""
    span = active_span_id.get()

    async def generate() -> AsyncIterator[Step]:
        async with stream:
            text = ""
            async for piece in stream:
                text += piece
                yield None, text, piece
            yield told(stream.answer, span), text, ""

    return generate()


def told(answer: Answer, span: str | None = None) -> Answer:
    """An answer, after the dispatcher was told how the memory served it."""
    if answer.memory is not None:
        counts = answer.memory
        within(span, PaceMemoryEvent(high=counts.high, medium=counts.medium, low=counts.low))
    return answer
