"""`PaceLLM`: a LlamaIndex LLM over a session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.custom import CustomLLM
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.types import TokenAsyncGen

from pace_integrations.answer import Answer
from pace_integrations.binding import Binding, generation
from pace_integrations.config import GenerationConfig, MemoryConfig, Quantization
from pace_integrations.documents import Corpus
from pace_integrations.llama_index.convert import raw, to_messages
from pace_integrations.model.prompts import Message
from pace_integrations.session import AnswerStream, AsyncAnswerStream, Pace, Session

_MEMORY = MemoryConfig()
Asked = str | list[Message]


class PaceLLM(CustomLLM):
    """An LLM that answers from what a session has read; without a corpus, a plain local LLM.

    Args:
        session: A session to ask; nothing else of the next six is then given.
        pace: A loaded model.
        model: Name or path of a model to load; None with no `pace` takes the embedded one.
        corpus: What to read on first use.
        paths: Files, folders or globs to read on first use.
        memory: Settings of the memory of a model that is loaded here; None turns it off.
        quantization: Quantisation of a model that is loaded here.
        **settings: ``max_new_tokens``, ``temperature``, ``top_p``, ``top_k``, ``seed``, ``stop``,
            and the base class's fields.
    """

    max_new_tokens: int = Field(default=256, gt=0, description="Most tokens of an answer.")
    temperature: float = Field(default=0.0, ge=0, description="0 is greedy.")
    top_p: float = Field(default=1.0, gt=0, le=1, description="Probability mass sampled from.")
    top_k: int = Field(default=0, ge=0, description="Most likely tokens sampled from; 0 is all.")
    seed: int | None = Field(default=None, description="Seed of the sampling.")
    stop: list[str] = Field(default_factory=list, description="Strings that end an answer.")

    _binding: Binding = PrivateAttr()

    def __init__(
        self,
        *,
        session: Session | None = None,
        pace: Pace | None = None,
        model: str | None = None,
        corpus: Corpus | None = None,
        paths: str | Path | Sequence[str | Path] | None = None,
        memory: MemoryConfig | None = _MEMORY,
        quantization: Quantization | None = None,
        **settings: Any,  # noqa: ANN401 - pydantic checks them
    ) -> None:
        super().__init__(**settings)
        self._binding = Binding(
            session=session,
            pace=pace,
            model=model,
            corpus=corpus,
            paths=paths,
            memory=memory,
            quantization=quantization,
        )

    @classmethod
    def class_name(cls) -> str:
        """Name in LlamaIndex's registries."""
        return "PaceLLM"

    @property
    def metadata(self) -> LLMMetadata:
        """Window of the prompt: what the corpus leaves of the model's context."""
        session = self._binding.session
        return LLMMetadata(
            context_window=session.pace.context_window - session.tokens,
            num_output=self.max_new_tokens,
            is_chat_model=True,
            model_name=session.pace.name,
        )

    def to_payload(self) -> dict[str, Any]:
        """What LlamaIndex's events say of this model.

        They are emitted on the event loop before the work starts: no reason to load or read.
        """
        if self._binding.ready:
            return super().to_payload()
        return {"class_name": self.class_name(), "num_output": self.max_new_tokens}

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: ANN401
        """Answers a prompt."""
        return _completion(self._stream(prompt, kwargs).answer)

    @llm_completion_callback()
    def stream_complete(
        self,
        prompt: str,
        formatted: bool = False,
        **kwargs: Any,  # noqa: ANN401
    ) -> CompletionResponseGen:
        """Answers a prompt piece by piece."""
        return (_completion(*step) for step in _steps(self._stream(prompt, kwargs)))

    @llm_completion_callback()
    async def acomplete(
        self,
        prompt: str,
        formatted: bool = False,
        **kwargs: Any,  # noqa: ANN401
    ) -> CompletionResponse:
        """Answers a prompt without blocking the event loop."""
        return _completion(await (await self._astream(prompt, kwargs)).drain())

    @llm_completion_callback()
    async def astream_complete(
        self,
        prompt: str,
        formatted: bool = False,
        **kwargs: Any,  # noqa: ANN401
    ) -> CompletionResponseAsyncGen:
        """Answers a prompt piece by piece without blocking the event loop."""
        stream = await self._astream(prompt, kwargs)
        return (_completion(*step) async for step in _asteps(stream))

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:  # noqa: ANN401
        """Answers a conversation."""
        return _chat(self._stream(to_messages(messages), kwargs).answer)

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:  # noqa: ANN401
        """Answers a conversation piece by piece."""
        return (_chat(*step) for step in _steps(self._stream(to_messages(messages), kwargs)))

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:  # noqa: ANN401
        """Answers a conversation without blocking the event loop."""
        return _chat(await (await self._astream(to_messages(messages), kwargs)).drain())

    @llm_chat_callback()
    async def astream_chat(
        self,
        messages: Sequence[ChatMessage],
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResponseAsyncGen:
        """Answers a conversation piece by piece without blocking the event loop."""
        stream = await self._astream(to_messages(messages), kwargs)
        return (_chat(*step) async for step in _asteps(stream))

    async def apredict(self, prompt: BasePromptTemplate, **prompt_args: Any) -> str:  # noqa: ANN401
        """Fills in a prompt template and answers it without blocking the event loop."""
        await self._binding.asession()  # the base class asks for `metadata` on the event loop
        return await super().apredict(prompt, **prompt_args)

    async def astream(self, prompt: BasePromptTemplate, **prompt_args: Any) -> TokenAsyncGen:  # noqa: ANN401
        """`apredict`, piece by piece."""
        await self._binding.asession()
        return await super().astream(prompt, **prompt_args)

    def _stream(self, asked: Asked, overrides: dict[str, Any]) -> AnswerStream:
        return self._binding.session.stream(asked, generation=self._generation(overrides))

    async def _astream(self, asked: Asked, overrides: dict[str, Any]) -> AsyncAnswerStream:
        session = await self._binding.asession()
        return session.astream(asked, generation=self._generation(overrides))

    def _generation(self, overrides: dict[str, Any]) -> GenerationConfig:
        own = ("max_new_tokens", "temperature", "top_p", "top_k", "seed", "stop")
        base = generation(GenerationConfig(), {name: getattr(self, name) for name in own})
        return generation(base, overrides)


Step = tuple[Answer | None, str, str]


def _steps(stream: AnswerStream) -> Iterator[Step]:
    """``(answer, text so far, new text)`` by piece; the last brings the answer, nothing new."""
    with stream:
        text = ""
        for piece in stream:
            text += piece
            yield None, text, piece
        yield stream.answer, text, ""


async def _asteps(stream: AsyncAnswerStream) -> AsyncIterator[Step]:
    async with stream:
        text = ""
        async for piece in stream:
            text += piece
            yield None, text, piece
        yield stream.answer, text, ""


def _completion(
    answer: Answer | None, text: str = "", delta: str | None = None
) -> CompletionResponse:
    whole = text if answer is None else answer.text
    return CompletionResponse(text=whole, delta=delta, raw=raw(answer) if answer else None)


def _chat(answer: Answer | None, text: str = "", delta: str | None = None) -> ChatResponse:
    whole = text if answer is None else answer.text
    message = ChatMessage(role=MessageRole.ASSISTANT, content=whole)
    return ChatResponse(message=message, delta=delta, raw=raw(answer) if answer else None)
