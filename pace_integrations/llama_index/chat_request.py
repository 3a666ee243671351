"""Answers of the session as LlamaIndex takes them: whole responses, and steps of a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from typing import Any, cast

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    MessageRole,
    ToolCallBlock,
)

from pace_integrations.adapters.chat_request import ChatRequest
from pace_integrations.adapters.tool_calls import Call, CallReader
from pace_integrations.answer import Answer
from pace_integrations.llama_index.convert import (
    load_arguments,
    make_chat_response,
    make_cited_blocks,
    make_raw,
    to_openai_call,
)
from pace_integrations.llama_index.streaming import Step


def make_response(
    request: ChatRequest, answer: Answer, delta: str | None = None, *, turn: int
) -> ChatResponse:
    """Return a whole answer; calls of tools are told from its text.

    Args:
        request: The call.
        answer: Its answer.
        delta: What is new since the last step of a stream.
        turn: Turns before the answer; calls are named by it.
    """
    if not request.format.calls:
        return make_chat_response(answer, delta=delta)
    reader = CallReader()
    found = [*reader.push(answer.text), *reader.finish()]
    calls = [part for part in found if isinstance(part, Call) and part.name]
    text = "".join(p if isinstance(p, str) else p.arguments for p in found if p not in calls)
    made = [_make_call_block(turn, i, call) for i, call in enumerate(calls)]
    spoken = [] if made and not text else make_cited_blocks(text, answer)
    message = ChatMessage(
        role=MessageRole.ASSISTANT,
        blocks=[*spoken, *made],
        additional_kwargs={"tool_calls": [*map(to_openai_call, made)]} if made else {},
    )
    return ChatResponse(message=message, delta=delta, raw=make_raw(answer))


def generate_responses(
    request: ChatRequest, steps: Iterator[Step], *, turn: int
) -> ChatResponseGen:
    """Yield an answer piece by piece; the last response brings calls, usage and citations."""
    shown = StreamAssembler(request, turn)
    with closing(cast("Any", steps)):
        for step in steps:
            if (response := shown.take_step(step)) is not None:
                yield response


async def agenerate_responses(
    request: ChatRequest, steps: AsyncIterator[Step], *, turn: int
) -> ChatResponseAsyncGen:
    """Yield `generate_responses` for event loops."""
    shown = StreamAssembler(request, turn)
    async with aclosing(cast("Any", steps)):
        async for step in steps:
            if (response := shown.take_step(step)) is not None:
                yield response


class StreamAssembler:
    """Steps of a stream as responses; the text of calls is held back until they are complete.

    Args:
        request: The call.
        turn: Turns before the answer.
    """

    def __init__(self, request: ChatRequest, turn: int) -> None:
        self._request = request
        self._turn = turn
        self._reader = CallReader()
        self._text = ""

    def take_step(self, step: Step) -> ChatResponse | None:
        """Return the response of a step, or None where it has nothing to show."""
        if not self._request.format.calls:
            return make_chat_response(*step)
        answer, _, piece = step
        found = self._reader.push(piece) if answer is None else self._reader.finish()
        new = "".join(part for part in found if isinstance(part, str))
        self._text += new
        if answer is not None:
            return make_response(self._request, answer, new, turn=self._turn)
        return make_chat_response(None, self._text, new) if new else None


def _make_call_block(turn: int, number: int, call: Call) -> ToolCallBlock:
    return ToolCallBlock(
        tool_call_id=f"call_{turn}_{number}",
        tool_name=str(call.name),
        tool_kwargs=load_arguments(call.arguments),
    )
