"""One call of a chat model: what is asked of the session, and its answer as responses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Any, cast

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
)

from pace_integrations.answer import Answer
from pace_integrations.config import GenerationConfig
from pace_integrations.llama_index.convert import chat_response, to_messages
from pace_integrations.llama_index.prefixes import Prefixes, marked
from pace_integrations.llama_index.steps import Step
from pace_integrations.llama_index.tools import Shown, Toolbox
from pace_integrations.model.prompts import Message
from pace_integrations.session import AnswerStream, AsyncAnswerStream, Conversation, Session


@dataclass(frozen=True)
class Order:
    """A conversation to answer.

    Attributes:
        session: What is asked.
        said: The conversation.
        config: How the answer is written.
        toolbox: Tools that may be called, or None.
        prefixes: Where marked beginnings are kept.
    """

    session: Session
    said: Sequence[ChatMessage]
    config: GenerationConfig
    toolbox: Toolbox | None
    prefixes: Prefixes

    def stream(self) -> AnswerStream:
        """Asks."""
        asked, messages = self._asked()
        return asked.stream(messages, generation=self.config)

    def astream(self) -> AsyncAnswerStream:
        """Asks from an event loop."""
        asked, messages = self._asked()
        return asked.astream(messages, generation=self.config)

    def response(self, answer: Answer) -> ChatResponse:
        """A whole answer."""
        return self.toolbox.response(answer) if self.toolbox else chat_response(answer)

    def responses(self, steps: Iterator[Step]) -> ChatResponseGen:
        """An answer piece by piece; the last response brings calls, usage and citations."""
        shown = Shown(self.toolbox)
        with closing(cast("Any", steps)):
            for step in steps:
                if (response := shown.take(step)) is not None:
                    yield response

    async def aresponses(self, steps: AsyncIterator[Step]) -> ChatResponseAsyncGen:
        """`responses` for event loops."""
        shown = Shown(self.toolbox)
        async with aclosing(cast("Any", steps)):
            async for step in steps:
                if (response := shown.take(step)) is not None:
                    yield response

    def _asked(self) -> tuple[Session | Conversation, list[Message]]:
        messages = to_messages(self.said)
        if self.toolbox is not None:
            messages = self.toolbox.told(messages)
        beginning = marked(self.said)
        if beginning is None:
            return self.session, messages
        return self.prefixes.conversation(self.session, beginning), messages
