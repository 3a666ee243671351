"""`PaceLibraryChatEngine`: a conversation about the pages of a library."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.callbacks import CallbackManager
from llama_index.core.memory import BaseMemory
from llama_index.core.schema import NodeWithScore

from pace_integrations.llama_index.chat_engine import TurnKeepingEngine
from pace_integrations.llama_index.convert import make_chat_response, read_citations, to_messages
from pace_integrations.llama_index.source_nodes import describe_citation, make_page_node

if TYPE_CHECKING:
    from pace_integrations.library import Library


class PaceLibraryChatEngine(TurnKeepingEngine):
    """A chat engine that answers each message from the pages of a library that fit it best.

    Pages are chosen for the message; the model sees the turns before it too. The cited pages are
    the sources; the metadata has citations, evidence, support and selection.

    Args:
        library: The library.
        memory: LlamaIndex's memory of the conversation; None keeps every turn.
        chat_history: What was said before.
        system_prompt: Put before every conversation.
        callback_manager: LlamaIndex's callbacks.
        **options: As for `Library.ask`, such as ``strategy`` or ``on_unsupported``.

    Raises:
        ConfigError: `memory` is no memory of LlamaIndex's.
    """

    def __init__(
        self,
        library: Library,
        *,
        memory: BaseMemory | None = None,
        chat_history: Sequence[ChatMessage] = (),
        system_prompt: str | None = None,
        callback_manager: CallbackManager | None = None,
        **options: Any,  # noqa: ANN401 - those of Library.ask
    ) -> None:
        super().__init__(
            _LibrarySpeaker(library, options, callback_manager or CallbackManager()),
            memory=memory,
            chat_history=chat_history,
            system_prompt=system_prompt,
        )


class _LibrarySpeaker:
    """What a chat engine asks: a library in the place of an LLM."""

    def __init__(
        self, library: Library, options: Mapping[str, Any], callback_manager: CallbackManager
    ) -> None:
        self._library = library
        self._options = options
        self.callback_manager = callback_manager

    def prepare(self) -> None:
        """Do nothing: a library is there already."""

    async def aprepare(self) -> None:
        """Do nothing: a library is there already."""

    def chat(self, messages: Sequence[ChatMessage]) -> ChatResponse:
        """Answer a conversation."""
        return make_chat_response(self._library.ask(to_messages(messages), **self._options))

    async def achat(self, messages: Sequence[ChatMessage]) -> ChatResponse:
        """Answer a conversation without blocking the event loop."""
        return make_chat_response(await self._library.aask(to_messages(messages), **self._options))

    def stream_chat(self, messages: Sequence[ChatMessage]) -> Iterator[ChatResponse]:
        """Answer a conversation piece by piece."""
        with self._library.stream(to_messages(messages), **self._options) as stream:
            text = ""
            for piece in stream:
                text += piece
                yield make_chat_response(None, text, piece)
            yield make_chat_response(stream.answer, delta="")

    async def astream_chat(self, messages: Sequence[ChatMessage]) -> AsyncIterator[ChatResponse]:
        """Answer a conversation piece by piece without blocking the event loop."""
        stream = await self._library.start_stream(to_messages(messages), **self._options)

        async def steps() -> AsyncIterator[ChatResponse]:
            text = ""
            async with stream:
                async for piece in stream:
                    text += piece
                    yield make_chat_response(None, text, piece)
                yield make_chat_response(stream.answer, delta="")

        return steps()

    def find_source_nodes(self, said: Mapping[str, Any] | None) -> list[NodeWithScore]:
        """Return the pages that a response's ``raw`` cites, with where and what was found."""
        pages = {passage.number: passage for passage in self._library.passages}
        found = ((pages[c.passage], c) for c in read_citations(said) if c.passage in pages)
        return [
            NodeWithScore(
                node=make_page_node(p.document, p.page, **describe_citation(c)), score=c.score
            )
            for p, c in found
        ]
