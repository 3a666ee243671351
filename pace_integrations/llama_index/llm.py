"""`PaceLLM`: a LlamaIndex LLM over a session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.types import TokenAsyncGen

from pace_integrations.adapters.lazy_session import generation
from pace_integrations.config import Constraint, GenerationConfig, MemoryConfig, Quantization
from pace_integrations.documents import Corpus
from pace_integrations.llama_index.chat_request import Order
from pace_integrations.llama_index.convert import completion
from pace_integrations.llama_index.lazy_session import Source, on_event_loop
from pace_integrations.llama_index.prefixes import Prefixes
from pace_integrations.llama_index.steps import asteps, steps, told
from pace_integrations.llama_index.structured import expected
from pace_integrations.llama_index.tools import Policy, Toolbox, ToolCallingLLM
from pace_integrations.session import AnswerStream, AsyncAnswerStream, Conversation, Pace, Session

_MEMORY = MemoryConfig()


class PaceLLM(ToolCallingLLM):
    """An LLM that answers from what a session has read; without a corpus, a plain local LLM.

    Args:
        session: A session to ask, or the folder of a saved one; nothing else of the next six but
            a `pace` to open it with is then given.
        pace: A loaded model.
        model: Name or path of a model to load; None with no `pace` takes the embedded one.
        corpus: What to read on first use.
        paths: Files, folders or globs to read on first use.
        memory: Settings of the memory of a model that is loaded here; None turns it off.
        quantization: Quantisation of a model that is loaded here.
        **settings: ``max_new_tokens``, ``temperature``, ``top_p``, ``top_k``, ``seed``, ``stop``,
            ``tool_policy`` and the base class's fields.

    Attributes:
        tool_policy: Who decides whether a tool is called where the choice is free. ``"model"``:
            the model. ``"first"``: one tool is called first, and once it has answered the model
            writes text; arguments are taken from what the user wrote. It is for models that were
            never trained to call tools. None takes ``"model"`` where the chat template knows tools.
    """

    max_new_tokens: int = Field(default=256, gt=0, description="Most tokens of an answer.")
    temperature: float = Field(default=0.0, ge=0, description="0 is greedy.")
    top_p: float = Field(default=1.0, gt=0, le=1, description="Probability mass sampled from.")
    top_k: int = Field(default=0, ge=0, description="Most likely tokens sampled from; 0 is all.")
    seed: int | None = Field(default=None, description="Seed of the sampling.")
    stop: list[str] = Field(default_factory=list, description="Strings that end an answer.")

    tool_policy: Policy | None = Field(default=None, description="Who decides on tool calls.")

    _binding: Source = PrivateAttr()
    _constraint: Constraint | None = PrivateAttr(default=None)
    _prefixes: Prefixes = PrivateAttr(default_factory=Prefixes)

    def __init__(
        self,
        *,
        session: Session | str | Path | None = None,
        pace: Pace | None = None,
        model: str | None = None,
        corpus: Corpus | None = None,
        paths: str | Path | Sequence[str | Path] | None = None,
        memory: MemoryConfig | None = _MEMORY,
        quantization: Quantization | None = None,
        **settings: Any,  # noqa: ANN401 - pydantic checks them
    ) -> None:
        super().__init__(**settings)
        self._binding = Source(
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
    def session(self) -> Session:
        """The session that is asked; the first use loads the model and reads the corpus."""
        return self._binding.session

    async def asession(self) -> Session:
        """`session`, loading and reading without blocking the event loop."""
        return await self._binding.asession()

    def over(self, session: Session | Conversation) -> Self:
        """An LLM with the settings and callbacks of this one over another session."""
        other = self.model_copy()
        other._binding, other._prefixes = Source.of(session), Prefixes()
        return other

    @property
    def metadata(self) -> LLMMetadata:
        """Window of the prompt: what the corpus leaves of the model's context.

        On an event loop this never loads or reads: before the first use it counts what the
        model's configuration says (or LlamaIndex's default where that is not on this machine), and
        not yet what the corpus will take of it.
        """
        window = self._binding.window()
        if window is None and on_event_loop():
            window = DEFAULT_CONTEXT_WINDOW
        if window is None:
            session = self._binding.session
            window = session.pace.context_window - session.tokens
        return LLMMetadata(
            context_window=window,
            num_output=self.max_new_tokens,
            is_chat_model=True,
            is_function_calling_model=True,
            model_name=self._binding.name,
        )

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: ANN401
        """Answers a prompt."""
        return completion(told(self._stream(prompt, kwargs).answer))

    @llm_completion_callback()
    def stream_complete(
        self,
        prompt: str,
        formatted: bool = False,
        **kwargs: Any,  # noqa: ANN401
    ) -> CompletionResponseGen:
        """Answers a prompt piece by piece."""
        return (completion(*step) for step in steps(self._stream(prompt, kwargs)))

    @llm_completion_callback()
    async def acomplete(
        self,
        prompt: str,
        formatted: bool = False,
        **kwargs: Any,  # noqa: ANN401
    ) -> CompletionResponse:
        """Answers a prompt without blocking the event loop."""
        stream = await self._astream(prompt, kwargs)
        return completion(told(await stream.drain()))

    @llm_completion_callback()
    async def astream_complete(
        self,
        prompt: str,
        formatted: bool = False,
        **kwargs: Any,  # noqa: ANN401
    ) -> CompletionResponseAsyncGen:
        """Answers a prompt piece by piece without blocking the event loop."""
        stream = await self._astream(prompt, kwargs)
        return (completion(*step) async for step in asteps(stream))

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:  # noqa: ANN401
        """Answers a conversation."""
        order = self._order(self._binding.session, messages, kwargs)
        return order.response(told(order.stream().answer))

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:  # noqa: ANN401
        """Answers a conversation piece by piece."""
        order = self._order(self._binding.session, messages, kwargs)
        return order.responses(steps(order.stream()))

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:  # noqa: ANN401
        """Answers a conversation without blocking the event loop."""
        order = self._order(await self._binding.asession(), messages, kwargs)
        return order.response(told(await order.astream().drain()))

    @llm_chat_callback()
    async def astream_chat(
        self,
        messages: Sequence[ChatMessage],
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResponseAsyncGen:
        """Answers a conversation piece by piece without blocking the event loop."""
        order = self._order(await self._binding.asession(), messages, kwargs)
        return order.aresponses(asteps(order.astream()))

    def predict(self, prompt: BasePromptTemplate, **prompt_args: Any) -> str:  # noqa: ANN401
        """Fills in a prompt template and answers it, in the form that the prompt's parser reads."""
        return super(PaceLLM, self._held_for(prompt, prompt_args)).predict(prompt, **prompt_args)

    async def apredict(self, prompt: BasePromptTemplate, **prompt_args: Any) -> str:  # noqa: ANN401
        """`predict` without blocking the event loop."""
        await self.asession()  # `metadata` is exact from here on
        held = self._held_for(prompt, prompt_args)
        return await super(PaceLLM, held).apredict(prompt, **prompt_args)

    async def astream(self, prompt: BasePromptTemplate, **prompt_args: Any) -> TokenAsyncGen:  # noqa: ANN401
        """`apredict`, piece by piece."""
        await self.asession()
        return await super().astream(prompt, **prompt_args)

    def _held_for(self, prompt: BasePromptTemplate, values: dict[str, Any]) -> Self:
        """This LLM, held to what the parser of a prompt can read."""
        constraint = expected(prompt, values)
        if constraint is None:
            return self
        held = self.model_copy()
        held._constraint = constraint
        return held

    def _order(
        self, session: Session, messages: Sequence[ChatMessage], settings: dict[str, Any]
    ) -> Order:
        policy = self.tool_policy or ("model" if session.pace.knows_tools else "first")
        toolbox = Toolbox.of(settings, messages, policy)
        config = self._generation(settings)
        if toolbox is not None:
            config = replace(config, constraint=toolbox.constraint)
        return Order(session, messages, config, toolbox, self._prefixes)

    def _stream(self, prompt: str, overrides: dict[str, Any]) -> AnswerStream:
        return self._binding.session.stream(prompt, generation=self._generation(overrides))

    async def _astream(self, prompt: str, overrides: dict[str, Any]) -> AsyncAnswerStream:
        session = await self._binding.asession()
        return session.astream(prompt, generation=self._generation(overrides))

    def _generation(self, overrides: dict[str, Any]) -> GenerationConfig:
        own = ("max_new_tokens", "temperature", "top_p", "top_k", "seed", "stop")
        base = generation(GenerationConfig(), {name: getattr(self, name) for name in own})
        constraint = overrides.get("constraint", self._constraint)
        return replace(generation(base, overrides), constraint=constraint)
