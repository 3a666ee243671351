"""One call of a chat model on its way to the session and back, for both integrations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from pace_integrations.adapters.answer_format import AnswerFormat
from pace_integrations.adapters.batching import AnswerBatcher
from pace_integrations.adapters.call_settings import CallSettings
from pace_integrations.adapters.citations import MarkRewriter
from pace_integrations.adapters.expected_calls import is_expecting_calls
from pace_integrations.adapters.prefix_cache import PrefixCache
from pace_integrations.answer import Answer

if TYPE_CHECKING:
    from pace_integrations.model.prompts import Message
    from pace_integrations.session import AnswerStream, AsyncAnswerStream, Conversation, Session


_Stream = TypeVar("_Stream", "AnswerStream", "AsyncAnswerStream")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One chat call: messages, the form of the answer, and settings.

    Attributes:
        session: What is asked.
        messages: The conversation, with all that the model is told.
        settings: How the answer is written, and how long it may take.
        format: What the answer must look like.
        prefixes: Where its prompt is cached afterwards.
        batcher: What answers it together with others, or None.
        pinned: Whether the prompt was marked to be kept.
        fresh: Tokens that were read for this very call.
        numbers: The caller's number of each passage, where it is not the session's.
    """

    session: Session
    messages: list[Message]
    settings: CallSettings
    format: AnswerFormat
    prefixes: PrefixCache
    batcher: AnswerBatcher | None = None
    pinned: bool = False
    fresh: int = 0
    numbers: Mapping[int, int] = field(default_factory=dict)

    @property
    def batch_key(self) -> Hashable:
        """Key that two calls share which can be answered in one batch."""
        return id(self.session), self.settings.generation, self.settings.timeout

    def ask(self) -> Answer:
        """Answer the call, with others that were announced where there are any."""
        if self.batcher is not None and is_expecting_calls():
            return self.finish(self.batcher.ask(self))
        return self.finish(self.ask_alone())

    async def aask(self) -> Answer:
        """Answer the call without blocking the event loop."""
        if self.batcher is not None:
            return self.finish(await self.batcher.aask(self))
        return self.finish(await self.aask_alone())

    def ask_alone(self, is_wanted: Callable[[], bool] = lambda: True) -> Answer:
        """Answer the call under the session's numbers, as long as the answer is wanted.

        Raises:
            PaceError: It is not wanted any more.
        """
        conversation = self._fork_conversation()
        settings = self.settings
        with conversation.stream(
            self.messages, generation=settings.generation, timeout=settings.timeout
        ) as stream:
            for _ in stream:
                if not is_wanted():
                    stream.close()
            answer = stream.answer
        self._keep_prompt(conversation)
        return answer

    async def aask_alone(self) -> Answer:
        """Answer the call under the session's numbers without blocking the event loop."""
        conversation, stream = await self._start_stream()
        async with stream:
            answer = await stream.drain()
        self._keep_prompt(conversation)
        return answer

    def stream(self) -> RequestStream:
        """Answer the call piece by piece."""
        conversation = self._fork_conversation()
        settings = self.settings
        stream = conversation.stream(
            self.messages, generation=settings.generation, timeout=settings.timeout
        )
        return RequestStream(self, conversation, stream)

    async def astream(self) -> AsyncRequestStream:
        """Answer the call piece by piece without blocking the event loop."""
        return AsyncRequestStream(self, *await self._start_stream())

    def finish(self, answer: Answer) -> Answer:
        """Return an answer under the caller's numbers."""
        return MarkRewriter(self.numbers).renumber(answer)

    async def _start_stream(self) -> tuple[Conversation, AsyncAnswerStream]:
        conversation = await asyncio.to_thread(self._fork_conversation)
        settings = self.settings
        stream = await conversation.start_stream(
            self.messages, generation=settings.generation, timeout=settings.timeout
        )
        return conversation, stream

    def _fork_conversation(self) -> Conversation:
        return self.prefixes.fork_conversation(self.messages)

    def _keep_prompt(self, conversation: Conversation) -> None:
        self.prefixes.keep_prompt(conversation, self.messages, pinned=self.pinned)


class _NumberedStream(Generic[_Stream]):
    """A call, its conversation and the answer that is being written to it."""

    def __init__(self, request: ChatRequest, conversation: Conversation, stream: _Stream) -> None:
        self._request = request
        self._conversation = conversation
        self._stream: _Stream = stream
        self._marks = MarkRewriter(request.numbers)

    @property
    def answer(self) -> Answer:
        """The whole answer; `RequestStream` waits for what has not been streamed yet."""
        answer = self._stream.answer
        self._request._keep_prompt(self._conversation)
        return self._request.finish(answer)


class RequestStream(_NumberedStream["AnswerStream"]):
    """Pieces of an answer under the caller's numbers; leaving its ``with`` block stops it."""

    def __iter__(self) -> RequestStream:
        return self

    def __next__(self) -> str:
        for piece in self._stream:
            if text := self._marks.push(piece):
                return text
        if text := self._marks.finish():
            return text
        raise StopIteration

    def close(self) -> None:
        """Stop the generation."""
        self._stream.close()

    def __enter__(self) -> RequestStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncRequestStream(_NumberedStream["AsyncAnswerStream"]):
    """`RequestStream` for event loops."""

    def __aiter__(self) -> AsyncRequestStream:
        return self

    async def __anext__(self) -> str:
        async for piece in self._stream:
            if text := self._marks.push(piece):
                return text
        if text := self._marks.finish():
            return text
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop the generation."""
        await self._stream.aclose()

    async def __aenter__(self) -> AsyncRequestStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
