"""What a chat engine gets its answers from: an LLM with its session, or a library."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Protocol

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import NodeWithScore

from pace_integrations.llama_index.llm import PaceLLM


class Speaker(Protocol):
    """What answers the messages of a chat engine."""

    callback_manager: CallbackManager

    def prepare(self) -> object:
        """Make ready what is asked: that is no part of a turn."""

    async def aprepare(self) -> object:
        """Do what `prepare` does without blocking the event loop."""

    def chat(self, messages: Sequence[ChatMessage]) -> ChatResponse:
        """Answer a conversation."""
        ...

    async def achat(self, messages: Sequence[ChatMessage]) -> ChatResponse:
        """Answer a conversation without blocking the event loop."""
        ...

    def stream_chat(self, messages: Sequence[ChatMessage]) -> Iterator[ChatResponse]:
        """Answer a conversation piece by piece."""
        ...

    async def astream_chat(self, messages: Sequence[ChatMessage]) -> AsyncIterator[ChatResponse]:
        """Answer a conversation piece by piece without blocking the event loop."""
        ...

    def find_source_nodes(self, said: Mapping[str, Any] | None) -> list[NodeWithScore]:
        """Return the pages that a response's ``raw`` cites."""
        ...


class SessionSpeaker:
    """An LLM that reads what there is to read before the first turn."""

    def __init__(self, llm: PaceLLM) -> None:
        self._llm = llm
        self.callback_manager = llm.callback_manager
        self.chat, self.achat = llm.chat, llm.achat
        self.stream_chat, self.astream_chat = llm.stream_chat, llm.astream_chat
        self.find_source_nodes = llm.find_source_nodes

    def prepare(self) -> object:
        """Read what there is to read, if that was not done."""
        return self._llm.session

    async def aprepare(self) -> object:
        """Do what `prepare` does without blocking the event loop."""
        return await self._llm.asession()
