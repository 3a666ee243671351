"""One call of a chat model on its way to the session and back."""

from __future__ import annotations

from dataclasses import dataclass

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from pace_integrations.adapters.prefix_cache import Prefixes
from pace_integrations.answer import Answer
from pace_integrations.config import GenerationConfig
from pace_integrations.langchain.convert import message_of, response_metadata, usage_metadata
from pace_integrations.langchain.tools import Form
from pace_integrations.model.prompts import Message
from pace_integrations.session.conversation import Conversation


@dataclass(frozen=True, slots=True)
class Request:
    """A call on its way to the model.

    Attributes:
        asked: What is asked: a conversation that holds the beginning of the prompt, if any.
        messages: The conversation.
        generation: How the answer is written.
        form: What it must look like.
        name: Name of the model.
        fresh: Tokens that were read for this call.
        prefixes: Where its prompt is held afterwards.
        pinned: Whether the prompt was marked to be kept.
    """

    asked: Conversation
    messages: list[Message]
    generation: GenerationConfig
    form: Form
    name: str
    fresh: int
    prefixes: Prefixes
    pinned: bool

    def usage(self, answer: Answer) -> UsageMetadata:
        """The tokens of the answer; its prompt is held from here on."""
        self.prefixes.keep(self.asked, self.messages, pinned=self.pinned)
        return usage_metadata(answer.usage, fresh=self.fresh, kept=self.prefixes.most > 0)

    def message(self, answer: Answer) -> AIMessage:
        """The whole answer."""
        return message_of(answer, self.name, self.usage(answer), calls=self.form.calls)

    def last(self, answer: Answer, *, called: bool) -> AIMessageChunk:
        """The chunk that ends a stream; it alone carries what is said once."""
        return AIMessageChunk(
            content="",
            chunk_position="last",
            usage_metadata=self.usage(answer),
            response_metadata=response_metadata(answer, self.name, called=called),
        )


def result_of(message: AIMessage) -> ChatResult:
    """A whole answer as LangChain takes it."""
    return ChatResult(generations=[ChatGeneration(message=message)])


def chunk_of(message: AIMessageChunk) -> ChatGenerationChunk:
    """A piece of an answer as LangChain takes it."""
    return ChatGenerationChunk(message=message)
