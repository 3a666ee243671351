"""`PaceChatEngine`: a conversation about what has been read."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.callbacks import CallbackManager
from llama_index.core.chat_engine.types import (
    AgentChatResponse,
    BaseChatEngine,
    StreamingAgentChatResponse,
)
from llama_index.core.memory import BaseMemory
from llama_index.core.prompts import PromptTemplate
from llama_index.core.prompts.mixin import PromptDictType, PromptMixin, PromptMixinType

from pace_integrations.errors import ConfigError
from pace_integrations.llama_index.factories import SessionFactories
from pace_integrations.llama_index.llm import PaceLLM
from pace_integrations.llama_index.speakers import SessionSpeaker, Speaker

_SYSTEM = "system_prompt"


class TurnKeepingEngine(PromptMixin, BaseChatEngine):
    """A chat engine that keeps turns whose answers are complete.

    A turn that fails or is closed half-way leaves the conversation as it was.

    Args:
        llm: What answers.
        memory: LlamaIndex's memory of the conversation; None keeps every turn.
        chat_history: What was said before.
        system_prompt: Put before every conversation.
        callback_manager: LlamaIndex's callbacks; None takes those of `llm`.

    Raises:
        ConfigError: `memory` is no memory of LlamaIndex's.
    """

    def __init__(
        self,
        llm: Speaker,
        *,
        memory: BaseMemory | None = None,
        chat_history: Sequence[ChatMessage] = (),
        system_prompt: str | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        if memory is not None and not isinstance(memory, BaseMemory):
            raise ConfigError(
                f"memory= of a chat engine is LlamaIndex's BaseMemory, not a "
                f"{type(memory).__name__}; settings of the activation memory are "
                "activation_memory="
            )
        self._llm = llm
        self._memory = memory
        self._history = list(chat_history)
        if memory is not None and self._history:
            memory.set(self._history)
        self._system = [ChatMessage(system_prompt, role="system")] if system_prompt else []
        self.callback_manager = callback_manager or llm.callback_manager

    def _get_prompts(self) -> PromptDictType:
        said = self._system[0].content if self._system else ""
        return {_SYSTEM: PromptTemplate(said or "")}

    def _update_prompts(self, prompts: PromptDictType) -> None:
        if _SYSTEM in prompts:
            said = prompts[_SYSTEM].get_template()
            self._system = [ChatMessage(said, role="system")] if said else []

    def _get_prompt_modules(self) -> PromptMixinType:
        return {}

    @property
    def chat_history(self) -> list[ChatMessage]:
        """The conversation so far."""
        return list(self._history) if self._memory is None else self._memory.get_all()

    def reset(self) -> None:
        """Forget the conversation; what was read stays read."""
        self._history = []
        if self._memory is not None:
            self._memory.reset()

    def chat(
        self, message: str, chat_history: list[ChatMessage] | None = None
    ) -> AgentChatResponse:
        """Answer a message.

        Args:
            message: What the user says.
            chat_history: If given, the conversation goes on from this one.
        """
        self._llm.prepare()
        turn = self._start_turn(message, chat_history)
        with self.callback_manager.as_trace("chat"):
            said = self._llm.chat(turn.messages)
        self._keep_turn(turn, said.message)
        return self._make_response(said)

    async def achat(
        self, message: str, chat_history: list[ChatMessage] | None = None
    ) -> AgentChatResponse:
        """`chat` without blocking the event loop."""
        await self._llm.aprepare()
        turn = await self._astart_turn(message, chat_history)
        with self.callback_manager.as_trace("chat"):
            said = await self._llm.achat(turn.messages)
        await self._akeep_turn(turn, said.message)
        return self._make_response(said)

    def stream_chat(
        self, message: str, chat_history: list[ChatMessage] | None = None
    ) -> StreamingAgentChatResponse:
        """Answer a message piece by piece."""
        self._llm.prepare()
        turn = self._start_turn(message, chat_history)
        with self.callback_manager.as_trace("chat"):
            stream = self._llm.stream_chat(turn.messages)

        def steps() -> Iterator[ChatResponse]:
            step = None
            with closing(cast("Any", stream)):
                for step in stream:
                    yield step
            if step is not None:
                self._keep_turn(turn, step.message)
                self._complete(target, step)

        response = StreamingAgentChatResponse(chat_stream=steps(), is_writing_to_memory=False)  # type: ignore[arg-type]
        target = weakref.ref(response)
        return response

    async def astream_chat(
        self, message: str, chat_history: list[ChatMessage] | None = None
    ) -> StreamingAgentChatResponse:
        """`stream_chat` without blocking the event loop."""
        await self._llm.aprepare()
        turn = await self._astart_turn(message, chat_history)
        with self.callback_manager.as_trace("chat"):
            stream = await self._llm.astream_chat(turn.messages)

        async def steps() -> AsyncIterator[ChatResponse]:
            step = None
            async with aclosing(cast("Any", stream)):
                async for step in stream:
                    yield step
            if step is not None:
                await self._akeep_turn(turn, step.message)
                self._complete(target, step)

        response = StreamingAgentChatResponse(achat_stream=steps(), is_writing_to_memory=False)  # type: ignore[arg-type]
        target = weakref.ref(response)
        return response

    def _start_turn(self, message: str, given: list[ChatMessage] | None) -> _Turn:
        before = given
        if before is None:
            memory = self._memory
            before = self._history if memory is None else memory.get(input=message)
        return self._make_turn(message, before, given)

    async def _astart_turn(self, message: str, given: list[ChatMessage] | None) -> _Turn:
        before = given
        if before is None:
            memory = self._memory
            before = self._history if memory is None else await memory.aget(input=message)
        return self._make_turn(message, before, given)

    def _make_turn(
        self, message: str, before: Sequence[ChatMessage], given: list[ChatMessage] | None
    ) -> _Turn:
        asked = ChatMessage(message, role=MessageRole.USER)
        return _Turn(asked, [*self._system, *before, asked], given)

    def _keep_turn(self, turn: _Turn, answer: ChatMessage) -> None:
        if self._memory is None:
            self._keep_in_history(turn, answer)
            return
        if turn.replaced is not None:
            self._memory.set(turn.replaced)
        self._memory.put_messages([turn.asked, answer])

    async def _akeep_turn(self, turn: _Turn, answer: ChatMessage) -> None:
        if self._memory is None:
            self._keep_in_history(turn, answer)
            return
        if turn.replaced is not None:
            await self._memory.aset(turn.replaced)
        await self._memory.aput_messages([turn.asked, answer])

    def _keep_in_history(self, turn: _Turn, answer: ChatMessage) -> None:
        before = self._history if turn.replaced is None else turn.replaced
        self._history = [*before, turn.asked, answer]

    def _make_response(self, said: ChatResponse) -> AgentChatResponse:
        nodes = self._llm.find_source_nodes(said.raw)
        return AgentChatResponse(said.message.content or "", source_nodes=nodes, metadata=said.raw)

    def _complete(
        self, target: weakref.ref[StreamingAgentChatResponse], last: ChatResponse
    ) -> None:
        """Give a streamed response its sources, if anybody still holds it."""
        if response := target():
            response.source_nodes = self._llm.find_source_nodes(last.raw)


class PaceChatEngine(SessionFactories, TurnKeepingEngine):
    """A chat engine whose documents were read whole, once.

    Turns before the last are not computed again (see `PaceLLM.held_prompts`). A turn enters the
    history when its answer is complete: one that fails or is closed half-way leaves the
    conversation as it was.

    Args:
        llm: What answers; its session is made on the first message.
        memory: LlamaIndex's memory of the conversation; None keeps every turn. The settings of the
            activation memory are ``activation_memory=``.
        chat_history: What was said before.
        system_prompt: Put before every conversation.
        callback_manager: LlamaIndex's callbacks; None takes those of `llm`.

    Raises:
        ConfigError: `memory` is no memory of LlamaIndex's.
    """

    own_options: ClassVar[tuple[str, ...]] = ("memory", "chat_history", "system_prompt")

    def __init__(
        self,
        llm: PaceLLM,
        *,
        memory: BaseMemory | None = None,
        chat_history: Sequence[ChatMessage] = (),
        system_prompt: str | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        super().__init__(
            SessionSpeaker(llm),
            memory=memory,
            chat_history=chat_history,
            system_prompt=system_prompt,
            callback_manager=callback_manager,
        )


@dataclass(frozen=True)
class _Turn:
    """A message on its way to an answer.

    Attributes:
        asked: The message.
        messages: The conversation up to it, with the system prompt.
        replaced: The history that the caller put in the place of the engine's, or None.
    """

    asked: ChatMessage
    messages: list[ChatMessage]
    replaced: list[ChatMessage] | None
