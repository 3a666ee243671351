"""`PaceLLM`: a LlamaIndex LLM over a session."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

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
from llama_index.core.schema import NodeWithScore
from llama_index.core.types import TokenAsyncGen
from pydantic import computed_field

from pace_integrations.adapters.answer_format import History, ToolPolicy
from pace_integrations.adapters.chat_request import ChatRequest
from pace_integrations.adapters.lazy_session import LazySession
from pace_integrations.adapters.session_fields import PaceFields
from pace_integrations.config import Constraint
from pace_integrations.errors import DocumentError
from pace_integrations.llama_index.chat_request import (
    agenerate_responses,
    generate_responses,
    make_response,
)
from pace_integrations.llama_index.convert import (
    is_prefix_marked,
    make_completion,
    scan_history,
    to_messages,
)
from pace_integrations.llama_index.events import dispatch_memory_use
from pace_integrations.llama_index.lazy_session import TracedSession, is_on_event_loop
from pace_integrations.llama_index.source_nodes import find_cited_nodes
from pace_integrations.llama_index.streaming import astream_steps, stream_steps
from pace_integrations.llama_index.structured import find_expected_format
from pace_integrations.llama_index.tools import ToolCallingLLM, convert_tool

if TYPE_CHECKING:
    from pace_integrations.session import Session


class PaceLLM(PaceFields, ToolCallingLLM):
    """An LLM that answers from what a session has read; without a corpus, a plain local LLM.

    What a prompt has in common with one of the last ones is not computed again; what comes before
    a `CachePoint` is held longest. Asynchronous calls that wait at the same time are answered in
    one batch.

    Attributes:
        tool_policy: Who decides whether a tool is called where the choice is free. ``"model"``:
            the model. ``"first"``: one tool is called first, and once it has answered the model
            writes text; arguments are taken from what the user wrote. It is for models that were
            never trained to call tools. None takes ``"model"`` where the chat template knows tools.
    """

    tool_policy: ToolPolicy | None = Field(default=None, description="Who decides on tool calls.")

    _session_class: ClassVar[type[LazySession]] = TracedSession
    _constraint: Constraint | None = PrivateAttr(default=None)

    @classmethod
    def class_name(cls) -> str:
        """Return the name in LlamaIndex's registries."""
        return "PaceLLM"

    @computed_field(repr=False)  # type: ignore[prop-decorator]
    @property
    def document_state(self) -> list[list[Any]]:
        """Files to read by name, size and time of change: another content is another LLM."""
        try:
            return [list(one) for one in self.describe_documents()]
        except DocumentError:  # said when they are read
            return []

    @property
    def model(self) -> str:
        """The model's name; nothing is loaded for it."""
        return self._binding.name

    @property
    def max_new_tokens(self) -> int:
        """Most tokens of an answer; `max_tokens` under its name of version 0.1."""
        return self.max_tokens

    @max_new_tokens.setter
    def max_new_tokens(self, value: int) -> None:
        self.max_tokens = value

    def over(self, session: Session) -> Self:
        """Return an LLM with the settings and callbacks of this one over another session."""
        return self.with_session(session)

    def find_source_nodes(self, said: Mapping[str, Any] | None) -> list[NodeWithScore]:
        """Return the pages that a response's ``raw`` cites, with where and what was found."""
        return find_cited_nodes(self.session.passages, said)

    @property
    def metadata(self) -> LLMMetadata:
        """Window of the prompt: what the corpus leaves of the model's context.

        On an event loop this never loads or reads: before the first use it counts what the
        model's configuration says (or LlamaIndex's default where that is not on this machine), and
        not yet what the corpus will take of it.
        """
        window = self._binding.find_window()
        if window is None and is_on_event_loop():
            window = self._binding.find_model_window() or DEFAULT_CONTEXT_WINDOW
        if window is None:
            session = self._binding.session
            window = session.pace.context_window - session.tokens
        return LLMMetadata(
            context_window=window,
            num_output=self.max_tokens,
            is_chat_model=True,
            is_function_calling_model=True,
            model_name=self._binding.name,
        )

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: ANN401
        """Answer a prompt."""
        request = self._make_prompt_request(prompt, kwargs)
        return make_completion(dispatch_memory_use(request.ask()))

    @llm_completion_callback()
    def stream_complete(
        self,
        prompt: str,
        formatted: bool = False,
        **kwargs: Any,  # noqa: ANN401
    ) -> CompletionResponseGen:
        """Answer a prompt piece by piece."""
        steps = stream_steps(self._make_prompt_request(prompt, kwargs))
        return (make_completion(*step) for step in steps)

    @llm_completion_callback()
    async def acomplete(
        self,
        prompt: str,
        formatted: bool = False,
        **kwargs: Any,  # noqa: ANN401
    ) -> CompletionResponse:
        """Answer a prompt without blocking the event loop."""
        with self._batcher.announce():
            request = await asyncio.to_thread(self._make_prompt_request, prompt, kwargs)
        return make_completion(dispatch_memory_use(await request.aask()))

    @llm_completion_callback()
    async def astream_complete(
        self,
        prompt: str,
        formatted: bool = False,
        **kwargs: Any,  # noqa: ANN401
    ) -> CompletionResponseAsyncGen:
        """Answer a prompt piece by piece without blocking the event loop."""
        request = await asyncio.to_thread(self._make_prompt_request, prompt, kwargs)
        steps = await astream_steps(request)
        return (make_completion(*step) async for step in steps)

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:  # noqa: ANN401
        """Answer a conversation."""
        request = self._make_chat_request(messages, kwargs)
        return make_response(request, dispatch_memory_use(request.ask()), turn=len(messages))

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:  # noqa: ANN401
        """Answer a conversation piece by piece."""
        request = self._make_chat_request(messages, kwargs)
        return generate_responses(request, stream_steps(request), turn=len(messages))

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:  # noqa: ANN401
        """Answer a conversation without blocking the event loop."""
        with self._batcher.announce():
            request = await asyncio.to_thread(self._make_chat_request, messages, kwargs)
        answer = dispatch_memory_use(await request.aask())
        return make_response(request, answer, turn=len(messages))

    @llm_chat_callback()
    async def astream_chat(
        self,
        messages: Sequence[ChatMessage],
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResponseAsyncGen:
        """Answer a conversation piece by piece without blocking the event loop."""
        request = await asyncio.to_thread(self._make_chat_request, messages, kwargs)
        return agenerate_responses(request, await astream_steps(request), turn=len(messages))

    def predict(self, prompt: BasePromptTemplate, **prompt_args: Any) -> str:  # noqa: ANN401
        """Fill in a prompt template and answer it, in the form that the prompt's parser reads."""
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
        """Return this LLM, held to what the parser of a prompt can read."""
        constraint = find_expected_format(prompt, values)
        if constraint is None:
            return self
        held = self.model_copy()
        held._constraint = constraint
        return held

    def _make_chat_request(
        self, messages: Sequence[ChatMessage], settings: Mapping[str, Any]
    ) -> ChatRequest:
        options = self._add_constraint(settings)
        if given := options.get("tools"):
            options = {**options, "tools": [convert_tool(tool, messages) for tool in given]}
        return self._build_request(
            self._find_session(self._call_settings(options).model),
            options,
            scan_history(messages),
            lambda plain: to_messages(messages, plain=plain),
            pinned=is_prefix_marked(messages),
        )

    def _make_prompt_request(self, prompt: str, settings: Mapping[str, Any]) -> ChatRequest:
        options = self._add_constraint(settings)
        return self._build_request(
            self._find_session(self._call_settings(options).model),
            options,
            History(prompt),
            lambda _: [{"role": "user", "content": prompt}],
        )

    def _add_constraint(self, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        return (
            settings if self._constraint is None else {"constraint": self._constraint, **settings}
        )
