"""`PaceChatEngine`: a conversation about what has been read."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.callbacks import CallbackManager
from llama_index.core.chat_engine.types import (
    AgentChatResponse,
    BaseChatEngine,
    StreamingAgentChatResponse,
)
from llama_index.core.schema import Document as LlamaDocument

from pace_integrations.adapters.lazy_session import Paths
from pace_integrations.llama_index.convert import source_nodes
from pace_integrations.llama_index.factories import llm_over, take
from pace_integrations.llama_index.llm import PaceLLM
from pace_integrations.llama_index.nodes import to_corpus
from pace_integrations.session import Conversation, Session


class PaceChatEngine(BaseChatEngine):
    """A chat engine whose documents were read whole, once.

    It talks over a fork of the session: turns before the last are not computed again. A turn
    enters the history when its answer is complete: one that fails or is closed half-way leaves the
    conversation as it was.

    Args:
        llm: What answers; its session is made on the first message.
        chat_history: What was said before.
        system_prompt: Put before every conversation.
        callback_manager: LlamaIndex's callbacks; None takes those of `llm`.
    """

    def __init__(
        self,
        llm: PaceLLM,
        *,
        chat_history: Sequence[ChatMessage] = (),
        system_prompt: str | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        self._llm = llm
        self._history = list(chat_history)
        self._last: Conversation | None = None
        self._system = [ChatMessage(system_prompt, role="system")] if system_prompt else []
        self.callback_manager = callback_manager or llm.callback_manager

    @classmethod
    def from_session(cls, session: Session | str | Path, **options: Any) -> Self:  # noqa: ANN401
        """An engine over a session, or the folder of a saved one; `options` as for `from_paths`."""
        return cls._over(options, session=session)

    @classmethod
    def from_paths(cls, paths: Paths, **options: Any) -> Self:  # noqa: ANN401
        """An engine over files, folders or globs, which are read on the first message.

        Args:
            paths: What to read.
            **options: As for `PaceQueryEngine.from_paths`, with ``chat_history`` and
                ``system_prompt`` and without ``streaming``.
        """
        return cls._over(options, paths=paths)

    @classmethod
    def from_documents(cls, documents: Iterable[LlamaDocument], **options: Any) -> Self:  # noqa: ANN401
        """An engine over LlamaIndex documents; those of one file are its pages."""
        return cls._over(options, corpus=to_corpus(documents))

    @classmethod
    def _over(cls, options: dict[str, Any], **given: Any) -> Self:  # noqa: ANN401
        own = take(options, ("chat_history", "system_prompt"))
        return cls(llm_over(options, **given), **own)

    @property
    def chat_history(self) -> list[ChatMessage]:
        """What was said so far."""
        return list(self._history)

    def reset(self) -> None:
        """Forgets the conversation; what was read stays read."""
        self._history, self._last = [], None

    def chat(
        self, message: str, chat_history: list[ChatMessage] | None = None
    ) -> AgentChatResponse:
        """Answers a message.

        Args:
            message: What the user says.
            chat_history: If given, the conversation goes on from this one.
        """
        turn = self._turn(self._llm.session, message, chat_history)
        with self.callback_manager.as_trace("chat"):
            return self._answered(turn, turn.llm.chat(turn.messages))

    async def achat(
        self, message: str, chat_history: list[ChatMessage] | None = None
    ) -> AgentChatResponse:
        """`chat` without blocking the event loop."""
        turn = self._turn(await self._llm.asession(), message, chat_history)
        with self.callback_manager.as_trace("chat"):
            return self._answered(turn, await turn.llm.achat(turn.messages))

    def stream_chat(
        self, message: str, chat_history: list[ChatMessage] | None = None
    ) -> StreamingAgentChatResponse:
        """Answers a message piece by piece."""
        turn = self._turn(self._llm.session, message, chat_history)
        with self.callback_manager.as_trace("chat"):
            stream = turn.llm.stream_chat(turn.messages)

        def steps() -> Iterator[ChatResponse]:
            with closing(cast("Any", stream)):
                step = None
                for step in stream:
                    yield step
            self._ended(turn, step, target)

        response = StreamingAgentChatResponse(chat_stream=steps(), is_writing_to_memory=False)  # type: ignore[arg-type]
        target = weakref.ref(response)
        return response

    async def astream_chat(
        self, message: str, chat_history: list[ChatMessage] | None = None
    ) -> StreamingAgentChatResponse:
        """`stream_chat` without blocking the event loop."""
        turn = self._turn(await self._llm.asession(), message, chat_history)
        with self.callback_manager.as_trace("chat"):
            stream = await turn.llm.astream_chat(turn.messages)

        async def steps() -> AsyncIterator[ChatResponse]:
            async with aclosing(stream):
                step = None
                async for step in stream:
                    yield step
            self._ended(turn, step, target)

        response = StreamingAgentChatResponse(achat_stream=steps(), is_writing_to_memory=False)  # type: ignore[arg-type]
        target = weakref.ref(response)
        return response

    def _turn(self, session: Session, message: str, history: list[ChatMessage] | None) -> _Turn:
        """The conversation with the new message at its end, and what answers it."""
        before = self._history if history is None else history
        last = self._last
        if last is None or last.corpus is not session.corpus:
            last = session.fork()
        conversation = last.fork()
        conversation.history = ()  # every turn brings the whole conversation
        asked = [*before, ChatMessage(message, role=MessageRole.USER)]
        return _Turn(
            asked, [*self._system, *asked], conversation, session, self._llm.over(conversation)
        )

    def _keep(self, turn: _Turn, answer: ChatMessage) -> None:
        self._history, self._last = [*turn.asked, answer], turn.conversation

    def _answered(self, turn: _Turn, said: ChatResponse) -> AgentChatResponse:
        self._keep(turn, said.message)
        nodes = source_nodes(turn.session, said.raw)
        return AgentChatResponse(said.message.content or "", source_nodes=nodes, metadata=said.raw)

    def _ended(
        self,
        turn: _Turn,
        last: ChatResponse | None,
        target: weakref.ref[StreamingAgentChatResponse],
    ) -> None:
        """Keeps a streamed turn; its response gets its sources if anybody still holds it."""
        if last is None:
            return
        self._keep(turn, last.message)
        if response := target():
            response.source_nodes = source_nodes(turn.session, last.raw)


@dataclass(frozen=True)
class _Turn:
    """A message on its way to an answer.

    Attributes:
        asked: The conversation up to the message.
        messages: The same with the system prompt.
        conversation: What has computed the turns before.
        session: What was read.
        llm: What answers.
    """

    asked: list[ChatMessage]
    messages: list[ChatMessage]
    conversation: Conversation
    session: Session
    llm: PaceLLM
