"""`ChatPace`: a LangChain chat model over a session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import LangSmithParams, LanguageModelInput
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import PrivateAttr, model_validator

from pace_integrations import __version__
from pace_integrations.adapters.answer_format import ToolPolicy, plan_answer
from pace_integrations.adapters.chat_request import ChatRequest
from pace_integrations.adapters.lazy_session import LazySession
from pace_integrations.langchain.base import LangChainFields
from pace_integrations.langchain.batching import BatchingChatModel, find_ahead_answer
from pace_integrations.langchain.chat_request import make_chunk, make_last_chunk, make_result
from pace_integrations.langchain.convert import MessageReader
from pace_integrations.langchain.errors import translate_errors
from pace_integrations.langchain.messages import is_prefix_marked, scan_history, to_messages
from pace_integrations.langchain.structured_output import Method, hold_to_schema
from pace_integrations.langchain.tools import convert_options, convert_tool, is_answer_tool

if TYPE_CHECKING:
    from pace_integrations.session import Pace, Session
    from pace_integrations.session.citations import Passage

_PROFILE = ModelProfile(
    text_inputs=True,
    image_inputs=False,
    audio_inputs=False,
    video_inputs=False,
    pdf_inputs=True,
    pdf_tool_message=True,
    text_outputs=True,
    reasoning_output=False,
    tool_calling=True,
    tool_choice=True,
    structured_output=True,
)


class ChatPace(LangChainFields, BatchingChatModel):
    """A chat model that answers from what a session has read.

    The session's documents come first in every prompt and are computed once; system text of the
    conversation joins the first user turn. Without a corpus it is a plain local chat model. What a
    prompt has in common with one of the last ones is not computed again either; parts marked with
    ``cache_control`` are held longest.

    Attributes:
        streaming: Whether `invoke` streams, so that callbacks get tokens.
        tool_policy: Who decides whether a tool is called where `tool_choice` leaves it open.
            ``"model"``: the model. ``"first"``: a tool is called first, and once it has answered
            the model writes text; values are taken from what the user wrote. It is for models
            that were never trained to call tools. None takes ``"model"`` where the chat template
            knows tools.

    Example:
        ``prompt | ChatPace(paths=["contracts/"]) | StrOutputParser()``
    """

    streaming: bool = False
    tool_policy: ToolPolicy | None = None

    _numbers: Mapping[int, int] = PrivateAttr(default_factory=dict)
    _own_profile: bool = PrivateAttr(default=False)

    @model_validator(mode="after")
    def _set_pace_version(self) -> Self:
        self._add_version("pace-integrations", __version__)
        return self

    @property
    def _llm_type(self) -> str:
        return "pace-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        numbers = {"numbers": sorted(self._numbers.items())} if self._numbers else {}
        return {**self.identify(), "tool_policy": self.tool_policy, **numbers}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:  # noqa: ANN401
        params = super()._get_ls_params(stop=stop, **kwargs)
        return self._trace_params(params, stop=stop, **kwargs)

    def _resolve_model_profile(self) -> ModelProfile | None:
        self._own_profile = True
        window = self._binding.find_window() or self._binding.find_model_window()
        return {**_PROFILE, "max_input_tokens": window} if window else _PROFILE

    def with_numbers(self, numbers: Mapping[int, int]) -> Self:
        """Return a model whose answers cite passages under the caller's own numbers."""
        other = self.model_copy()
        other._numbers = numbers
        return other

    def over(self, session: Session) -> Self:
        """Return a model with the same settings over another session of its model."""
        return self.with_session(session)

    @property
    def loaded(self) -> Pace:
        """The loaded model; the first use loads it, and reads what there is to read."""
        return self._binding.pace

    @property
    def passages(self) -> tuple[Passage, ...]:
        """The pages it answers from, under the numbers that answers cite."""
        return self._binding.session.passages

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        parallel_tool_calls: bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return a model that may call tools; calls are valid under their schemas.

        Args:
            tools: Functions, tools, Pydantic classes or schemas, also in Anthropic's and MCP's
                form.
            tool_choice: A tool's name, ``"any"`` (or ``"required"``, True) for one of them,
                ``"auto"`` for a free choice (see `tool_policy`) or ``"none"``.
            parallel_tool_calls: Whether there may be several calls in one answer; None allows it
                where the model decides about calls itself.
            strict: Accepted for OpenAI's sake; calls are always valid under their schemas.
            kwargs: Bound as they are; with ``response_format=``, the answer that follows the calls
                is held to a schema.

        Raises:
            ConfigError: `tool_choice` names none of the tools.
        """
        made = [convert_tool(tool) for tool in tools]
        answers = [
            one["function"]["name"]
            for tool, one in zip(tools, made, strict=True)
            if is_answer_tool(tool)
        ]
        options = {
            "tools": made,
            "tool_choice": tool_choice,
            "parallel_tool_calls": parallel_tool_calls,
            "answer_tools": answers or None,
        }
        options = {name: value for name, value in options.items() if value is not None}
        # What is wrong is refused here, and not at the first call.
        plan_answer({**options, **kwargs}, scan_history([]), "model")
        return self.bind(**options, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Runnable[LanguageModelInput, Any]:
        """Return a model whose answers are objects of a schema, valid whatever the model.

        Args:
            schema: Pydantic class (version 1 or 2), TypedDict, JSON schema, OpenAI function, or a
                type made of such, as ``list[Person]`` and ``Cat | Dog``.
            method: ``"json_schema"`` and ``"json_mode"`` ask for JSON, ``"function_calling"`` for
                a call of a tool; all three are held to the schema.
            include_raw: Whether the result is a dict of ``raw`` (the message), ``parsed`` and
                ``parsing_error``.
            strict: Accepted for OpenAI's sake; answers are always valid under the schema.
            kwargs: Bound as they are; where one of ``tools=`` is called first, what is parsed is
                None.

        Raises:
            ConfigError: The method is not known.
        """
        return hold_to_schema(self, schema, method, include_raw, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResult:
        with translate_errors():
            options = {**kwargs, "stop": stop}
            lazy = self._find_session(self._call_settings(options).model)

            def prepare(one: Sequence[BaseMessage]) -> ChatRequest:
                return self._make_request(lazy, one, options)

            request = prepare(messages)
            answer = find_ahead_answer(request, prepare)
            answer = request.ask() if answer is None else request.finish(answer)
            return make_result(request, answer)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResult:
        with translate_errors():
            request = await self._amake_request(messages, {**kwargs, "stop": stop})
            return make_result(request, await request.aask())

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Iterator[ChatGenerationChunk]:
        with translate_errors():
            options = {**kwargs, "stop": stop}
            lazy = self._find_session(self._call_settings(options).model)
            request = self._make_request(lazy, messages, options)
            reader = MessageReader(calls=request.format.calls)
            with request.stream() as stream:
                for piece in stream:
                    for chunk in map(make_chunk, reader.push(piece)):
                        if run_manager:
                            run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk
                yield from map(make_chunk, reader.finish())
                yield make_last_chunk(request, stream.answer, called=reader.has_called)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> AsyncIterator[ChatGenerationChunk]:
        with translate_errors():
            request = await self._amake_request(messages, {**kwargs, "stop": stop})
            reader = MessageReader(calls=request.format.calls)
            async with await request.astream() as stream:
                async for piece in stream:
                    for chunk in map(make_chunk, reader.push(piece)):
                        if run_manager:
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk
                for chunk in map(make_chunk, reader.finish()):
                    yield chunk
                yield make_last_chunk(request, stream.answer, called=reader.has_called)

    async def _amake_request(
        self, messages: Sequence[BaseMessage], options: Mapping[str, Any]
    ) -> ChatRequest:
        lazy = self._find_session(self._call_settings(options).model)
        # Documents and attached files are read here, which takes its time.
        return await asyncio.to_thread(self._make_request, lazy, messages, options)

    def _make_request(
        self, lazy: LazySession, messages: Sequence[BaseMessage], options: Mapping[str, Any]
    ) -> ChatRequest:
        if self._own_profile and self.profile is not None and lazy is self._binding:
            self.profile = {**self.profile, "max_input_tokens": _window_of(lazy.session)}
        return self._build_request(
            lazy,
            convert_options(options),
            scan_history(messages),
            lambda plain: to_messages(messages, plain=plain),
            pinned=is_prefix_marked(messages),
            numbers=self._numbers,
        )


def _window_of(session: Session) -> int:
    return session.pace.context_window - session.tokens
